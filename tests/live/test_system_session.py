"""`SystemSession`: untouched it is a plain run, bit by bit; touched, it comes back exactly."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

import kit
from kit.hypotheses.likelihoods import Likelihoods
from kit.live import SystemSession
from kit.live.session import Session
from tests.training._runs import small_system

UNCOUNTED = Likelihoods(MappingProxyType({}))


def session_of(system=None, **options):
    return SystemSession(system or small_system(), likelihoods=UNCOUNTED, **{"probe_every": 1000, **options})


def train(session, batches):
    return [session.advance() for _ in range(batches)]


def parameters(session):
    return [p.detach().clone() for p in session.loop.model.parameters()]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"ema_decay": 0.9, "validate_with_blend": True},
        {"stage_mix": True, "epochs": 3},
        {"search_weights": {"lam_cov": 0.2}, "blend": 0.0, "batch_size": 5},
    ],
    ids=["plain", "average", "stages", "search weights, a short last batch"],
)
def test_untouched_it_is_the_plain_run_bit_by_bit(config):
    system = small_system(**config)
    loop = system.new_loop()
    plain = loop.run()
    session = session_of(system, probe_every=3)
    turns = train(session, session.planned)
    assert session.finished and session.step == session.planned
    live = session.history()
    assert live.epoch_records == plain.epoch_records
    assert live.step_records == plain.step_records
    assert live.settings == plain.settings
    for mine, theirs in zip(session.loop.model.parameters(), loop.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert [t.train_loss for t in turns if t.train_loss is not None] == plain.train_loss
    assert [t.val_loss for t in turns if t.val_loss is not None] == plain.val_loss
    assert [t.steps_taken for t in turns] == list(range(1, len(turns) + 1))
    assert any(t.probed is not None for t in turns)


def test_it_is_a_session():
    session = session_of()
    assert isinstance(session, Session)
    assert session.terms["lam_cov"] == "loss_nmse" and list(session.terms) == list(session.weights)
    assert session.active == () and session.asked == {} and not session.finished


def test_the_terms_of_a_turn_weigh_up_to_its_loss():
    session = session_of()
    session.set_weights({"lam_K": 0.0})
    for turn in train(session, 4):
        assert set(turn.terms) == set(session.terms.values()), "a term is shown also while its weight is 0"
        total = sum(w * turn.terms[session.terms[name]] for name, w in session.weights.items())
        assert turn.loss == pytest.approx(total, rel=1e-5)


def test_a_weight_set_by_hand_stays_against_the_schedule_and_the_others_follow_it():
    system = small_system(epochs=8)
    session = session_of(system)
    session.set_weights({"lam_peak_contrast": 0.4})
    assert session.asked == {"lam_peak_contrast": 0.4}
    train(session, 3 * 4)
    records = session.history().epoch_records
    assert {r["lam_peak_contrast"] for r in records} == {0.4}
    plain = system.run().epoch_records
    assert [r["lam_subspace_align"] for r in records] == [r["lam_subspace_align"] for r in plain[:4]]
    assert records[0]["train_loss"] != plain[0]["train_loss"]


def test_a_weight_that_is_set_to_what_it_is_changes_nothing():
    system = small_system()
    session = session_of(system)
    train(session, 2)
    session.set_weights(dict(session.weights))
    assert session.asked == {}
    train(session, session.planned - 2)
    assert session.history().epoch_records == system.run().epoch_records


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"lam_x": 1.0}, "Found lam_x"), ({"lam_cov": -1.0}, ">= 0"), ({"lam_cov": float("nan")}, "finite")],
)
def test_refused_weights_change_nothing(weights, message):
    session = session_of()
    before = session.weights
    with pytest.raises(ValueError, match=message):
        session.set_weights({"lam_K": 0.1, **weights})
    assert session.weights == before and session.asked == {}


def test_every_fault_of_the_kit_is_on_offer_under_its_hypothesis():
    offers = session_of().faults
    kinds = [getattr(kit.faults, name) for name in kit.faults.__all__]
    known = {k.key: k for k in kinds if isinstance(k, type) and issubclass(k, kit.faults.Fault) and hasattr(k, "key")}
    assert {offer.key for offer in offers} == set(known)
    titles = {h.key: h.title for h in kit.hypotheses.ALL}
    assert all(offer.group == titles[known[offer.key].hypothesis] for offer in offers)
    assert all(offer.title and offer.what and not offer.unfit for offer in offers)
    assert {(offer.title, offer.what) for offer in offers} == {(known[key]().title, known[key]().what) for key in known}


def every_fault():
    return [offer.key for offer in session_of().faults]


@pytest.fixture(scope="module")
def untouched():
    """A system, and its run that nobody touches."""
    system = small_system(epochs=3)
    return system, system.run()


@pytest.mark.parametrize("key", every_fault())
def test_a_fault_put_on_and_taken_off_between_two_batches_leaves_no_trace(key, untouched):
    system, plain = untouched
    session = session_of(system)
    train(session, 4)
    before, weights = parameters(session), session.weights
    session.set_faults([key])
    assert session.active == (key,)
    session.look()
    session.set_faults([])
    assert session.active == () and session.weights == weights
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(session), strict=True))
    train(session, session.planned - 4)
    assert session.history().epoch_records == plain.epoch_records
    assert session.history().step_records == plain.step_records


@pytest.mark.parametrize("key", every_fault())
def test_training_goes_on_under_every_fault_and_after_it(key):
    session = session_of(small_system(epochs=4), probe_every=6)  # once under the fault, once after it
    train(session, 4)
    session.set_faults([key])
    at = session.step
    while session.step < at + 5:
        session.advance()
    assert session.diagnosis()
    session.set_faults([])
    while not session.finished:
        session.advance()
    assert len(session.history().epoch_records) == 4


def test_a_fault_acts_from_the_next_batch_on():
    session = session_of(small_system(epochs=3))
    train(session, 4)
    still = parameters(session)
    session.set_faults(["nan_gradients"])
    turn = session.advance()
    assert turn.steps_taken == 4 and turn.grad_norm == 0
    assert all(torch.equal(a, b) for a, b in zip(still, parameters(session), strict=True))
    session.set_faults([])
    assert session.advance().steps_taken == 5


def test_of_several_faults_the_older_ones_stay_in_place():
    session = session_of(small_system(epochs=4))
    session.set_faults(["heads_start_at_zero"])
    train(session, 2)
    heads = [p.detach().clone() for p in session.loop.model.heads.parameters()]
    assert any(p.any() for p in heads)
    session.set_faults(["heads_start_at_zero", "nan_gradients"])
    found = list(session.loop.model.heads.parameters())
    assert all(torch.equal(a, b) for a, b in zip(heads, found, strict=True)), "what was trained since stays"
    session.set_faults(["nan_gradients"])
    assert session.active == ("nan_gradients",)
    assert session.advance().grad_norm == 0
    session.set_faults([])
    fresh = session.system.new_model().heads.parameters()
    assert all(torch.equal(a, b) for a, b in zip(fresh, session.loop.model.heads.parameters(), strict=True))


def test_a_weight_that_a_fault_keeps_is_in_force_and_comes_back():
    session = session_of(small_system(epochs=4))
    session.set_weights({"lam_K": 0.25})
    session.set_faults(["all_weights_zero"])
    session.set_weights({"lam_aux": 0.5})
    assert set(session.weights.values()) == {0.0} and session.asked["lam_aux"] == 0.5
    assert session.advance().loss == 0
    session.set_faults([])
    assert session.weights["lam_K"] == 0.25 and session.weights["lam_aux"] == 0.5
    assert session.weights["lam_cov"] == session.system.weights["lam_cov"]


def test_a_search_weight_wins_over_one_set_before_it_and_loses_to_one_set_after_it():
    session = session_of(small_system(epochs=4))
    session.set_weights({"lam_cov": 0.9})
    session.set_faults(["search_sets_lam_cov_zero"])
    train(session, 4)
    assert session.weights["lam_cov"] == 0
    session.set_weights({"lam_cov": 0.6})
    train(session, 4)
    assert session.weights["lam_cov"] == 0.6


def test_unknown_faults_are_refused_and_nothing_changes():
    session = session_of()
    session.set_faults(["lam_cov_zero"])
    with pytest.raises(ValueError, match="Found 'no_such_fault'"):
        session.set_faults(["no_such_fault"])
    assert session.active == ("lam_cov_zero",)


@pytest.mark.parametrize("place", ["forward", "validate"])
def test_a_batch_that_fails_comes_again(place):
    system = small_system()
    session = session_of(system)
    train(session, 2)
    real = getattr(session.loop, place)
    calls = []

    def once(*args, **options):
        calls.append(place)
        if len(calls) == 1:
            raise RuntimeError("not today")
        return real(*args, **options)

    setattr(session.loop, place, once)
    with pytest.raises(RuntimeError, match="not today"):
        train(session, 2)
    while not session.finished:
        session.advance()
    plain = system.run()
    assert session.history().step_records == plain.step_records
    assert session.history().epoch_records == plain.epoch_records


def test_reset_is_the_very_start():
    system = small_system()
    session = session_of(system)
    session.set_faults(["heads_start_at_zero", "lam_cov_zero"])
    session.set_weights({"lam_K": 0.0})
    train(session, 3)
    session.reset()
    assert session.step == 0 and session.active == () and session.asked == {}
    train(session, session.planned)
    assert session.history().epoch_records == system.run().epoch_records


def test_a_probe_is_taken_once_for_a_state_and_again_after_a_change():
    session = session_of()
    first = session.look()
    assert session.look() is first
    session.set_weights({"lam_cov": 0.0})
    second = session.look()
    assert second is not first and second.weights[0] == 0
    session.advance()
    assert session.look() is not second


def test_probes_come_every_so_many_batches():
    turns = train(session_of(small_system(epochs=3), probe_every=4), 9)
    assert [turn.step for turn in turns if turn.probed is not None] == [4, 8]
    with pytest.raises(ValueError, match="Found probe_every = 0"):
        session_of(probe_every=0)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "all_weights_zero",
            "established so far: weights of the loss are 0, or its terms cancel: 7 of 7 weights were 0",
        ),
        ("lam_cov_zero", "because: main weight 0 (lam_cov was 0)"),
        ("blend_missing", "because: prediction missing (missing: R_blend)"),
        ("loss_outside_loop", "most likely so far: the loss, or the step, stands after the batch loop"),
    ],
)
def test_the_line_names_a_fault_and_says_why(key, said):
    session = session_of(small_system(epochs=6))
    assert session.diagnosis() == "Nothing was seen yet."
    train(session, 6)
    assert session.diagnosis().startswith("No sign of any known cause so far.")
    session.set_faults([key])
    assert session.diagnosis() == "Nothing was seen yet after the change at batch 6."
    while session.step < 14:
        session.advance()
    line = session.diagnosis()
    assert line.startswith("After batch 6, ") and said in line
    assert "the loss would be zero" not in line  # the report's claim is what is tried, not what happens
    assert re.search(r"\d+ of \d+ causes had nothing to look at\.$", line)
    session.set_faults([])
    train(session, 3)
    assert "no sign of any known cause" in session.diagnosis()


def test_a_loss_that_is_displayed_as_zero_is_weighed_as_it_was_computed():
    session = session_of(small_system(epochs=6))
    session.set_faults(["nan_loss_read_as_zero"])
    turns = train(session, 7)
    assert {turn.loss for turn in turns} == {0.0}, "what is displayed is what is drawn"
    assert session._record.evidence({}).steps["loss"].isna().all()
    assert "7 measured steps had NaN or infinity in its gradient" in session.diagnosis()


def test_the_epoch_of_a_change_counts_for_neither_side():
    session = session_of(small_system(epochs=4))
    train(session, 4)
    session.set_faults(["all_weights_zero"])
    train(session, 5)
    shown = session._record.evidence({}).epochs
    assert list(shown.index) == [2, 3]
    assert shown["train_loss"].isna().tolist() == [True, False], "batches of the second epoch had both"
    assert shown["train_loss"].iloc[1] == 0
    assert shown["batches"].tolist() == [2, 3]


def test_the_shipped_system_runs_live():
    system = kit.datasets.reference_system()
    system = replace(system, train=system.train[:8], validation=system.validation[:4])
    session = session_of(replace(system, config=replace(system.config, batch_size=4, epochs=1)))
    assert len(train(session, session.planned)) == 2


def test_the_faults_of_a_hypothesis_come_first_and_are_named():
    session = session_of(about="zero_outputs")
    named = [offer.key for offer in session.faults if offer.suggested]
    assert named and named == [offer.key for offer in session.faults[: len(named)]]
    assert {offer.group for offer in session.faults if offer.suggested} == {"All model outputs are zero"}
    assert not any(offer.suggested for offer in session_of().faults)
    with pytest.raises(ValueError, match="about should be hypotheses that have a fault: loss_weights, .* Found 'luck'"):
        session_of(about="luck")
