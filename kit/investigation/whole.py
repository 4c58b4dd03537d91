"""The whole investigation without a notebook: what ``make report`` runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from kit import datasets
from kit.investigation.loss_weights import SETTINGS, loss_weights_finding, run_weight_settings
from kit.investigation.overfit import overfit_finding
from kit.investigation.ranking import rank_at_one_step, ranking_finding
from kit.loss import COVARIANCE_ONLY
from kit.panel import Panel, presets_of
from kit.report import Finding, Written, write_html
from kit.training import Patient, overfit_test

STAGES = 3 + len(SETTINGS)  # reading and probing, the runs, the fixed sick run, the overfit test
OVERFIT_SAMPLES = 512
OVERFIT_EPOCHS = 30


def investigate(
    *,
    quick: bool = False,
    command: str = "python -m kit investigate",
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Finding, ...]:
    """Run every experiment and return the findings in reading order.

    Args:
        quick: an eighth of the overfit test, to try the page; its finding then says "open".
        command: shown on the page as the way to see it again.
        progress: called with a stage's name when it is done.
    """
    run, patient = datasets.load_sick_run(), datasets.sick_patient()
    step = rank_at_one_step(patient)
    progress("five hypotheses at one step")

    weight_runs = run_weight_settings(patient, progress=lambda name: progress(f"training: {name}"))
    fixed = datasets.make_sick_run(lam_cov=1.0)
    progress("the report's fix on the sick run")

    presets = presets_of(step)
    ranking = ranking_finding(run, step, Panel(step.reports, presets=presets), command=command)
    weights = loss_weights_finding(weight_runs, fixed, Panel(step.reports, presets=presets), command=command)
    samples, epochs = (64, 4) if quick else (OVERFIT_SAMPLES, OVERFIT_EPOCHS)
    healthy = replace(Patient.admit(seed=0, samples=samples), weights=COVARIANCE_ONLY)
    result = overfit_test(healthy.new_model(), healthy.new_loss(), healthy.train, epochs=epochs)
    overfit = overfit_finding(result, command=command, seed=healthy.seed)
    progress("overfit test")
    return ranking, weights, replace(overfit, verdict="open") if quick else overfit


def write_investigation(path: str | os.PathLike, findings: Sequence[Finding]) -> Written:
    """All findings on one page."""
    return write_html(path, *findings, title="Train loss 0, validation unchanged: the investigation")
