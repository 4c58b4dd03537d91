"""`OwnSession`: anybody's training, live."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from types import MappingProxyType

import pytest
import torch
from torch import nn

from kit.hypotheses.likelihoods import Likelihoods
from kit.live import OwnFault, OwnSession
from kit.live.session import Session

UNCOUNTED = Likelihoods(MappingProxyType({}))


class TwoTerms(nn.Module):
    """mse + a penalty on the outputs, with weights as attributes."""

    def __init__(self, lam_mse=1.0, lam_size=0.1):
        super().__init__()
        self.lam_mse, self.lam_size = lam_mse, lam_size

    def components(self, prediction, target):
        return {"mse": (prediction - target).square().mean(), "size": prediction.square().mean()}

    def forward(self, prediction, target):
        parts = self.components(prediction, target)
        return self.lam_mse * parts["mse"] + self.lam_size * parts["size"]


def parts(dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 2))
        x = torch.randn(24, 3)
    y = torch.stack([x[:, 0] + x[:, 1], x[:, 2]], dim=1)
    batches = list(zip(x.split(6), y.split(6), strict=True))
    return model, TwoTerms(), torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), batches


def session_of(dropout=0.0, **options):
    model, loss, optimizer, batches = parts(dropout)
    options = {"validation": batches[:1], "epochs": 3, "likelihoods": UNCOUNTED, "probe_every": 5, **options}
    session = OwnSession.of(model, loss, optimizer, batches, **options)
    return session, model, loss, optimizer


def train(session, batches):
    return [session.advance() for _ in range(batches)]


def plain_run(epochs=3, dropout=0.0):
    """The same training, written down as anybody would."""
    model, loss, optimizer, batches = parts(dropout)
    shown = []
    for _ in range(epochs):
        model.train()
        losses = []
        for x, y in batches:
            optimizer.zero_grad()
            total = loss(model(x), y)
            total.backward()
            optimizer.step()
            losses.append(total.item())
        model.eval()
        with torch.no_grad():
            shown.append((sum(losses) / len(losses), loss(model(batches[0][0]), batches[0][1]).item()))
    return model, shown


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_untouched_it_is_the_plain_loop_bit_by_bit(dropout):
    state = torch.get_rng_state()
    session, model, _, _ = session_of(dropout)
    assert isinstance(session, Session) and session.planned == 12
    turns = train(session, 12)
    assert session.finished
    torch.set_rng_state(state)
    plain, shown = plain_run(dropout=dropout)
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert [t.val_loss for t in turns if t.val_loss is not None] == [val for _, val in shown]
    assert [t.train_loss for t in turns if t.train_loss is not None] == pytest.approx([train for train, _ in shown])
    assert [t.epoch for t in turns] == [1] * 4 + [2] * 4 + [3] * 4
    assert [t.step for t in turns if t.probed is not None] == [5, 10]


def test_weights_of_the_loss_are_sliders_with_their_terms():
    session, _, loss, _ = session_of()
    assert session.terms == {"lam_mse": "mse", "lam_size": "size"}
    train(session, 2)
    session.set_weights({"lam_size": 0.0, "lam_mse": 1.0})
    assert loss.lam_size == 0.0 and session.asked == {"lam_size": 0.0}
    for bad, message in (
        ({"lam_x": 1.0}, "Found 'lam_x'"),
        ({"lam_mse": -1.0}, ">= 0"),
        ({"lam_mse": math.nan}, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            session.set_weights({"lam_size": 0.5, **bad})
    assert loss.lam_size == 0.0
    assert train(session, 3)[-1].terms.keys() == {"mse", "size"}


def test_reset_is_the_very_start():
    session, model, loss, _ = session_of(0.5)
    start = copy.deepcopy(model.state_dict())
    first = [t.loss for t in train(session, 12)]
    session.set_weights({"lam_mse": 0.0})
    session.set_faults(["zero_learning_rate"])
    session.reset()
    assert session.step == 0 and session.active == () and loss.lam_mse == 1.0
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
    assert [t.loss for t in train(session, 12)] == first


@pytest.mark.parametrize("key", ["nan_gradients", "all_outputs_zero", "zero_learning_rate"])
def test_a_fault_acts_and_leaves(key):
    session, model, _, optimizer = session_of()
    assert key in [offer.key for offer in session.faults]
    train(session, 4)
    before = [p.detach().clone() for p in model.parameters()]
    session.set_faults([key])
    if key != "nan_gradients":
        train(session, 4)
        still = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert all(still) == (key == "zero_learning_rate")
    line = session.diagnosis()
    assert ("change at batch 4" in line) == (key == "nan_gradients")
    session.set_faults([])
    assert session.active == () and optimizer.param_groups[0]["lr"] == 0.1
    turn = train(session, 1)[0]
    assert math.isfinite(turn.grad_norm) and turn.grad_norm > 0
    assert not model._forward_hooks and all(not (p._backward_hooks or {}) for p in model.parameters())
    with pytest.raises(ValueError, match="Found 'no_such'"):
        session.set_faults(["no_such"])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("all_outputs_zero", "every output was 0 in each of 8 measured steps"),
        ("zero_learning_rate", "each of 8 steps had the rate 0"),
    ],
)
def test_the_line_names_what_is_wrong(key, said):
    session, *_ = session_of(epochs=10)
    train(session, 8)
    assert session.diagnosis().startswith("No sign of any known cause so far.")
    session.set_faults([key])
    train(session, 8)
    assert said in session.diagnosis()


def test_a_batch_that_fails_comes_again_and_so_does_a_validation():
    session, model, loss, _ = session_of()
    real, calls = loss.forward, []

    def sometimes(prediction, target):
        calls.append(1)
        if len(calls) in (3, 6):  # a training batch; the validation of the first epoch
            raise RuntimeError("not today")
        return real(prediction, target)

    train(session, 2 - 2)
    loss.forward = sometimes
    turns = []
    while not session.finished:
        try:
            turns.append(session.advance())
        except RuntimeError as error:
            assert str(error) == "not today"
    assert len(calls) == 12 + 3 + 2 and [t.step for t in turns] == list(range(1, 13))
    plain, _ = plain_run()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_a_step_of_ones_own_is_enough():
    values = iter(
        [3.0, 2.0, {"loss": 1.0, "epoch": 2, "grad_norm": 0.5, "stepped": False, "terms": {"a": 7.0}, "val_loss": 4}]
    )
    session = OwnSession(lambda: next(values), likelihoods=UNCOUNTED)
    turns = train(session, 3)
    assert [t.loss for t in turns] == [3.0, 2.0, 1.0] and [t.steps_taken for t in turns] == [1, 2, 2]
    assert turns[2].terms == {"a": 7.0} and turns[2].val_loss == 4 and turns[2].grad_norm == 0.5
    assert session.look() is None and session.weights == {} and session.planned is None and not session.finished
    assert session.diagnosis()
    with pytest.raises(ValueError, match="restart="):
        session.reset()
    with pytest.raises(StopIteration):
        session.advance()
    assert session.step == 3


def test_own_faults_are_context_managers():
    seen = []

    @contextmanager
    def applied():
        seen.append("on")
        yield
        seen.append("off")

    session = OwnSession(lambda: 1.0, faults=[OwnFault("mine", "Mine", applied, what="it hurts")])
    assert session.faults[0].title == "Mine" and session.faults[0].what == "it hurts"
    session.set_faults(["mine"])
    session.set_faults(["mine"])
    assert seen == ["on"] and session.active == ("mine",)
    session.set_faults([])
    assert seen == ["on", "off"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OwnSession(3), "OwnSession.of"),
        (lambda: OwnSession(lambda: 1.0, probe_every=0), "Found probe_every = 0"),
        (lambda: OwnSession.of(*parts()[:3], []), "at least one batch"),
    ],
)
def test_refusals_say_what_to_do(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_batches_that_do_not_begin_anew_are_named():
    model, loss, optimizer, batches = parts()
    session = OwnSession.of(model, loss, optimizer, iter(batches), likelihoods=UNCOUNTED)
    train(session, 3)  # the first was looked at to see what a batch is
    with pytest.raises(ValueError, match="begin anew in every epoch"):
        session.advance()
