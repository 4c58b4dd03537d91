"""Does the report's fix cure the run? Its action plan, carried out on the recorded run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from kit.diagnosis import Diagnosis
from kit.faults import FIXES, Fault, FaultySystem
from kit.hypotheses import OneStep
from kit.investigation.answered import answer_of
from kit.investigation.before_after import OverfitBeforeAfter, overfit_overlay_evidence, spoken_ends
from kit.investigation.claims import Claim, claims_table
from kit.investigation.diagnosed import ranked_table
from kit.investigation.expected import expected_table
from kit.investigation.fault_runs import (
    AS_IT_IS,
    FaultRuns,
    column,
    is_level,
    reads_zero,
    spoken_range,
    spoken_run,
    spoken_steps,
    symptom_table,
)
from kit.investigation.nan_gradients import ALL_CASE
from kit.loss import TRAINER_AFTER_FIX
from kit.panel import Panel, Preset
from kit.plots import compare_runs_evidence
from kit.report import Finding, PanelSetting, Table
from kit.stepgraph import ProbeReport
from kit.training import TrainingHistory, TrainingLoop

QUESTION = "Does the report's fix cure the run?"

AS_RECORDED = "as recorded"
OPTION_1, OPTION_2 = "option 1: lam_cov = 1.0", "option 2: guarded search weights"
NAMED, OTHER = "the NaN is gone", "every batch is counted"
BOTH = "the NaN is gone and every batch is counted"
# run -> the hypotheses whose fixes are applied to it, in this order
TRIED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        AS_RECORDED: (),
        OPTION_1: ("loss_weights",),
        OPTION_2: ("loss_initialisation",),
        NAMED: ("nan_gradients",),
        OTHER: ("wrong_number",),
        BOTH: ("nan_gradients", "wrong_number"),
    }
)
_REPORTS_FIX = "The report's fix"


@dataclass(frozen=True)
class _Fixed(Fault):
    """A fix as one more thing that is applied to the loop, so that a second one can follow it."""

    fix: str
    key: ClassVar[str] = "fixed"
    title: ClassVar[str] = "A fix"
    hypothesis: ClassVar[str] = "none"

    def _apply(self, loop: TrainingLoop) -> None:
        FIXES[self.fix](loop)


def run_fixes(
    faulty_system: FaultySystem,
    tried: Mapping[str, Sequence[str]] = TRIED,
    *,
    known: Mapping[str, TrainingHistory] = MappingProxyType({}),
    progress: Callable[[str], None] = lambda name: None,
) -> FaultRuns:
    """The faulty run again under each set of fixes: same network, data, order of batches and faults.

    Args:
        faulty_system: the system and its faults.
        tried: name -> hypotheses whose fixes are applied, in this order.
        known: name -> a run that need not be made again.
        progress: called with a name when its run is there.
    """
    runs = {}
    for name, fixes in tried.items():
        if name in known:
            runs[name] = known[name]
        else:
            *first, last = fixes or (None,)
            faults = (*faulty_system.faults, *map(_Fixed, first))
            runs[name] = replace(faulty_system, faults=faults).run(fix=last)
        progress(name)
    return FaultRuns(MappingProxyType(runs), faulty_system.system.seed)


def cured(history: TrainingHistory) -> bool:
    """Neither number of the symptom is left: train is not 0 throughout, validation is not level."""
    return not reads_zero(history.train_loss) and not is_level(history.val_loss)


def debug_values(seen: ProbeReport) -> Table:
    """Steps 1 and 2 of the report for one batch: every weight, every term, every product, and their sum."""
    rows = seen.table[["term", "weight name", "weight", "value", "weighted value"]].rename(
        columns={"weighted value": "product"}
    )
    # a whole row, of which the stubs of pandas do not know
    rows.loc[len(rows)] = ["total", "", float("nan"), float("nan"), seen.total]  # type: ignore[assignment]
    return Table(rows.astype(object).where(rows.notna(), ""), "Is a weight 0, or a product, or the total of one batch?")


def fix_panel(step: OneStep) -> Panel:
    """The faulty step and the healthy one, with the report's lam_cov = 1.0 set in the faulty one.

    Args:
        step: from ``nan_gradients_step``.
    """
    states = ((ALL_CASE, "faulty"), (AS_IT_IS, "NaN gone"))
    presets = [
        Preset(f"{key}_{number}", f"{said}, {title}", weights, _REPORTS_FIX, case, "does the gradient become a number?")
        for number, (case, said) in enumerate(states)
        for key, title, weights in (
            ("before", "weights as recorded", {}),
            ("option_1", "lam_cov = 1.0", {"lam_cov": TRAINER_AFTER_FIX["lam_cov"]}),
        )
    ]
    reports = {case: step.reports[case] for case, _ in states}
    panel = Panel(reports, presets=presets, title="Does lam_cov = 1.0 bring the gradient back?")
    panel.weights = {"lam_cov": TRAINER_AFTER_FIX["lam_cov"]}
    return panel


def fix_claims(runs: FaultRuns) -> tuple[Claim, ...]:
    """What the report's plan says of this run, and what the diagnosis says, beside the measured."""
    faulty, one, two, named, other, both = (runs.runs[name] for name in TRIED)
    rise = TRAINER_AFTER_FIX["lam_cov"] - column(faulty, "lam_cov")[0]
    level = faulty.val_loss[0] + rise * column(faulty, "val_loss_nmse")[0]
    predicted = f"train 0; validation level at {level:.4f}, {rise:g} of its NMSE higher"
    same = named.epoch_records == both.epoch_records
    return (
        Claim(
            "lam_cov is being set to 0",
            "nothing in the trainer does that",
            f"lam_cov {spoken_range(column(faulty, 'lam_cov'))}",
            any(value == 0 for value in column(faulty, "lam_cov")),
        ),
        Claim("Option 1, an explicit lam_cov = 1.0, cures the run", predicted, spoken_run(one), cured(one)),
        Claim("Option 2, guarded search weights, cures the run", predicted, spoken_run(two), cured(two)),
        Claim(
            "Taking the source of the NaN away cures the run",
            "steps are taken, and each taken step is counted",
            f"{spoken_run(named)}; {spoken_steps(named)}",
            cured(named),
        ),
        Claim(
            "Counting every batch cures the run",
            "train tells the truth, validation stays level",
            f"{spoken_run(other)}; {spoken_steps(other)}",
            cured(other),
        ),
        Claim(
            "With the NaN gone, counting every batch changes nothing more",
            "every step is taken, so every batch is counted either way",
            "epoch by epoch the same run" if same else f"another run: {spoken_run(both)}",
            same,
        ),
    )


