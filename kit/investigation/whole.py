"""The whole investigation without a notebook: what ``make report`` runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kit import datasets
from kit.diagnosis import diagnose, scoring
from kit.faults import FaultySystem, LossCountedOnStepsOnly, NanGradients
from kit.hypotheses import OneStep
from kit.hypotheses.likelihoods import shipped_likelihoods
from kit.investigation import loss_initialisation, missing_prediction, nan_gradients, zero_outputs
from kit.investigation.before_after import overfit_before_and_after
from kit.investigation.benched import bench_finding
from kit.investigation.fault_runs import AS_IT_IS, FaultRuns, Setup, run_faults
from kit.investigation.fix_and_verify import AS_RECORDED, OPTION_1, TRIED, fix_and_verify_finding, run_fixes
from kit.investigation.loss_weights import (
    AS_REPORTED,
    FIXED,
    NO_COV,
    SETTINGS,
    loss_weights_finding,
    run_weight_settings,
)
from kit.investigation.outside_the_report import (
    FAULTS,
    few_scenes_system,
    outside_finding,
    run_loop_faults,
)
from kit.investigation.overfit import overfit_finding
from kit.investigation.ranking import rank_at_one_step, ranking_finding
from kit.loss import COVARIANCE_ONLY
from kit.panel import Panel, presets_of
from kit.report import Finding, PanelSetting, Written, write_html
from kit.training import System, TrainingHistory, overfit_test

_FAULT_SETUPS = tuple(
    module.SETUPS for module in (loss_initialisation, missing_prediction, zero_outputs, nan_gradients)
)
# reading and probing, the runs, the fixed faulty run, the runs with faults, the fixes with their interventions, the loop, the overfit test,
# the bench
STAGES = 5 + len(SETTINGS) + sum(map(len, _FAULT_SETUPS)) + len(TRIED) + len(FAULTS)
OVERFIT_SAMPLES = 512
OVERFIT_EPOCHS = 30
QUICK_EPOCHS = 2


def investigate(
    *,
    quick: bool = False,
    command: str = "python -m kit investigate",
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Finding, ...]:
    """Run every experiment and return the findings in reading order.

    Args:
        quick: an eighth of the overfit test, whose finding then says "open", and two epochs of the runs with faults; to try the page.
        command: shown on the page as the way to see it again.
        progress: called with a stage's name when it is done.
    """
    run, system = datasets.load_faulty_run(), datasets.reference_system()
    step = rank_at_one_step(system)
    progress("five hypotheses at one step")

    weight_runs = run_weight_settings(system, progress=lambda name: progress(f"training: {name}"))
    fixed = datasets.make_faulty_run(lam_cov=1.0)
    progress("the report's fix on the faulty run")

    nan_step = nan_gradients.nan_gradients_step(system)
    panel = page_panel(step, nan_step)
    ranking = ranking_finding(run, step, panel, command=command, diagnosis=diagnose(run))
    no_cov = PanelSetting(AS_IT_IS, SETTINGS[NO_COV])
    weights = loss_weights_finding(weight_runs, run, fixed, no_cov, command=command)
    known = {AS_IT_IS: weight_runs.runs[AS_REPORTED]}
    if quick:
        system = replace(system, config=replace(system.config, epochs=QUICK_EPOCHS))
        known = {AS_IT_IS: system.run()}
    faults = _fault_findings(system, step, nan_step, known, command, progress)

    mended = _fix_finding(system, nan_step, run, {} if quick else {OPTION_1: fixed}, command, progress)

    outside = _outside_finding(quick, command, progress)

    samples, epochs = (64, 4) if quick else (OVERFIT_SAMPLES, OVERFIT_EPOCHS)
    healthy = replace(System.generate(seed=0, samples=samples), weights=COVARIANCE_ONLY)
    result = overfit_test(healthy.new_model(), healthy.new_loss(), healthy.train, epochs=epochs)
    overfit = overfit_finding(result, command=command, seed=healthy.seed, complete=not quick)
    progress("overfit test")
    runs = scoring.shipped_runs()
    benched = bench_finding(runs, scoring.score(runs, shipped_likelihoods()))
    progress("the recorded fault bench")
    return ranking, weights, *faults, mended, outside, overfit, benched


def _fix_finding(
    system: System,
    step: OneStep,
    run: TrainingHistory,
    known: Mapping[str, TrainingHistory],
    command: str,
    progress: Callable[[str], None],
) -> Finding:
    """The report's action plan on the recorded run, and the fix of what the diagnosis names."""
    faulty_system = FaultySystem(system, (NanGradients(), LossCountedOnStepsOnly()), epochs=system.config.epochs)
    runs = run_fixes(
        faulty_system, known={AS_RECORDED: run, **known}, progress=lambda name: progress(f"the faulty run: {name}")
    )
    diagnosis = diagnose(run).confirmed_by(replace(faulty_system, epochs=QUICK_EPOCHS))
    tests = overfit_before_and_after(faulty_system)
    progress("interventions")
    setting = PanelSetting(nan_gradients.ALL_CASE, SETTINGS[FIXED])
    return fix_and_verify_finding(runs, diagnosis, tests, step, setting, command=command)


def _outside_finding(quick: bool, command: str, progress: Callable[[str], None]) -> Finding:
    """Faults of the loop, which the report does not name."""
    few = few_scenes_system()
    if quick:
        few = replace(few, config=replace(few.config, epochs=QUICK_EPOCHS))
    found = run_loop_faults(few, progress=lambda name: progress(f"the loop: {name}"))
    return outside_finding(found, command=command)


def _fault_findings(
    system: System,
    step: OneStep,
    nan_step: OneStep,
    known: Mapping[str, TrainingHistory],
    command: str,
    progress: Callable[[str], None],
) -> tuple[Finding, ...]:
    """Hypotheses 2 to 5, in the order of the report."""

    def runs(setups: Mapping[str, Setup]) -> FaultRuns:
        return run_faults(system, setups, known=known, progress=lambda name: progress(f"training: {name}"))

    initialisation = loss_initialisation.loss_initialisation_finding(
        runs(loss_initialisation.SETUPS), step, PanelSetting(AS_IT_IS, SETTINGS[NO_COV]), command=command
    )
    missing = missing_prediction.missing_prediction_finding(
        runs(missing_prediction.SETUPS),
        step,
        missing_prediction.study_zero_factors(system),
        PanelSetting(missing_prediction.ABSENT_ZERO),
        command=command,
    )
    zeros = zero_outputs.zero_outputs_finding(
        runs(zero_outputs.SETUPS),
        step,
        zero_outputs.predicted_at_zero(system.batch()),
        PanelSetting(zero_outputs.CASE),
        command=command,
    )
    nan = nan_gradients.nan_gradients_finding(
        runs(nan_gradients.SETUPS), nan_step, PanelSetting(nan_gradients.ONE_CASE), command=command
    )
    return initialisation, missing, zeros, nan


def page_panel(step: OneStep, nan_step: OneStep) -> Panel:
    """The one panel of the page: every state that a finding speaks of, and the presets of all hypotheses."""
    reports = {**nan_step.reports, **step.reports}  # the same batch: the states that both have are the same
    presets = {preset.key: preset for preset in [*presets_of(step), *nan_gradients.nan_gradients_presets(nan_step)]}
    order = [*step.reports, *(case for case in reports if case not in step.reports)]
    return Panel({case: reports[case] for case in order}, presets=list(presets.values()))


def write_investigation(path: str | os.PathLike, findings: Sequence[Finding]) -> Written:
    """All findings on one page."""
    return write_html(path, *findings, title="Train loss 0, validation unchanged: the investigation")
