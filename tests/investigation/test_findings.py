"""Findings say what was measured, in both directions: made-up runs that confirm a claim get another verdict and another text."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

import kit
from kit import faults
from kit.hypotheses import REPORT
from kit.investigation import (
    FaultRuns,
    blended_predict,
    loss_weights_finding,
    overfit_finding,
    ranking_finding,
    run_weight_settings,
)
from kit.investigation.loss_weights import SETTINGS, shows_symptom
from tests.training._runs import small_system


def faulty(**weights: float) -> kit.TrainingHistory:
    loop = small_system(structure_schedule=False).with_weights(**weights).new_loop()
    with faults.all_applied(loop, faults.NanGradients(), faults.LossCountedOnStepsOnly()):
        return loop.run()


@pytest.fixture(scope="module")
def step():
    system = small_system()
    return kit.hypotheses.at_one_step(
        REPORT, system.new_model(), system.new_loss(), system.batch(), predict=blended_predict
    )


@pytest.fixture(scope="module")
def panel(step):
    return kit.Panel(step.reports, presets=kit.presets_of(step))


@pytest.fixture(scope="module")
def weight_runs():
    return run_weight_settings(small_system(structure_schedule=False))


def test_the_symptom_needs_both_numbers():
    run = faulty()
    assert shows_symptom(run)
    epochs = [dict(record) for record in run.epoch_records]
    assert not shows_symptom(replace(run, epoch_records=[{**e, "val_loss": 0.0} for e in epochs]))
    assert not shows_symptom(replace(run, epoch_records=[{**e, "train_loss": 1e-9} for e in epochs]))
    assert not shows_symptom(replace(run, epoch_records=[{**e, "val_loss": 1.0 + e["epoch"]} for e in epochs]))


def test_the_weights_finding_quotes_the_recorded_run_and_refutes(weight_runs, panel):
    recorded, fixed = faulty(), faulty(lam_cov=1.0)
    finding = loss_weights_finding(weight_runs, recorded, fixed, panel, command="x")
    assert finding.verdict == "refuted"
    assert (
        f"The recorded run reads train 0.0000 in every epoch, validation {recorded.val_loss[0]:.4f} in every"
        in finding.answer
    )
    assert (
        f"does not cure it: then it reads train 0.0000 in every epoch, validation {fixed.val_loss[0]:.4f}"
        in finding.answer
    )
    assert finding.fix.startswith("Leave the weights as they are")
    assert f"{len(SETTINGS)} runs of {len(weight_runs.runs['lam_cov = 0'].train_loss)} epochs" in finding.sure
    assert "too little to tell them apart" in finding.remains
    assert list(weight_runs.table["shows the symptom?"]) == ["no"] * len(SETTINGS)


def test_the_weights_finding_confirms_when_a_run_shows_it(weight_runs, panel):
    shown = FaultRuns(MappingProxyType({**weight_runs.runs, "lam_cov = 0": faulty()}))
    finding = loss_weights_finding(shown, faulty(), weight_runs.runs["fix: lam_cov = 1"], panel, command="x")
    assert finding.verdict == "confirmed"
    assert "appears under: lam_cov = 0" in finding.answer
    assert "lam_cov = 1.0, cures it" in finding.answer and finding.fix == "Set the weights that are 0."


def test_the_ranking_refutes_on_a_recorded_run_above_zero(step, panel):
    run = faulty()
    finding = ranking_finding(run, step, panel, command="x")
    assert finding.verdict == "refuted"
    assert f"{step.results[0].loss:.4f}" in finding.answer and f"reads {run.val_loss[-1]:.4f}" in finding.answer
    assert "took 0 optimiser steps" in finding.remains and "look at the loop's bookkeeping" in finding.remains


def test_the_ranking_confirms_all_zero_weights_where_they_are_the_cause(step, panel):
    loop = small_system(structure_schedule=False).new_loop()
    with faults.AllWeightsZero().applied_to(loop), pytest.warns(kit.ZeroWeightWarning):
        run = loop.run()
    finding = ranking_finding(run, step, panel, command="x")
    assert finding.verdict == "confirmed"
    assert "gives both numbers" in finding.answer
    assert "bookkeeping" not in finding.remains, "0 was computed, so 0 was displayed"


def test_the_overfit_finding_follows_its_checks():
    result = kit.overfit_test(small_system().new_model(), small_system().new_loss(), small_system().train, epochs=2)
    assert not result.passed
    failed = overfit_finding(result, command="x", seed=0)
    assert (
        failed.verdict == "refuted"
        and "The protocol is not met: " in failed.answer
        and "can learn" not in failed.answer
    )
    opened = overfit_finding(result, command="x", seed=0, complete=False)
    assert opened.verdict == "open" and "cannot be judged" in opened.answer
    met = replace(result, checks={name: (m, e, True) for name, (m, e, _) in result.checks.items()})
    passed = overfit_finding(met, command="x", seed=0)
    assert passed.verdict == "confirmed" and "can learn" in passed.answer
