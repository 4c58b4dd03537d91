"""Tensors of every kind are measured by what they offer, or left alone; a class that counts or refuses is asked nothing."""

from __future__ import annotations

import contextlib
import io
import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from kit.diagnosis import diagnose
from kit.recording import watch
from kit.stepgraph.plain import plain, quietly
from tests.recording._left import everything, same
from tests.recording._loops import batches, data, job, mlp, sgd


class Counting(Tensor):
    """Is told of every function of torch, and every property, that is applied to it."""

    calls = 0

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        Counting.calls += 1
        return super().__torch_function__(func, types, args, kwargs or {})


class Wrapped(Tensor):
    """Holds another tensor, and is told of every operation."""

    calls = 0

    @staticmethod
    def __new__(cls, inner):
        return Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, requires_grad=inner.requires_grad)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        Wrapped.calls += 1
        args, kwargs = tree_map(lambda a: a.inner if isinstance(a, Wrapped) else a, (args, kwargs or {}))
        found = func(*args, **kwargs)
        return tree_map(lambda a: Wrapped(a) if isinstance(a, Tensor) else a, found)


class Makes(nn.Module):
    """A network whose output is of another kind."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change = mlp(), change

    def forward(self, x):
        return self.change(self.net(x))


def count(kind, change):
    """Operations that the class is told of in a short training; and what the training left."""

    def once(watched):
        kind.calls, model = 0, Makes(change)
        optimizer = sgd(model)
        with watch(model) if watched else contextlib.nullcontext():
            for x, y in batches():
                optimizer.zero_grad()
                out = model(x)
                value = F.cross_entropy(out[0] if type(out) is tuple else out, y)
                value.backward()
                optimizer.step()
        return kind.calls, [p.detach().clone() for p in model.parameters()], type(value).__name__

    return once(False), once(True)


@pytest.mark.parametrize(
    ("kind", "change"),
    [(Counting, lambda t: t.as_subclass(Counting)), (Wrapped, lambda t: (t, Wrapped(t.detach())))],
)
def test_a_class_of_the_program_is_told_of_nothing(kind, change):
    bare, watched = count(kind, change)
    assert same(bare, watched)


def test_a_class_without_operations_of_its_own_is_measured_like_a_tensor():
    traces = []
    for change in (lambda t: t, lambda t: t.as_subclass(Counting)):
        model = Makes(change)
        with watch(model) as run:
            for x, y in batches():
                F.cross_entropy(model(x), y).backward()
        traces.append(run.trace)
    for name in ("loss", "grad_norm", "outputs", "reached"):
        assert traces[0].steps[name].tolist() == traces[1].steps[name].tolist(), name


def test_a_class_that_is_told_of_operations_is_left_alone():
    class Shows(nn.Module):
        def forward(self, prediction, target):
            return Wrapped((prediction - target).square().mean().detach())

    model, loss = mlp(out=1), Shows()
    Wrapped.calls = 0
    with watch(model, loss=loss) as run:
        for x, _ in batches():
            out = model(x)
            loss(Wrapped(out.detach()), Wrapped(x[:, :1]))
            out.sum().backward()
    bare = Wrapped.calls
    Wrapped.calls = 0
    for x, _ in batches():
        loss(Wrapped(model(x).detach()), Wrapped(x[:, :1]))
    assert Wrapped.calls == bare
    assert run.trace.steps["loss_returned"].isna().all() and run.trace.steps["outputs"].iloc[1:].isna().all()


class Refusing(Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if not Refusing.allowed:
            raise RuntimeError(f"{func} is refused")
        return super().__torch_function__(func, types, args, kwargs or {})

    allowed = True


def test_a_class_that_refuses_ends_no_training():
    optimizer = sgd(model := Makes(lambda logits: (logits, logits.detach().as_subclass(Refusing))))
    Refusing.allowed = False
    try:
        with watch(model) as run:
            for x, y in batches():
                optimizer.zero_grad()
                F.cross_entropy(model(x)[0], y).backward()
                optimizer.step()
    finally:
        Refusing.allowed = True
    assert run.trace.epochs[["batches", "reached", "steps"]].to_numpy().tolist() == [[3, 3, 3]]
    assert (run.trace.steps["outputs"] == 2).all()
    assert not [note for note in run.trace.facts["not_seen"] if "could not be recorded" in note]


KINDS = {
    "meta": lambda: torch.ones(4, 3, device="meta"),
    "freed": lambda: _freed(),
    "nested": lambda: _quietly(torch.nested.nested_tensor, [torch.ones(2), torch.ones(3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    "quantised": lambda: _quietly(torch.quantize_per_tensor, torch.ones(4, 3), 0.1, 0, torch.quint8),
    "wrapper": lambda: Wrapped(torch.ones(4, 3)),
    "fake": lambda: _fake(),
}
MEASURED = {
    "dense": lambda: torch.ones(4, 3),
    "empty": lambda: torch.ones(0, 3),
    "coo": lambda: torch.eye(3).to_sparse(),
    "csr": lambda: _quietly(torch.eye(3).to_sparse_csr),
    "subclass": lambda: torch.ones(4, 3).as_subclass(Counting),
    "complex": lambda: torch.ones(4, 3, dtype=torch.complex64),
    "parameter": lambda: nn.Parameter(torch.ones(4, 3)),
    "buffer": lambda: nn.Buffer(torch.ones(4, 3)),
}


def _freed():
    tensor = torch.ones(4, 3)
    tensor.untyped_storage().resize_(0)
    return tensor


def _fake():
    from torch._subclasses import FakeTensorMode

    return FakeTensorMode().from_tensor(torch.ones(4, 3))


def _quietly(make, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args)


@pytest.mark.parametrize("name", [*KINDS, *MEASURED])
def test_what_can_be_computed_on(name):
    tensor = (KINDS | MEASURED)[name]()
    Counting.calls = Wrapped.calls = 0
    with quietly():
        found = plain(tensor)
    assert (found is not None) == (name in MEASURED)
    if found is not None:
        assert type(found) in (Tensor, nn.Parameter) and found.shape == tensor.shape
    assert Wrapped.calls == 0


@pytest.mark.parametrize("name", [*KINDS, *MEASURED])
@pytest.mark.parametrize("place", ["output", "target", "term", "input"])
def test_a_tensor_of_any_kind_anywhere_ends_no_training_and_loses_no_count(name, place):
    made = (KINDS | MEASURED)[name]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x, extra=None):
            out = self.net(x)
            return (out, made()) if place == "output" else out

    class Loss(nn.Module):
        def forward(self, prediction, target, other=None):
            first = prediction[0] if isinstance(prediction, tuple) else prediction
            value = F.cross_entropy(first, target["y"])
            return {"loss": value, "extra": made()} if place == "term" else value

    model, loss = Net(), Loss()
    optimizer = sgd(model)
    with watch(model, loss=loss) as run:
        for x, y in batches():
            optimizer.zero_grad()
            out = model(x, extra=made() if place == "input" else None)
            found = loss(out, {"y": y, "more": made()} if place == "target" else {"y": y})
            (found["loss"] if place == "term" else found).backward()
            optimizer.step()
    counts = run.trace.epochs[["batches", "backwards", "steps", "loss_calls"]]
    assert counts.to_numpy().tolist() == [[3, 3, 3, 3]]
    assert run.trace.steps["loss"].notna().all()


def test_a_network_without_values_ends_well():
    model = nn.Linear(6, 3, device="meta")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model) as run:
        for _ in range(2):
            model(torch.randn(8, 6, device="meta")).square().mean().backward()
            optimizer.step()
    assert run.trace.epochs[["backwards", "steps"]].to_numpy().tolist() == [[2, 2]]
    assert run.trace.steps["loss"].isna().all() and run.trace.steps["update_norm"].isna().all()
    assert diagnose(run.trace).verdict != "healthy"


@pytest.mark.parametrize("gone", [RuntimeError("an error of the device"), ZeroDivisionError("a mistake")])
def test_an_error_on_leaving_is_a_note_and_the_training_keeps_its_own(monkeypatch, gone):
    from kit.recording import columns

    def fails(*_):
        raise gone

    monkeypatch.setattr(columns, "_facts", fails)
    one = job()
    with watch(one.model) as run:
        one.plain()
    assert any(str(gone) in note for note in run.trace.facts["not_seen"])
    assert repr(run.trace) and diagnose(run.trace).verdict != "healthy"
    with pytest.raises(KeyError, match="mine"), watch(one.model):
        raise KeyError("mine")


def test_values_that_a_device_does_not_give_back_are_not_observed():
    from kit.recording.history import fetched

    numbers = fetched([1.0, torch.ones((), device="meta"), torch.tensor(2.0)])
    assert numbers[0] == 1 and numbers[1] != numbers[1] and numbers[2] == 2


class Ops(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **kwargs or {})


def test_a_mode_of_the_program_is_told_of_nothing():
    counts = []
    for watched in (False, True):
        one = job()
        with watch(one.model) if watched else contextlib.nullcontext(), Ops() as ops:
            one.plain()
        counts.append(ops.calls)
    assert counts[0] == counts[1]


def test_a_mode_does_not_blind_the_watch():
    one = job()
    with watch(one.model) as run, Ops():
        one.plain()
    assert run.trace.steps[["loss", "grad_norm", "update_norm"]].notna().all(axis=None)


def traced(model):
    graph = str(torch.jit.trace(model, torch.ones(2, 4)).graph)
    return re.sub(r"\.?___torch_mangle_\d+", "", graph)


def exported(model):
    return torch.export.export(model, (torch.ones(2, 4),)).graph_module.code


def symbolic(model):
    return torch.fx.symbolic_trace(model).code


def proxied(model):
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(lambda x: model(x))(torch.ones(2, 4)).code


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("trace", [traced, exported, symbolic, proxied])
def test_a_graph_that_is_made_inside_a_watch_holds_nothing_of_it(trace):
    one = job()
    one.model.eval()
    bare = trace(one.model)
    with watch(one.model) as run:
        first = trace(one.model)
        for _ in range(4):
            for x, y in batches():
                one.loss(one.model(x), y).backward()
        later = trace(one.model)
    assert first == bare and later == bare
    assert run.trace.epochs["batches"].sum() == 12


class SavesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.file = nn.Linear(4, 3), b""

    def forward(self, x):
        self.file = b""
        stream = io.BytesIO()
        torch.save(self, stream)
        self.file = stream.getvalue()
        return self.net(x)


def test_a_network_that_is_saved_in_its_own_call_takes_nothing_along():
    model = SavesItself()
    optimizer = sgd(model)
    with watch(model):
        for _ in range(5):
            for x, y in batches():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                copy = torch.load(io.BytesIO(model.file), weights_only=False)
                assert b"kit.recording" not in model.file
                assert not any(part._forward_hooks or part._forward_pre_hooks for part in copy.modules())


class Returns(nn.Module):
    """Returns a parameter, the input as it came, and something computed."""

    def __init__(self):
        super().__init__()
        self.table, self.net = nn.Parameter(torch.ones(8, 3)), mlp()

    def forward(self, x):
        return self.table, x, self.net(x)


def test_a_parameter_and_an_input_that_are_returned_carry_no_hook():
    model, x = Returns(), data()[0][:8].requires_grad_()
    optimizer = sgd(model)
    with watch(model) as run:
        for _ in range(6):
            optimizer.zero_grad()
            table, same_x, out = model(x)
            (table.sum() + same_x.sum() + out.sum()).backward()
            optimizer.step()
            assert not model.table._backward_hooks and not x._backward_hooks
    assert (run.trace.steps["reached"] == 1).all()


def test_a_network_that_only_returns_a_parameter_is_reached():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.ones(8, 3))

        def forward(self, _):
            return self.table

    model = Table()
    optimizer = sgd(model)
    with watch(model) as run:
        for number in range(6):
            table = model(None)
            optimizer.zero_grad(
                set_to_none=number % 2 == 0
            )  # after the pass: a new gradient may lie where the old one did
            table.sum().backward()
            optimizer.step()
    assert (run.trace.steps["reached"] == 1).all()


def test_an_output_that_is_saved_inside_a_watch_is_saved_without_a_warning():
    one = job()
    with watch(one.model):
        for x, _ in batches():
            torch.save(one.model(x), io.BytesIO())


def test_training_is_the_same_under_a_mode_and_with_a_class():
    bare = everything(job(), "plain")
    one = job()
    with watch(one.model), Ops():
        assert same(bare, everything(one, "plain"))
