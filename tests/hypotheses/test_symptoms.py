"""What each hypothesis predicts for train loss, validation loss, gradient and steps, against a run with that fault."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import pytest

import kit
from kit import faults
from kit.hypotheses import ALL
from kit.training import TrainingHistory
from tests.training._runs import small_system

FAULTS = {fault.key: fault for fault in vars(faults).values() if isinstance(fault, type) and hasattr(fault, "key")}
PREDICTED = [(h, key) for h in ALL for key in h.symptoms or ()]


def _run(fault: faults.Fault) -> tuple[TrainingHistory, list[float]]:
    """A few epochs with the fault, and the share of exactly zero gradient tensors after each backward pass."""
    system = small_system(epochs=3, structure_schedule=False)
    loop = system.with_weights(lam_cov=1.0).new_loop()
    shares = []
    with fault.applied_to(loop), warnings.catch_warnings():
        warnings.simplefilter("ignore", kit.loss.ZeroWeightWarning)
        poison = loop.after_backward

        def look():
            poison()
            grads = [p.grad for p in loop.model.parameters() if p.grad is not None]
            shares.append(
                sum(not g.any() for g in grads) / len(grads) if all(g.isfinite().all() for g in grads) else math.nan
            )

        loop.after_backward = look
        return loop.run(), shares


@pytest.mark.parametrize(("hypothesis", "key"), PREDICTED, ids=[f"{h.key}-{key}" for h, key in PREDICTED])
def test_the_run_shows_what_was_predicted(hypothesis, key):
    predicted = hypothesis.symptoms[key]
    history, zero_shares = _run(FAULTS[key]())
    if predicted.train_zero is not None:
        assert all(value == 0 for value in history.train_loss) == predicted.train_zero, history.train_loss
    if predicted.validation_level is not None:
        assert (len(set(history.val_loss)) == 1) == predicted.validation_level, history.val_loss
    epochs = history.epochs
    counted = {
        "every batch": lambda: (epochs["steps_taken"] == epochs["forward_passes"]).all(),
        "none": lambda: (epochs["steps_taken"] == 0).all(),
        "one an epoch": lambda: (epochs["steps_taken"] == 1).all() and (epochs["forward_passes"] > 1).all(),
    }
    if predicted.steps is not None:
        assert counted[predicted.steps](), epochs[["forward_passes", "steps_taken"]]
    gradient = {
        "zero": lambda: all(share == 1 for share in zero_shares),
        "non-zero": lambda: all(share < 1 for share in zero_shares),
        "partly zero": lambda: all(0 < share < 1 for share in zero_shares),
        "non-finite": lambda: all(math.isnan(share) for share in zero_shares),
    }
    if predicted.gradient is not None:
        assert gradient[predicted.gradient](), zero_shares


def test_every_fault_makes_a_known_hypothesis_true():
    keys = {h.key for h in ALL}
    assert {fault.hypothesis for fault in FAULTS.values()} <= keys
    report = [h for h in ALL if h.rank is not None]
    assert all({key for key in h.symptoms} == {f.key for f in FAULTS.values() if f.hypothesis == h.key} for h in report)


def test_the_fix_of_each_hypothesis_removes_what_its_faults_do():
    """Every symptom that a fault of ours shows is gone with the fix of its own hypothesis."""
    for key, fault in FAULTS.items():
        if fault.hypothesis == "wrong_number":
            continue
        faulty_system = faults.FaultySystem(small_system(structure_schedule=False), (fault(),), epochs=2)
        from kit.diagnosis import Shown
        from kit.hypotheses import POLICY

        before, after = Shown.by(faulty_system.run(), POLICY), Shown.by(faulty_system.run(fault.hypothesis), POLICY)
        assert not after.symptoms, (key, after)
        assert isinstance(before.train, str)


def test_a_faulty_system_knows_its_fixes_and_starts_anew():
    faulty_system = faults.FaultySystem(small_system(), (faults.NanGradients(),), epochs=1)
    assert faulty_system.run().train_loss == faulty_system.run().train_loss
    with pytest.raises(KeyError, match="fix should be one of loss_weights"):
        faulty_system.run(fix="prayer")
    assert replace(faulty_system, epochs=2).run().epochs.shape[0] == 2
