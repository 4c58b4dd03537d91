"""``kit.check``: a few steps on one batch before the run, and everything as it was afterwards."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kit
from tests.bench.cases import CHECKED_ONLY_IN_A_RUN, WANTED, checked
from tests.recording._left import outside

X = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
Y = X[:, :1] - 0.5 * X[:, 1:2] + 0.3


def network(outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, outputs))


def adam(model, lr=0.01):
    return torch.optim.Adam(model.parameters(), lr=lr)


def said(found):
    print(found)  # pytest shows it if the comparison fails
    return found.verdict if found.top is None else found.top.key


def test_every_part_is_bitwise_as_it_was_and_an_open_watch_hears_nothing():
    model = network()
    optimizer = adam(model)
    F.mse_loss(model(X), Y).backward()
    optimizer.step()
    model.eval()
    places = outside()
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]))
    random, groups = torch.get_rng_state(), list(map(id, optimizer.param_groups))
    with kit.watch(model) as run:
        kit.check(model, nn.MSELoss(), (X, Y), optimizer)
    assert run.trace.facts["turns"] == 0
    now = model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]
    torch.testing.assert_close(now, state, rtol=0, atol=0)
    assert torch.equal(random, torch.get_rng_state()) and groups == list(map(id, optimizer.param_groups))
    assert not model.training
    assert outside() == places


def test_a_check_inside_a_watched_loop_changes_nothing_of_what_is_recorded():
    def run(checks):
        model = network()
        optimizer = adam(model)
        with kit.watch(model) as watched:
            for step in range(6):
                optimizer.zero_grad()
                F.mse_loss(model(X), Y).backward()
                optimizer.step()
                if checks and step == 2:
                    kit.check(model, nn.MSELoss(), (X, Y), optimizer)
        return watched.trace.steps, model.state_dict()

    (steps, state), (steps_with, state_with) = run(False), run(True)
    torch.testing.assert_close(state, state_with, rtol=0, atol=0)
    assert steps.equals(steps_with)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    "program", [p for p in WANTED if p.__name__ not in CHECKED_ONLY_IN_A_RUN], ids=lambda p: p.__name__
)
def test_what_lies_in_the_step_is_found_before_the_run(program):
    assert said(checked(program)) == WANTED[program]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", sorted(CHECKED_ONLY_IN_A_RUN))
def test_what_lies_in_the_loop_is_not_seen_before_it(name):
    """The table of the README would otherwise have to say more."""
    program = next(program for program in WANTED if program.__name__ == name)
    found = checked(program)
    assert found is None or said(found) != WANTED[program]


def test_a_frozen_network_a_rate_of_zero_and_a_part_outside_of_the_optimizer():
    model = network()
    assert said(kit.check(model, nn.MSELoss(), (X, Y), adam(model, 0.0))) == "zero_learning_rate"
    half = network()
    assert (
        said(kit.check(half, nn.MSELoss(), (X, Y), torch.optim.SGD(half[0].parameters(), 0.1)))
        == "parameters_not_trained"
    )
    frozen = network()
    optimizer = adam(frozen)
    assert said(kit.check(frozen.requires_grad_(False), nn.MSELoss(), (X, Y), optimizer)) == "parameters_not_trained"


def test_a_warm_up_from_zero_is_no_fault():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 10))
    found = kit.check(model, nn.MSELoss(), (X, Y), optimizer)
    assert said(found) == "healthy" and optimizer.param_groups[0]["lr"] == 0.0
    assert any("the steps here took 0.1" in note for note in found.notes)


def test_an_update_below_the_rounding_of_the_parameters():
    model = network().bfloat16()
    found = kit.check(model, nn.MSELoss(), (X.bfloat16(), Y.bfloat16()), torch.optim.SGD(model.parameters(), 1e-6))
    assert said(found) == "update_rounded_away"
    healthy = network().bfloat16()
    found = kit.check(healthy, nn.MSELoss(), (X.bfloat16(), Y.bfloat16()), torch.optim.SGD(healthy.parameters(), 0.1))
    assert said(found) == "healthy"


def test_a_watched_run_knows_a_rounded_update_too():
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), 1e-7)
    with kit.watch(model) as run:
        for _ in range(8):
            optimizer.zero_grad()
            F.mse_loss(model(X.bfloat16()), Y.bfloat16()).backward()
            optimizer.step()
    assert said(kit.diagnose(run)) == "update_rounded_away"


@pytest.mark.parametrize("kind", ["lbfgs", "two", "another package's", "none"])
def test_optimizers_of_every_kind(kind):
    model = network()

    class Own:
        def zero_grad(self):
            model.zero_grad()

        def step(self):
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.05 * p.grad

    optimizer = {
        "lbfgs": lambda: torch.optim.LBFGS(model.parameters(), max_iter=3),
        "two": lambda: [torch.optim.SGD(model[0].parameters(), 0.05), torch.optim.SGD(model[1:].parameters(), 0.05)],
        "another package's": Own,
        "none": lambda: None,
    }[kind]()
    found = kit.check(model, nn.MSELoss(), (X, Y), optimizer)
    assert said(found) == "healthy" and "20 steps" in found.notes[-1]


def test_the_constant_prediction_against_its_closed_form():
    found = kit.check(network(), nn.MSELoss(), (X, Y))
    least = (Y - Y.mean()).square().mean().item()
    assert f"one prediction for all samples has {least:.4g} at best" in found.notes[-1]
    labels = (Y > 0.6).float()
    share = labels.mean().item()
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    found = kit.check(network(), nn.BCEWithLogitsLoss(), (X, labels))
    assert f"has {entropy:.4g} at best" in found.notes[-1]


def test_a_start_far_above_the_constant_prediction_is_said():
    model = network()
    with torch.no_grad():
        model[-1].weight.mul_(100)
    assert "look at the scale" in kit.check(model, nn.MSELoss(), (X, Y)).notes[-1]


def test_samples_that_mix_are_said_and_batch_norm_is_not():
    mixing = nn.Sequential(nn.Linear(3, 16), nn.Softmax(0), nn.Linear(16, 1))
    assert any("other samples" in note for note in kit.check(mixing, nn.MSELoss(), (X, Y)).notes)
    assert not any("other samples" in note for note in kit.check(network(), nn.MSELoss(), (X, Y)).notes)


def test_a_loss_that_cannot_be_repeated_is_said_and_dropout_is_not():
    import itertools

    counter = itertools.count(1)  # holds its state where no copy can be made of it
    found = kit.check(network(), lambda p, t: F.mse_loss(p, t) * next(counter), (X, Y))
    assert any("no result can be repeated" in note for note in found.notes)
    assert not any("repeated" in note for note in kit.check(network(), nn.MSELoss(), (X, Y)).notes)


def test_notes_are_printed_and_saved():
    found = kit.check(network(), nn.MSELoss(), (X, Y))
    assert str(found).endswith(found.notes[-1]) and found.to_dict()["notes"] == list(found.notes)


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (
            {"optimizer": 0.1},
            TypeError,
            r"optimizer should have step\(\) and zero_grad\(\), or be a list of such. Found a float.",
        ),
        ({"steps": 2}, ValueError, "steps should be a whole number >= 5. Found steps = 2."),
        ({"steps": True}, ValueError, "steps should be a whole number >= 5. Found steps = True."),
        ({"batch": X}, ValueError, "batch should have .inputs and .target"),
        ({"loss": 3}, TypeError, "loss should be a callable"),
    ],
)
def test_other_parts_are_refused_in_a_sentence(given, error, sentence):
    parts = {"model": network(), "loss": nn.MSELoss(), "batch": (X, Y), **given}
    with pytest.raises(error, match=sentence):
        kit.check(parts.pop("model"), parts.pop("loss"), parts.pop("batch"), **parts)


def test_an_error_of_the_model_comes_up_and_everything_is_put_back():
    model = network()
    before, places = copy.deepcopy(model.state_dict()), outside()
    with pytest.raises(RuntimeError, match="model should take the inputs of the batch"):
        kit.check(model, nn.MSELoss(), (X[:, :2], Y), adam(model))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert outside() == places
