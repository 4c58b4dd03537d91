"""Findings say what was measured, in both directions: made-up runs that confirm a claim get another verdict and another text."""

from __future__ import annotations

from dataclasses import replace

import pytest

import kit
from kit import faults
from kit.diagnosis import diagnose
from kit.studies import loss_weights, overfit, ranking
from kit.studies.questions.loss_weights import ALL_OFF, FIXED, NO_COV, SETUPS
from kit.studies.symptom import shows_symptom
from tests.training._runs import small_system


def faulty(**weights: float) -> kit.training.TrainingHistory:
    loop = small_system(structure_schedule=False).with_weights(**weights).new_loop()
    with faults.all_applied(loop, faults.NanGradients(), faults.LossCountedOnStepsOnly()):
        return loop.run()


@pytest.fixture(scope="module")
def weights():
    """The recorded run and its fix are small ones too."""
    facts = {"recorded": faulty(), "fixed": faulty(lam_cov=1.0)}
    return loss_weights.prepare(small_system(structure_schedule=False), **facts).train()


def ranked(step, run):
    return ranking.prepare(small_system(), step=step, recorded=run, diagnosis=diagnose(run)).finding(command="x")


def test_the_symptom_needs_both_numbers():
    run = faulty()
    assert shows_symptom(run)
    epochs = [dict(record) for record in run.epoch_records]
    assert not shows_symptom(replace(run, epoch_records=[{**e, "val_loss": 0.0} for e in epochs]))
    assert not shows_symptom(replace(run, epoch_records=[{**e, "train_loss": 1e-9} for e in epochs]))
    assert not shows_symptom(replace(run, epoch_records=[{**e, "val_loss": 1.0 + e["epoch"]} for e in epochs]))


def test_the_weights_entry_quotes_the_recorded_run_and_refutes(weights):
    finding = weights.finding(weights.panel(), command="x")
    recorded, fixed = weights.facts["recorded"], weights.facts["fixed"]
    assert finding.verdict == "refuted" and finding.seed == weights.system.seed
    assert (
        f"The recorded run reads train 0.0000 in every epoch, validation {recorded.val_loss[0]:.4f} in every"
        in finding.answer
    )
    assert (
        f"does not cure it: then it reads train 0.0000 in every epoch, validation {fixed.val_loss[0]:.4f}"
        in finding.answer
    )
    assert finding.fix.startswith("Leave the weights as they are")
    assert f"{len(SETUPS)} runs of {len(weights.runs[NO_COV].train_loss)} epochs" in finding.sure
    assert "too little to tell them apart" in finding.remains
    assert not weights.table["shows_symptom"].any() and list(weights.table.index) == list(SETUPS)


def test_the_weights_entry_confirms_when_a_run_shows_it(weights):
    shown = replace(
        weights,
        runs={**weights.runs, NO_COV: faulty()},
        facts={**weights.facts, "fixed": weights.runs[FIXED]},
    )
    finding = shown.finding(command="x")
    assert finding.verdict == "confirmed"
    assert "appears under: lam_cov = 0" in finding.answer
    assert "lam_cov = 1.0, cures it" in finding.answer and finding.fix == "Set the weights that are 0."


def test_the_ranking_refutes_on_a_recorded_run_above_zero(weights):
    run, step = faulty(), weights.step
    finding = ranked(step, run)
    assert finding.verdict == "refuted"
    assert f"{step.results[0].loss:.4f}" in finding.answer and f"reads {run.val_loss[-1]:.4f}" in finding.answer
    assert "took 0 optimizer steps" in finding.remains and "look at the loop's bookkeeping" in finding.remains


def test_the_ranking_confirms_all_zero_weights_where_they_are_the_cause(weights):
    finding = ranked(weights.step, weights.runs[ALL_OFF])
    assert finding.verdict == "confirmed"
    assert "gives both numbers" in finding.answer
    assert "bookkeeping" not in finding.remains, "0 was computed, so 0 was displayed"


def test_the_overfit_entry_follows_its_checks():
    opened = overfit.run(small_system(epochs=2))
    assert not opened.facts["result"].passed and not opened.facts["complete"]
    assert opened.finding().verdict == "open" and "cannot be judged" in opened.finding().answer
    result = opened.facts["result"]
    failed = overfit.of(result=result, complete=True).finding()
    assert failed.verdict == "refuted"
    assert "The protocol is not met: " in failed.answer and "can learn" not in failed.answer
    met = replace(result, checks={name: (m, e, True) for name, (m, e, _) in result.checks.items()})
    passed = overfit.of(result=met, complete=True).finding()
    assert passed.verdict == "confirmed" and "can learn" in passed.answer


def test_the_overfit_study_has_the_size_of_the_protocol():
    system = overfit.system()
    assert len(system.train) == 512 and system.config.epochs == 30
    assert [name for name, weight in system.weights.items() if weight] == ["lam_cov"]