def fix_and_verify_finding(
    runs: FaultRuns,
    diagnosis: Diagnosis,
    tests: OverfitBeforeAfter,
    step: OneStep,
    panel: Panel | PanelSetting,
    *,
    command: str,
) -> Finding:
    """The finding of notebook 06, worded by what the runs show.

    Args:
        runs: from ``run_fixes``.
        diagnosis: of the recorded run, after its intervention.
        tests: the overfit test before and after.
        step, panel: one batch as it is and with every gradient NaN, and its panel.
    """
    faulty, one, two, named = (runs.runs[name] for name in (AS_RECORDED, OPTION_1, OPTION_2, NAMED))
    curing = [name for name in (OPTION_1, OPTION_2) if cured(runs.runs[name])]
    answer = [
        f"The faulty run reads {spoken_run(faulty)}.",
        f"Under option 1 it reads {spoken_run(one)}; under option 2 {spoken_run(two)}.",
        f"The report's fix cures it under: {', '.join(curing)}." if curing else "Neither option cures it.",
        _what_the_diagnosis_says(diagnosis),
    ]
    working = [name for name in (NAMED, OTHER, BOTH) if cured(runs.runs[name])]
    answer.append(f"With “{NAMED}” the epoch lines go: {spoken_ends(named)}.")
    answer.append(f"What cures the run: {'; '.join(working)}." if working else "None of the fixes tried cures the run.")
    return Finding(
        question=QUESTION,
        claim="FIX: ensure lam_cov is always set to a reasonable value. TEST: re-run the overfit test to verify the fix.",
        verdict="confirmed" if len(curing) == 2 else ("partly" if curing else "refuted"),
        answer=" ".join(answer),
        evidence=(
            debug_values(step.reports[AS_IT_IS]),
            claims_table(fix_claims(runs)),
            compare_runs_evidence(runs.runs),
            symptom_table(runs),
            expected_table(runs),
            ranked_table(diagnosis),
            overfit_overlay_evidence(tests),
            expected_table(tests.runs),
            panel,
        ),
        fix=" ".join(_TO_DO[name] for name in (NAMED, OTHER) if name in working) or _LOOK_ON,
        remains=REMAINS,
        seed=runs.seed,
        command=command,
        sure=runs.how_sure,
        summary=answer_of(runs, diagnosis, faulty=AS_RECORDED, nan_gone=NAMED, all_counted=OTHER),
    )


def _what_the_diagnosis_says(diagnosis: Diagnosis) -> str:
    top = diagnosis.top
    if top is None:
        return "The diagnosis of the recorded run names no cause."
    tried = "its fix was not tried" if top.intervention is None else top.intervention.word
    return f"The diagnosis of the recorded run names “{top.title}” (posterior {top.percent}): {tried}."


_TO_DO: Mapping[str, str] = MappingProxyType(
    {
        NAMED: "Find the operation that makes the NaN and mend it; do not set its gradient to 0.",
        OTHER: "Add every batch's loss to the displayed mean, whether its step was taken or not.",
    }
)
_LOOK_ON = "Try the fix of the next cause of the diagnosis: none of these cured the run."

REMAINS = (
    "The NaN is put in on purpose here; in a real run its source has to be found. The project that the report belongs to recorded what "
    "followed: on Oct 24, 2025 lam_cov = 1.0 was set, and the epoch line still read train 0.000000, val 1.921642; on Oct 27 the sum was "
    "moved out of the branch of a taken step, and it read train 0.217, val 1.921642; the warm-up began at a learning rate of 0; the "
    "step gate skipped steps silently; the sanitiser had hidden overflow. Several faults of the loop acted, one after the other."
)
