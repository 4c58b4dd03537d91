from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from kit.stepgraph import Sandbox, probe, sandboxes
from tests.stepgraph import _probe_cases as cases


class Rough(nn.Module):
    """Changes everything it can reach."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 2)
        self.register_buffer("ema", torch.zeros(2))
        self.plain, self.number, self.items = torch.ones(2), 1, [1, [2, torch.zeros(1)]]
        self.table, self.queue, self.seen = {"a": torch.zeros(1)}, deque([1, 2], maxlen=2), {1}
        self.array, self.draw, self.tuple = np.zeros(2), torch.Generator().manual_seed(1), (torch.zeros(1), 2)
        self.numpy_draw = np.random.default_rng(0)

    def spoil(self):
        with torch.no_grad():
            self.line.weight.add_(1)
            self.ema.add_(1)
            self.plain.add_(1)
            self.items[1][1].add_(1)
            self.table["a"].add_(1)
            self.tuple[0].add_(1)
        self.line.bias.data = torch.full((2,), 7.0)
        self.line.weight.grad.add_(1)
        self.line.bias.grad = torch.ones(2)
        self.line.bias.requires_grad_(False)
        self.items.append(3)
        self.table["b"] = 1
        self.queue.append(3)
        self.seen.add(2)
        self.array += 1
        self.number, self.new = 2, "new"
        self.eval()
        self.register_buffer("late", torch.zeros(1))
        self.register_forward_hook(lambda *_: None)
        for draw in (lambda: torch.rand(1), random.random, np.random.rand, self.numpy_draw.random):
            draw()
        torch.rand(1, generator=self.draw)


def values(rough):
    return (
        cases.snapshot(rough), [id(v) for v in vars(rough).values()], rough.draw.get_state().tolist(),
        str(rough.numpy_draw.bit_generator.state), [id(v) for v in rough.items], rough.array.tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_bitwise_as_before_by_return_and_by_exception(fails):
    rough = Rough()
    rough.line.weight.grad = torch.full((2, 2), float("nan"))
    rough.line.weight.data[0, 0] = -0.0
    before = values(rough)
    try:
        with Sandbox(rough) as box:
            rough.spoil()
            box.replay()
            assert rough.number == 1 and rough.ema.sum() == 0 and rough.training and rough.items[1][1] == 0
            state = torch.get_rng_state()
            rough.spoil()
            box.replay()
            assert torch.equal(torch.get_rng_state(), state)
            rough.spoil()
            if fails:
                raise KeyError("midway")
    except KeyError:
        assert fails
    assert values(rough) == before


def test_closures_slots_helpers_and_methods_are_covered():
    class Helper:
        def __init__(self):
            self.state = torch.zeros(1)

    class Slotted:
        __slots__ = ("count", "helper")

        def __init__(self):
            self.count, self.helper = 0, Helper()

        def call(self):
            self.count += 1
            self.helper.state.add_(1)

    log, calls, slotted = [], 0, Slotted()

    def loss():
        nonlocal calls
        calls += 1
        log.append(calls)
        slotted.call()

    with Sandbox(loss, slotted.call) as box:
        loss()
        box.replay()
        loss()
        assert (calls, slotted.count, slotted.helper.state.item()) == (1, 1, 1.0)
    assert (log, calls, slotted.count, slotted.helper.state.item()) == ([], 0, 0, 0.0)


def test_graphs_survive_a_replay():
    norm, x = nn.BatchNorm1d(2).eval(), torch.randn(4, 2, requires_grad=True)
    with Sandbox(norm) as box:
        y = norm(x)
        box.replay()
        y.sum().backward()  # an in-place repair of the buffers would fail here
    assert x.grad is not None


def test_shared_tensors_stay_shared_inside():
    holder = nn.Module()
    holder.a = torch.zeros(2)
    holder.b = [holder.a]
    with Sandbox(holder):
        assert holder.b[0] is holder.a
        holder.a.add_(1)
    assert holder.b[0] is holder.a and holder.a.sum() == 0


ASKED = []  # global: what a hook keeps in its closure is put back like everything else


def test_hooks_can_ask_whether_a_probe_runs_and_their_own_records_are_put_back():
    model, batch = cases.make()
    own = []

    def hook(*_):
        ASKED.append(sandboxes())
        own.append(1)

    model.register_forward_hook(hook)
    ASKED.clear()
    probe(model, cases.Weighted(), batch)
    assert ASKED and all(ASKED) and not sandboxes()
    assert own == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_probe_leaves_no_trace(fails):
    model, batch = cases.make(torch.float32)
    loss = cases.Remembering()
    loss(model(batch[0]), batch[1]).backward()
    model.x.requires_grad_(False)
    model.encoder[1].eval()
    inputs = [tensor.clone() for tensor in batch]
    versions = [p._version for p in model.parameters()]
    if fails:
        count = iter(range(100))

        def forward(p, t):
            if next(count) == 1:  # the call for the terms
                raise MemoryError("midway")
            return type(loss).forward(loss, p, t)

        loss.forward = forward
    before = cases.snapshot(model, loss)
    if fails:
        with pytest.raises(MemoryError):
            probe(model, loss, batch)
    else:
        probe(model, loss, batch)
    assert cases.snapshot(model, loss) == before
    assert [p._version for p in model.parameters()] == versions
    assert all(torch.equal(a, b) for a, b in zip(inputs, batch, strict=True))


BYSTANDER = torch.ones(3, dtype=torch.float64, requires_grad=True)


def test_leaves_that_belong_to_nobody_keep_their_gradient():
    class Model(cases.TwoHeads):
        def forward(self, inputs):
            p = super().forward(inputs)
            return p | {"x": p["x"] * BYSTANDER}

    model, batch = cases.make(model=Model)
    for gradient in (None, torch.full((3,), 2.0, dtype=torch.float64)):
        BYSTANDER.grad = gradient
        probe(model, cases.Weighted(), batch)
        assert BYSTANDER.grad is gradient and (gradient is None or gradient.tolist() == [2.0] * 3)


def test_training_goes_on_bitwise_as_without_the_probe():
    def train(probed):
        model, batch = cases.make(torch.float32)
        loss, optimizer = cases.Remembering(), None
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        for _ in range(4):
            optimizer.zero_grad()
            total = loss(model(batch[0]), batch[1])
            if probed:
                probe(model, loss, batch)
            total.backward()
            optimizer.step()
            if probed:
                probe(model, loss, batch)
        return cases.snapshot(model, loss)["rng"], [p.tolist() for p in model.state_dict().values()]

    assert train(False) == train(True)


def test_the_default_seed_and_grad_mode_do_not_matter():
    model, batch = cases.make()
    torch.manual_seed(5)
    first = probe(model, cases.Noisy(), batch)
    torch.manual_seed(5)
    with torch.no_grad():
        second = probe(model, cases.Noisy(), batch)
    assert not torch.is_inference_mode_enabled()
    assert first == second
