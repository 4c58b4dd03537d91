"""Nothing of the program is called by a watch: whatever a loss reaches is as often used, and left as it is, without one."""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import io
import itertools
import pickle
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit.recording import watch
from tests.recording._left import same
from tests.recording._loops import batches, job, mlp

CALLS = 0
CRITIC = nn.Identity()
CONTEXT = contextvars.ContextVar("calls")


class Sum(nn.Module):
    """Two weighted terms; `factor` gives a number that is another one at each call."""

    lam_fit, lam_size = 1.0, 0.5

    def __init__(self, factor=None):
        super().__init__()
        self._factor = factor

    def factor(self, prediction):
        return self._factor(prediction)

    def forward(self, prediction, target):
        size = self.factor(prediction) * prediction.square().mean()
        return self.lam_fit * F.cross_entropy(prediction, target) + self.lam_size * size


class Offering(Sum):
    """The same, with a method that the watch may listen to."""

    def components(self, prediction, target):
        return {
            "fit": F.cross_entropy(prediction, target),
            "size": self.factor(prediction) * prediction.square().mean(),
        }

    def forward(self, prediction, target):
        terms = self.components(prediction, target)
        return self.lam_fit * terms["fit"] + self.lam_size * terms["size"]


def _critic(seed=7):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def by_global(kind, _):
    global CALLS
    CALLS = 0

    def factor(_prediction):
        global CALLS
        CALLS += 1
        return min(1.0, CALLS / 9)

    return kind(factor), lambda: CALLS


def by_global_network(kind, _):
    global CRITIC
    CRITIC = _critic()
    return kind(lambda prediction: CRITIC(prediction).mean()), lambda: [b.clone() for b in CRITIC.buffers()]


def by_closure(kind, _):
    state = {"calls": 0}

    def factor(_prediction):
        state["calls"] += 1
        return 1 / state["calls"]

    return kind(factor), lambda: dict(state)


def by_closure_network(kind, _):
    critic = _critic()
    return kind(lambda prediction: critic(prediction).mean()), lambda: [b.clone() for b in critic.buffers()]


def by_class_attribute(kind, _):
    class Counting(kind):
        calls = 0

        def factor(self, _prediction):
            type(self).calls += 1
            return 1 / type(self).calls

    return Counting(), lambda: Counting.calls


def by_iterator(kind, _):
    numbers = itertools.count(1)
    return kind(lambda _prediction: 1 / next(numbers)), lambda: next(numbers)


def by_generator(kind, _):
    def schedule():
        for k in range(1, 10**6):
            yield 1 / k

    steps = schedule()
    return kind(lambda _prediction: next(steps)), lambda: next(steps)


def by_random_generator(kind, _):
    generator = torch.Generator().manual_seed(5)
    return kind(lambda _prediction: torch.rand((), generator=generator)), generator.get_state


def by_file(kind, folder):
    path = folder / "calls.txt"
    path.write_text("")

    def factor(_prediction):
        with path.open("a") as file:
            file.write("x")
        return 1 / path.stat().st_size

    return kind(factor), path.read_text


def by_cache(kind, _):
    @functools.lru_cache(maxsize=4)
    def looked_up(value):
        return value

    return kind(lambda prediction: looked_up(float(prediction.detach().sum()))), lambda: tuple(looked_up.cache_info())


def by_context(kind, _):
    CONTEXT.set(0)

    def factor(_prediction):
        CONTEXT.set(CONTEXT.get() + 1)
        return 1 / CONTEXT.get()

    return kind(factor), CONTEXT.get


def by_refusal(kind, _):
    """A loss that takes a prediction once."""
    met = []

    def factor(prediction):
        if any(prediction is one for one in met):
            raise RuntimeError("The same prediction again.")
        met.append(prediction)
        return 1.0

    return kind(factor), lambda: len(met)


STATES = [
    by_global, by_global_network, by_closure, by_closure_network, by_class_attribute, by_iterator, by_generator,
    by_random_generator, by_file, by_cache, by_context, by_refusal,
]  # fmt: skip


