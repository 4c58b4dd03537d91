"""An instrument leaves no trace: everything is bitwise what it is without the watch, and nothing stays behind."""

from __future__ import annotations

import ast
import copy
import gc
import sys
import threading
import warnings
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from kit.recording import watch
from tests.recording._left import everything, same
from tests.recording._loops import PlainSum, TwoTerms, adamw, batches, data, job, lbfgs, mlp, sgd


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, TwoTerms])
@pytest.mark.parametrize(
    ("make", "loop"),
    [(sgd, "plain"), (adamw, "plain"), (lbfgs, "closure"), (sgd, "scaled"), (adamw, "scaled"), (adamw, "accumulating")],
)
def test_training_is_bitwise_the_same(make, loop, loss, every):
    bare = everything(job(make, loss=loss(), dropout=0.3), loop)
    watched = job(make, loss=loss(), dropout=0.3)
    with watch(watched.model, loss=watched.loss, every=every) as run:
        found = everything(watched, loop)
    for name in bare:
        assert same(bare[name], found[name]), name
    assert run.trace.facts["turns"] > 0
    assert not [note for note in run.trace.facts["not_seen"] if "could not" in note]


def test_the_random_numbers_of_a_loss_are_drawn_once():
    class Noisy(nn.Module):
        lam_noise = 0.5

        def components(self, prediction, target):
            return {"noise": (prediction * torch.rand_like(prediction)).mean()}

        def forward(self, prediction, target):
            return self.lam_noise * self.components(prediction, target)["noise"]

    bare = everything(job(loss=Noisy()), "plain")
    watched = job(loss=Noisy())
    with watch(loss=watched.loss) as run:
        found = everything(watched, "plain")
    assert same(bare, found)
    steps = run.trace.steps
    assert torch.allclose(torch.tensor(steps["term:noise"] * 0.5), torch.tensor(steps["loss"]), rtol=1e-5)


def test_losses_with_state_keep_it():
    class Counting(nn.Module):
        lam_fit = 1.0

        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))
            self.calls = 0

        def components(self, prediction, target):
            self.calls += 1
            self.seen += 1
            return {"fit": prediction.square().mean()}

        def forward(self, prediction, target):
            return self.lam_fit * self.components(prediction, target)["fit"]

    one = job(loss=Counting())
    with watch(one.model, loss=one.loss):
        one.plain()
    assert one.loss.calls == one.loss.seen == 2 * (3 + 1)
    assert "components" not in vars(one.loss)


def test_the_filter_of_warnings_goes_too():
    before = list(warnings.filters)
    with watch():
        assert warnings.filters != before
    assert warnings.filters == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_an_exception_passes_and_everything_is_taken_out(error):
    one = job(loss=TwoTerms())

    def broken():
        yield from list(batches())[:2]
        raise error("in the middle of an epoch")

    with pytest.raises(error, match="in the middle"), watch(one.model, loss=one.loss) as run:
        for x, y in broken():
            one.loss(one.model(x), y).backward()
            one.optimizer.step()
    assert run.trace.facts["ended"] == error.__name__
    assert run.trace.epochs["steps"].tolist() == [2]


def test_an_interrupt_inside_a_forward_pass_that_the_program_survives():
    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.interrupt = nn.Linear(4, 3), False

        def forward(self, x):
            if self.interrupt:
                raise KeyboardInterrupt
            return self.layer(x)

    model = Slow()
    with watch(model) as run:
        for number, (x, y) in enumerate(batches()):
            model.interrupt = number == 1
            try:
                nn.functional.cross_entropy(model(x), y).backward()
            except KeyboardInterrupt:
                pass
    assert run.trace.epochs[["batches", "backwards"]].to_numpy().tolist() == [[2, 2]]


def test_a_loss_that_is_interrupted_gets_its_method_back():
    class Interrupted(TwoTerms):
        def forward(self, prediction, target):
            raise KeyboardInterrupt

    one = job(loss=Interrupted())
    with pytest.raises(KeyboardInterrupt), watch(one.model, loss=one.loss):
        one.plain()
    assert "components" not in vars(one.loss)


def test_a_copy_made_inside_carries_nothing_of_the_watch():
    one = job()
    with watch(one.model):
        one.plain()
        twin = copy.deepcopy(one.model)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in twin.modules())


def test_the_graph_is_not_kept_alive():
    one = job()
    kept = []
    with watch(one.model, loss=one.loss) as run:
        for x, y in batches():
            hidden = one.model(x)
            value = one.loss(hidden, y)
            value.backward()
            kept += [weakref.ref(hidden), weakref.ref(value)]
        del hidden, value
        gc.collect()
        assert not [ref for ref in kept if ref() is not None]
    assert run.trace.facts["turns"] == 3


def test_models_losses_and_optimizers_are_given_back():
    one = job(loss=TwoTerms())
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    refs = [weakref.ref(part) for part in (one.model, one.loss, one.optimizer, next(one.model.parameters()))]
    del one
    gc.collect()
    assert not [ref for ref in refs if ref() is not None]
    assert run.trace.facts["turns"] == 6


