"""The whole investigation without a notebook: what ``make report`` runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kit.hypotheses import OneStep
from kit.panel import Panel, presets_of
from kit.report import Finding, Written, write_html
from kit.studies.elsewhere import WhenAsked, elsewhere
from kit.studies.questions.fault_bench import STUDY as fault_bench
from kit.studies.questions.faults_of_the_loop import STUDY as faults_of_the_loop
from kit.studies.questions.loss_initialisation import STUDY as loss_initialisation
from kit.studies.questions.loss_weights import STUDY as loss_weights
from kit.studies.questions.missing_prediction import STUDY as missing_prediction
from kit.studies.questions.nan_gradients import STUDY as nan_gradients
from kit.studies.questions.overfit import STUDY as overfit
from kit.studies.questions.ranking import STUDY as ranking
from kit.studies.questions.the_reports_fix import AS_RECORDED, OPTION_1
from kit.studies.questions.the_reports_fix import STUDY as the_reports_fix
from kit.studies.questions.zero_outputs import STUDY as zero_outputs
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
    processes: int = 1,
    command: str = "python -m kit investigate",
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Finding, ...]:
    """Run every study and return the page entries in reading order.

    Args:
        quick: an eighth of the overfit test, whose entry then says "open", and two epochs of the runs with faults; to try the page.
        processes: with more than one, so many others train while this one measures.
        command: shown on the page as the way to see it again.
        progress: called with a stage's name when it is done.
    """
    found: dict[str, Results] = {}
    with elsewhere(_trainings(quick), processes) as begun:
        for study in STUDIES:
            waited_for = {name: wait for (key, name), wait in begun.items() if key == study.key}
            facts = {name: waited_for[name]() for name in study.before if name in waited_for}
            prepared = study.prepare(_system(study, quick), **_step(study, found), **facts)
            known = WhenAsked({**waited_for, **_known(study, found, quick)})
            found[study.key] = prepared.train(known=known, progress=_prefixed(progress, study))
            progress(study.key.replace("_", " "))
    return tuple(
        results.finding(page_panel(found) if key == ranking.key else results.study.setting, command=command)
        for key, results in found.items()
    )


def _prefixed(progress: Callable[[str], None], study: Study) -> Callable[[str], None]:
    return lambda run: progress(f"{study.key.replace('_', ' ')}: {study.setups[run].caption}")


def _system(study: Study, quick: bool) -> System | None:
    system = study.system()
    if system is None or not _shortened(study, quick):
        return system
    epochs = QUICK_OVERFIT_EPOCHS if study is overfit else QUICK_EPOCHS
    fewer = system.train[:QUICK_SAMPLES] if study is overfit else system.train
    return replace(system, train=fewer, config=replace(system.config, epochs=epochs))


def _shortened(study: Study, quick: bool) -> bool:
    return quick and study.key not in (ranking.key, loss_weights.key)


def _step(study: Study, found: Mapping[str, Results]) -> Mapping[str, OneStep]:
    """The batch of the page, probed once: all hypotheses share it, and NaN in one output shares another."""
    first = {the_reports_fix.key: nan_gradients.key}.get(study.key, ranking.key)
    return (
        {"step": found[first].step} if "step" in study.before and first in found and study is not nan_gradients else {}
    )


def _known(study: Study, found: Mapping[str, Results], quick: bool) -> Mapping[str, Callable[[], TrainingHistory]]:
    """Runs that an earlier study has made."""
    earlier = {name: _earlier(study, name, quick) for name in study.setups}
    known: dict[str, Callable[[], TrainingHistory]] = {
        name: partial(_run_of, found, *place) for name, place in earlier.items() if place is not None
    }
    if study is the_reports_fix:
        weights = found[loss_weights.key].facts
        known[AS_RECORDED] = lambda: weights["recorded"]
        if not quick:
            known[OPTION_1] = lambda: weights["fixed"]
    return known


def _run_of(found: Mapping[str, Results], key: str, name: str) -> TrainingHistory:
    return found[key].runs[name]


def _earlier(study: Study, name: str, quick: bool) -> tuple[str, str] | None:
    """Study and name of the first run, before this one, of the same system with the same change."""
    change = replace(study.setups[name], caption="")
    for other in STUDIES[: STUDIES.index(study)]:
        if other.system is study.system and _shortened(other, quick) == _shortened(study, quick):
            for place, setup in other.setups.items():
                if replace(setup, caption="") == change:
                    return other.key, place
    return None


def _trainings(quick: bool) -> Mapping[tuple[str, str], Callable[[], Any]]:
    """What another process can train, by study and name: runs that nobody watches and no earlier study has made, and the overfit test."""
    made: dict[tuple[str, str], Callable[[], Any]] = {  # the longest first
        place: partial(_fact, *place, quick) for place in ((overfit.key, "result"), (loss_weights.key, "fixed"))
    }
    for study in STUDIES:
        for name in () if study.watched else study.setups:
            if _earlier(study, name, quick) is None and (quick or (study.key, name) != (the_reports_fix.key, OPTION_1)):
                made[study.key, name] = partial(_trained, study.key, name, quick)
    return made


def _trained(key: str, name: str, quick: bool) -> TrainingHistory:
    study = _study(key)
    system = _system(study, quick)
    assert system is not None  # a study with setups has one
    return study.setups[name].run(system)


def _fact(key: str, name: str, quick: bool) -> Any:
    study = _study(key)
    return study.before[name](_system(study, quick))


def _study(key: str) -> Study:
    return next(study for study in STUDIES if study.key == key)


def page_panel(found: Mapping[str, Results]) -> Panel:
    """The one panel of the page: every state that an entry speaks of, and the buttons of all hypotheses."""
    step, nan = found[ranking.key].step, found[nan_gradients.key].step
    reports = {**step.reports, **{case: report for case, report in nan.reports.items() if case not in step.reports}}
    presets = {preset.key: preset for preset in [*presets_of(step), *nan_gradients.presets(nan)]}
    return Panel(reports, presets=list(presets.values()))


def write_investigation(path: str | os.PathLike, findings: Sequence[Finding]) -> Written:
    """All entries on one page."""
    return write_html(path, *findings, title="Train loss 0, validation unchanged: the investigation")