def _trained(build, kind, folder, watched, **options):
    loss, state = build(kind, folder)
    one = job(loss=loss)
    torch.manual_seed(3)
    with watch(one.model, **options) if watched else contextlib.nullcontext():
        one.plain()
    return [p.detach().clone() for p in one.model.parameters()], one.shown, state(), torch.get_rng_state()


@pytest.mark.parametrize("kind", [Sum, Offering])
@pytest.mark.parametrize("build", STATES)
def test_state_that_a_loss_reaches_is_as_without_a_watch(build, kind, tmp_path):
    bare = _trained(build, kind, tmp_path, watched=False)
    assert same(bare, _trained(build, kind, tmp_path, watched=False)), "the training repeats"
    assert same(bare, _trained(build, kind, tmp_path, watched=True))


def test_a_loss_that_is_given_is_not_called_either(tmp_path):
    loss, state = by_closure(Offering, tmp_path)
    one = job(loss=loss)
    with watch(one.model, loss=loss):
        one.plain()
    assert state() == {"calls": 8}


def copies_in(loss, kept):
    """Copies made while the loss runs, in every way that people make them."""
    stream = io.BytesIO()
    torch.save(loss, stream)
    kept += [copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
    kept += [torch.load(io.BytesIO(stream.getvalue()), weights_only=False), stream.getvalue()]


class Copied(Offering):
    kept = None

    def factor(self, prediction):
        kept, self.kept = self.kept, None
        if kept is not None:
            copies_in(self, kept)
            self.kept = kept
        return 1.0


def test_copies_of_a_loss_made_while_it_runs_hold_nothing_of_the_kit():
    one, kept = job(loss=Copied()), []
    before = vars(Copied)["factor"], Offering.components
    one.loss.kept = kept
    bare = sorted(vars(one.loss))
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    assert run.trace.steps["term:size"].notna().all()
    assert (vars(Copied)["factor"], Offering.components) == before and "components" not in vars(Copied)
    assert len(kept) == 8 * 5
    for found in kept:
        if isinstance(found, bytes):
            assert b"kit.recording" not in found
        else:
            assert sorted(vars(found)) == bare and not found._forward_hooks


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_loss_that_raises_leaves_its_class_as_it_was(error):
    class Raising(Offering):
        def components(self, prediction, target):
            raise error

    method = vars(Raising)["components"]
    one = job(loss=Raising())
    with pytest.raises(error), watch(one.model, loss=one.loss):
        one.plain()
    assert vars(Raising)["components"] is method


def test_two_threads_listen_to_one_class():
    jobs = [job(loss=Offering(lambda _prediction: 1.0)) for _ in range(2)]
    method, gate, runs = vars(Offering)["components"], threading.Barrier(2), {}

    def train(number):
        one = jobs[number]
        gate.wait()
        with watch(one.model, loss=one.loss) as run:
            one.plain()
        runs[number] = run.trace

    threads = [threading.Thread(target=train, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vars(Offering)["components"] is method
    for trace in runs.values():
        total = trace.steps["term:fit"] + 0.5 * trace.steps["term:size"]
        assert (total - trace.steps["loss"]).abs().max() < 1e-5


def test_another_object_of_the_class_is_not_mistaken_for_the_loss():
    class Nested(Offering):
        def __init__(self, inner):
            super().__init__(lambda _prediction: 1.0)
            self.inner = [inner]

        def forward(self, prediction, target):
            other = self.inner[0].components(prediction * 3, target)
            return super().forward(prediction, target) + 0 * other["fit"]

    model, loss = mlp(), Nested(Offering(lambda _prediction: 1.0))
    with watch(model, loss=loss) as run:
        for x, y in batches():
            loss(model(x), y).backward()
    steps = run.trace.steps
    assert (steps["term:fit"] + 0.5 * steps["term:size"] - steps["loss"]).abs().max() < 1e-5