def test_a_found_model_that_is_dropped_inside_is_not_held():
    with watch() as run:
        one = job(loss=TwoTerms())
        one.plain()
        ref = weakref.ref(one.model)
        del one
        gc.collect()
        assert ref() is None
        job().plain()
    assert run.trace.facts["turns"] == 12


def test_outputs_that_live_on_carry_no_hook():
    model = mlp()
    with watch(model):
        output = model(data()[0])
    assert not output._backward_hooks
    output.sum().backward()


def test_nested_watches_both_see_all_in_any_order_of_closing():
    one = job()
    outer, inner = watch(), watch(one.model)
    outer.__enter__()
    one.plain()
    inner.__enter__()
    one.plain()
    outer.__exit__(None, None, None)
    one.plain()
    inner.__exit__(None, None, None)
    assert outer.trace.epochs["steps"].sum() == inner.trace.epochs["steps"].sum() == 12
    assert outer.trace.epochs["backwards"].sum() == 12


def test_two_nested_watches_of_one_loss_hear_its_terms():
    one = job(loss=TwoTerms())
    with watch(loss=one.loss) as outer, watch(loss=one.loss) as inner:
        one.plain()
    for run in (outer, inner):
        assert run.trace.steps["term:fit"].notna().all()
    assert "components" not in vars(one.loss)


def test_threads_with_a_watch_each_do_not_mix():
    counts = {}
    barrier = threading.Barrier(2)

    def work(epochs: int) -> None:
        one = job(epochs=epochs)
        with watch(one.model) as run:
            barrier.wait()
            one.plain()
            barrier.wait()
        counts[epochs] = run.trace.epochs["steps"].sum()

    threads = [threading.Thread(target=work, args=(epochs,)) for epochs in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {1: 3, 3: 9}


def test_a_training_in_another_thread_is_seen():
    one = job()
    with watch(one.model) as run:
        thread = threading.Thread(target=one.plain)
        thread.start()
        thread.join()
    assert run.trace.epochs["steps"].tolist() == [3, 3]


def test_somebody_elses_replacement_of_backward_stays():
    original = torch.autograd.backward
    one = job()
    try:
        with watch(one.model):
            ours = torch.autograd.backward

            def theirs(*args, **kwargs):
                return ours(*args, **kwargs)

            torch.autograd.backward = theirs
            one.plain()
        assert torch.autograd.backward is theirs
        one.plain()
    finally:
        torch.autograd.backward = original


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("stepping", "sizes"),
        ("stepping", "length"),
        ("stepping", "copies"),
        ("stepping", "change"),
        ("parameter_change", "copies"),
        ("parameter_change", "change"),
        ("outputs", "float_tensors"),
        ("targets", "_named"),
        ("terms", "_stored"),
        ("terms", "_returned"),
        ("observer", "float_tensors"),
        ("stepping", "now_or_later"),
    ],
)
@pytest.mark.parametrize(("make", "loop"), [(sgd, "plain"), (lbfgs, "closure"), (sgd, "scaled")])
def test_a_mistake_of_the_watch_ends_no_training_and_loses_no_count(monkeypatch, module, name, make, loop):
    bare = everything(job(make, loss=PlainSum()), loop)
    healthy = job(make, loss=PlainSum())
    with watch(healthy.model) as expected:
        everything(healthy, loop)

    class Broken:
        def __call__(self, *_, **__):
            raise ZeroDivisionError("a mistake")

        def __getattr__(self, _):
            raise ZeroDivisionError("a mistake")

    # kit.watch is the function; the module of that name stands behind it
    monkeypatch.setattr(sys.modules[f"kit.recording.{module}"], name, Broken())
    one = job(make, loss=PlainSum())
    with watch(one.model) as run:
        found = everything(one, loop)
    assert same(bare, found)
    counts = ["batches", "backwards", "steps", "loss_calls", "eval_forwards"]
    assert run.trace.epochs[counts].equals(expected.trace.epochs[counts])


def test_with_terms_off_components_is_not_listened_to():
    one = job(loss=TwoTerms())
    with watch(one.model, loss=one.loss, terms=False) as run:
        one.plain()
    assert run.trace.facts["terms"] == [] and run.trace.steps["lam_fit"].notna().all()


def test_the_error_of_a_root_without_graph_passes_untouched():
    with watch() as run, pytest.raises(RuntimeError, match="does not require grad"):
        torch.ones(()).backward()
    assert run.trace.steps["loss_graph"].tolist() == [0]
    assert run.trace.steps["loss"].tolist() == [1]


def test_the_package_needs_torch_tables_files_and_the_probe_only():
    allowed = {"torch", "numpy", "pandas", "kit.files", "kit.stepgraph", "kit.recording"}
    for path in Path(sys.modules["kit.recording"].__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = ".".join(name.split(".")[: 2 if name.startswith("kit") else 1])
                assert top in allowed or top in sys.stdlib_module_names, f"{path.name}: {name}"
