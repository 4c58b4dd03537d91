"""``kit.watch(on_finding=...)``: what is broken and stays broken is said once, while the run goes on."""

from __future__ import annotations

import contextlib
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kit
from kit.recording import FindingError, FindingWarning
from kit.recording.on_finding import BUDGET, FIRST_LOOK, FREE_LOOKS, Lookout
from tests.recording._left import outside

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :1] * 2


def loop(steps=120, broken_from=None, every=1, seed=0):
    """A plain loop; from some step on its rate is 0. ``every``: batches to a step. Its parameters, and the steps that it made."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer, made = torch.optim.SGD(model.parameters(), 0.02), 0

    def train():
        nonlocal made
        for step in range(steps):
            if step == broken_from:
                optimizer.param_groups[0]["lr"] = 0.0
            F.mse_loss(model(X), Y).backward()
            if (step + 1) % every == 0:
                optimizer.step()
                optimizer.zero_grad()
            made += 1

    return model, train, lambda: made


def watched(act, **asked):
    model, train, made = loop(**asked)
    with kit.watch(model, on_finding=act) as run:
        train()
    return run, model, made()


def test_a_fault_from_the_first_step_on_is_told_once_and_the_run_goes_on():
    told = []
    _, _, made = watched(told.append, broken_from=0)
    assert made == 120 and [found.top.key for found in told] == ["zero_learning_rate"]


def test_a_healthy_run_is_told_nothing_and_long_accumulation_is_no_fault():
    told = []
    watched(told.append)
    watched(told.append, every=100)
    assert not told


def test_raise_ends_the_run_soon_after_it_broke():
    model, train, made = loop(400, broken_from=0)
    before = outside()
    with (
        pytest.raises(FindingError, match="the learning rate is 0") as caught,
        kit.watch(model, on_finding="raise") as run,
    ):
        train()
    assert FIRST_LOOK < made() <= 2 * FIRST_LOOK
    assert caught.value.diagnosis.top.key == "zero_learning_rate" and caught.value.step <= made() + 1
    assert run.trace.facts["ended"] == "FindingError" and outside() == before


def test_a_fault_that_sets_in_on_the_way_is_told():
    told = []
    watched(told.append, steps=400, broken_from=100)
    assert [found.top.key for found in told] == ["zero_learning_rate"]


def test_print_and_warn(capsys):
    watched("print", broken_from=0)
    assert "Established: the learning rate is 0" in capsys.readouterr().out
    with pytest.warns(FindingWarning, match="the learning rate is 0"):
        watched("warn", broken_from=0)


def test_what_is_short_is_judged_at_its_end():
    told = []
    run, _, made = watched(told.append, steps=8, broken_from=0)
    assert made == 8 and told[0].top.key == "zero_learning_rate"
    with pytest.raises(FindingError):
        watched("raise", steps=8, broken_from=0)
    assert run.trace.facts["ended"] == "return"


def test_an_error_of_the_training_stays_the_error():
    model, train, _ = loop(8, broken_from=0)
    with pytest.raises(ZeroDivisionError), kit.watch(model, on_finding="raise"):
        train()
        1 / 0  # noqa: B018


def test_what_the_function_raises_reaches_the_loop():
    class Stop(Exception):
        pass

    def stop(found):
        raise Stop

    model, train, made = loop(400, broken_from=0)
    with pytest.raises(Stop), kit.watch(model, on_finding=stop):
        train()
    assert made() < 400


def test_training_is_bitwise_the_same():
    model, train, _ = loop(broken_from=60)
    train()
    _, seen, _ = watched(lambda found: None, broken_from=60)
    torch.testing.assert_close(seen.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_looks_stay_within_their_share_of_the_time():
    now, looks = [0.0], []

    def trace():
        looks.append(now[0])
        now[0] += 1.0  # a look takes a second
        raise LookupError  # what is judged is of no matter here

    lookout = Lookout("print", trace, clock=lambda: now[0])
    for number in range(1, 10_001):
        now[0] += 0.01
        with contextlib.suppress(LookupError):  # a watch notes it and goes on
            lookout.step_ended(number)
    assert len(looks) > FREE_LOOKS
    assert len(looks) <= FREE_LOOKS + 1 + BUDGET * now[0]


@pytest.mark.parametrize("act", ["shout", 3, True])
def test_another_way_is_refused(act):
    with pytest.raises(
        ValueError, match="on_finding should be 'print', 'warn', 'raise', a function of the diagnosis, or None"
    ):
        kit.watch(on_finding=act)


def test_a_watch_without_it_looks_at_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run, _, _ = watched(None, broken_from=0)
    assert kit.diagnose(run).top.key == "zero_learning_rate"
