"""How much is done in a step: counted, never timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

import kit
from kit.recording import norms, stepping, watch
from kit.stepgraph.tape import Tape

KIT = str(Path(kit.__file__).parent)
ORDINARY, MEASURED = 33, 42  # steps whose graph is not read; with every = 7 the second is measured in full


class Counted(torch.optim.SGD):
    """`inside`: whether it steps at this moment."""

    inside = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.inside = True
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.mul(group["lr"]).sum(), alpha=1e-3)
        self.inside = False


def network(inner: int = 2) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 300), *(nn.ReLU() for _ in range(inner)), nn.Linear(300, 200), nn.Linear(200, 3))


def steps(model: nn.Module, to_none: bool = True) -> tuple[Counted, Callable[[], None]]:
    optimizer, loss = Counted(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x, y = torch.randn(8, 4), torch.arange(8) % 3

    def step() -> None:
        optimizer.zero_grad(set_to_none=to_none)
        loss(model(x), y).backward()
        optimizer.step()

    return optimizer, step


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, noted: Callable[[], Any] = lambda: None) -> list:
    """One entry for each call from here on."""
    original, calls = getattr(owner, name), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(noted())
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize(("number", "expected"), [(ORDINARY, (0, 0)), (MEASURED, (4, 1))])
def test_norms_and_copies_of_one_step(monkeypatch, number, expected, to_none):
    """Norms: of the gradients, of what the optimizer gets, of the change, and of the parameters once the next step begins."""
    _, step = steps(network(), to_none)
    with watch(every=7):
        for _ in range(number - 1):
            step()
        taken, copied = counting(monkeypatch, norms, "_norms"), counting(monkeypatch, stepping, "copies")
        step()
        step()
        assert (len(taken), len(copied)) == expected


def test_numbers_that_are_read_in_a_step_that_is_not_measured(monkeypatch):
    """What the loss returned, and what is differentiated."""
    _, step = steps(network())
    with watch(every=7):
        for _ in range(ORDINARY - 1):
            step()
        read = counting(monkeypatch, torch.Tensor, "item")
        step()
        assert len(read) == 2


def test_nothing_that_an_optimizer_computes_is_noted(monkeypatch):
    model = network()
    optimizer, step = steps(model)
    noted = counting(monkeypatch, Tape, "_saw", lambda: optimizer.inside)
    with watch(model):
        for _ in range(12):
            step()
    assert len(noted) > 12
    assert not any(noted)


def test_terms_are_noted_in_the_steps_that_are_read_only(monkeypatch):
    model = network()
    _, step = steps(model)
    with watch(model) as run:
        for _ in range(ORDINARY - 1):
            step()
        noted = counting(monkeypatch, Tape, "__torch_function__")
        step()
        assert not noted
        for _ in range(ORDINARY, 51):
            step()
        assert noted
    assert {50, 51} <= set(run.trace.terms["step"])


def kit_calls(step: Callable[[], None]) -> int:
    """Functions of the kit that run in it."""
    count = 0

    def called(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(KIT)

    sys.setprofile(called)
    try:
        step()
    finally:
        sys.setprofile(None)
    return count


def test_a_call_inside_of_a_network_costs_two_functions():
    found = []
    for inner in (2, 12):
        _, step = steps(network(inner))
        with watch(every=7):
            for _ in range(ORDINARY - 1):
                step()
            found.append(kit_calls(step))
    assert found[1] - found[0] == 2 * 10
    assert found[0] < 300  # of the whole step


def test_copies_are_made_in_the_same_memory_and_go_with_the_optimizer():
    model = network()
    optimizer, step = steps(model)
    with watch(model) as run:
        places = []
        for _ in range(4):
            step()
            stepper = next(iter(run._seen.parts.steppers.values()))
            places.append([tensor.data_ptr() for tensor in stepper.kept])
        assert places[0]
        assert places == [places[0]] * 4
        del optimizer, step
        assert not stepper.kept
