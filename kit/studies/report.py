"""The whole investigation without a notebook: what ``make report`` runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kit.hypotheses import OneStep
from kit.panel import Panel, presets_of
from kit.report import Finding, Written, write_html
from kit.studies.questions.fault_bench import STUDY as fault_bench
from kit.studies.questions.faults_of_the_loop import STUDY as faults_of_the_loop
from kit.studies.questions.loss_initialisation import STUDY as loss_initialisation
from kit.studies.questions.loss_weights import AS_REPORTED
from kit.studies.questions.loss_weights import STUDY as loss_weights
from kit.studies.questions.missing_prediction import STUDY as missing_prediction
from kit.studies.questions.nan_gradients import STUDY as nan_gradients
from kit.studies.questions.overfit import STUDY as overfit
from kit.studies.questions.ranking import STUDY as ranking
from kit.studies.questions.the_reports_fix import AS_RECORDED, OPTION_1
from kit.studies.questions.the_reports_fix import STUDY as the_reports_fix
from kit.studies.questions.zero_outputs import STUDY as zero_outputs
from kit.studies.setup import AS_IT_IS
from kit.studies.study import Results, Study
from kit.training import System, TrainingHistory

# in the order of the page
STUDIES: tuple[Study, ...] = (
    *(ranking, loss_weights, loss_initialisation, missing_prediction, zero_outputs, nan_gradients),
    *(the_reports_fix, faults_of_the_loop, overfit, fault_bench),
)
STAGES = sum(1 + len(study.setups) for study in STUDIES)
QUICK_EPOCHS, QUICK_SAMPLES, QUICK_OVERFIT_EPOCHS = 2, 64, 4


def investigate(
    *,
    quick: bool = False,
    command: str = "python -m kit investigate",
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Finding, ...]:
    """Run every study and return the page entries in reading order.

    Args:
        quick: an eighth of the overfit test, whose entry then says "open", and two epochs of the runs with faults; to try the page.
        command: shown on the page as the way to see it again.
        progress: called with a stage's name when it is done.
    """
    found: dict[str, Results] = {}
    for study in STUDIES:
        prepared = study.prepare(_system(study, quick), **_step(study, found))
        found[study.key] = prepared.train(known=_known(study, found, quick), progress=_prefixed(progress, study))
        progress(study.key.replace("_", " "))
    return tuple(
        results.finding(page_panel(found) if key == ranking.key else results.study.setting, command=command)
        for key, results in found.items()
    )


def _prefixed(progress: Callable[[str], None], study: Study) -> Callable[[str], None]:
    return lambda run: progress(f"{study.key.replace('_', ' ')}: {study.setups[run].caption}")


def _system(study: Study, quick: bool) -> System | None:
    system = study.system()
    if not quick or system is None or study.key in (ranking.key, loss_weights.key):
        return system
    epochs = QUICK_OVERFIT_EPOCHS if study is overfit else QUICK_EPOCHS
    fewer = system.train[:QUICK_SAMPLES] if study is overfit else system.train
    return replace(system, train=fewer, config=replace(system.config, epochs=epochs))


def _step(study: Study, found: Mapping[str, Results]) -> Mapping[str, OneStep]:
    """The batch of the page, probed once: all hypotheses share it, and NaN in one output shares another."""
    first = {the_reports_fix.key: nan_gradients.key}.get(study.key, ranking.key)
    return (
        {"step": found[first].step} if "step" in study.before and first in found and study is not nan_gradients else {}
    )


def _known(study: Study, found: Mapping[str, Results], quick: bool) -> Mapping[str, TrainingHistory]:
    """Runs that another study has made: the same system with the same change."""
    if study is the_reports_fix:
        weights = found[loss_weights.key].facts
        return {AS_RECORDED: weights["recorded"]} | ({} if quick else {OPTION_1: weights["fixed"]})
    if AS_IT_IS not in study.setups:
        return {}
    others = [results.runs[AS_IT_IS] for results in found.values() if AS_IT_IS in results.runs]
    if not quick:
        others.append(found[loss_weights.key].runs[AS_REPORTED])
    return {AS_IT_IS: others[0]} if others else {}


def page_panel(found: Mapping[str, Results]) -> Panel:
    """The one panel of the page: every state that an entry speaks of, and the buttons of all hypotheses."""
    step, nan = found[ranking.key].step, found[nan_gradients.key].step
    reports = {**step.reports, **{case: report for case, report in nan.reports.items() if case not in step.reports}}
    presets = {preset.key: preset for preset in [*presets_of(step), *nan_gradients.presets(nan)]}
    return Panel(reports, presets=list(presets.values()))


def write_investigation(path: str | os.PathLike, findings: Sequence[Finding]) -> Written:
    """All entries on one page."""
    return write_html(path, *findings, title="Train loss 0, validation unchanged: the investigation")
