"""Faults of the loop: which number of the symptom each makes, by closed form, and the finding that follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit import faults
from kit.studies import faults_of_the_loop
from kit.studies.questions.faults_of_the_loop import (
    AFTER_LOOP,
    HEALTHY,
    ON_STEPS,
    READ_AS_ZERO,
    SCENES,
    SETUPS,
    SKIPPED,
    STILL,
    STILL_AND_UNADDED,
    UNADDED,
    LossNeverAdded,
    counts,
    one_by_one,
)
from kit.studies.symptom import symptom_shown
from tests.training._runs import small_system


@pytest.fixture(scope="module")
def system():
    return small_system(structure_schedule=False, ema_decay=0.999)


@pytest.fixture(scope="module")
def found(system):
    return faults_of_the_loop.run(system)


def test_which_number_of_the_symptom_each_fault_makes(found):
    assert {name: symptom_shown(run) for name, run in found.runs.items()} == {
        SKIPPED: "both",
        READ_AS_ZERO: "both",
        STILL_AND_UNADDED: "both",
        STILL: "validation only",
        UNADDED: "train only",
        ON_STEPS: "neither",
        AFTER_LOOP: "neither",
        HEALTHY: "neither",
    }


def test_the_watch_counts_what_the_loop_counts(found):
    """Second way: the loop's own counters, in every epoch of every run."""
    for run in found.watched.values():
        own, seen = run.history.epochs, run.trace.epochs
        for mine, theirs in (("backward_calls", "backwards"), ("steps_taken", "steps"), ("forward_passes", "batches")):
            assert own[mine].tolist() == seen[theirs].tolist()


def test_four_counts_tell_the_faults_apart(found):
    four = counts(found)[["forward", "loss", "backward", "steps"]]
    batches = counts(found)["batches"].iloc[0]
    assert four.loc[SKIPPED].tolist() == four.loc[READ_AS_ZERO].tolist() == [batches, batches, batches, 0]
    assert four.loc[AFTER_LOOP].tolist() == [batches, 1, 1, 1]
    for name in (STILL_AND_UNADDED, STILL, UNADDED, ON_STEPS, HEALTHY):
        assert four.loc[name].tolist() == [batches] * 4


def test_after_the_loop_the_display_is_the_last_loss_over_the_batches(found):
    history = found.runs[AFTER_LOOP]
    for record, step in zip(history.epoch_records, history.step_records, strict=True):
        assert record["train_loss"] == pytest.approx(step["loss"] / record["batches"], rel=1e-12)
    row = counts(found).loc[AFTER_LOOP]
    assert row["train_computed"] == pytest.approx(row["train_displayed"] * row["batches"], rel=1e-6)


def test_a_display_does_not_touch_the_training(found):
    """Only what is displayed differs from the healthy run; a sum over taken steps is the sum when every step is taken."""
    healthy = found.runs[HEALTHY]
    assert found.runs[ON_STEPS].epoch_records == healthy.epoch_records
    assert found.runs[UNADDED].step_records == healthy.step_records
    assert found.runs[UNADDED].val_loss == healthy.val_loss


def test_computed_losses_are_finite_and_above_0_where_0_is_displayed(found):
    for name in (SKIPPED, STILL_AND_UNADDED, UNADDED):
        assert found.runs[name].train_loss == [0.0] * len(found.runs[name].train_loss)
        assert min(record["loss"] for record in found.runs[name].step_records) > 1


def test_the_diagnosis_names_a_fault_that_was_put_in(found):
    for name, run in found.watched.items():
        top = run.diagnosis.top
        if name in (HEALTHY, ON_STEPS):
            assert top is None
        else:
            assert top.key in {fault.hypothesis for fault in SETUPS[name].faults}


def test_one_fix_confirms_a_single_fault_and_neither_of_two(found):
    def said(name):
        return {c.key: c.intervention.confirmed for c in found.watched[name].diagnosis.causes if c.intervention}

    assert said(STILL)["zero_learning_rate"] is True and said(UNADDED)["wrong_number"] is True
    assert set(said(STILL_AND_UNADDED).values()) == {False} and len(said(STILL_AND_UNADDED)) == 2
    assert set(said(AFTER_LOOP).values()) == {None}, "there was no symptom to remove"


def test_each_of_two_faults_makes_one_number(found, system):
    """Second way: the fixes of the kit applied to the run with both faults."""
    assert found.show("one_by_one").frame["number of the symptom left"].tolist() == [
        "both",
        "train only",
        "validation only",
        "neither",
    ]
    faulty_system = faults.FaultySystem(system, SETUPS[STILL_AND_UNADDED].faults, epochs=system.config.epochs)
    _, without_still, without_unadded, _ = one_by_one(found).values()
    assert faulty_system.run(fix="wrong_number").epoch_records == without_unadded.epoch_records
    assert symptom_shown(faulty_system.run(fix="zero_learning_rate")) == symptom_shown(without_still) == "train only"


def test_the_missing_line_is_undone(system):
    loop = system.new_loop()
    before = loop.new_running_loss
    with LossNeverAdded().applied_to(loop):
        assert loop.new_running_loss is not before
    assert loop.new_running_loss is before


def test_the_entry_follows_what_was_measured(found, tmp_path):
    finding = found.finding(command="here")
    assert finding.verdict == "confirmed"
    both = "; ".join(found.caption(name) for name in (SKIPPED, READ_AS_ZERO, STILL_AND_UNADDED))
    assert finding.answer.startswith(f"Both numbers, exactly: {both}.")
    assert finding.write(tmp_path / "page.html").path.stat().st_size < 300_000
    healthy = found.watched[HEALTHY]
    tame = replace(
        found, runs=dict.fromkeys(found.runs, healthy.history), watched=dict.fromkeys(found.watched, healthy)
    )
    other = tame.finding(command="here")
    assert other.verdict == "refuted" and other.answer.startswith("Both numbers, exactly: none.")


def test_the_system_of_the_notebook_is_the_faulty_one_on_fewer_scenes():
    few = faults_of_the_loop.system()
    assert len(few.train) == SCENES and len(few.train) // few.config.batch_size == 4
