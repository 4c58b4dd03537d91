"""Does the report's fix cure the run? Its action plan, carried out on the recorded run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kit.datasets import FAULTY_RUN_FAULTS as FAULTS
from kit.diagnosis import Diagnosis, diagnose
from kit.faults import FaultySystem
from kit.hypotheses import OneStep
from kit.loss import TRAINER_AFTER_FIX
from kit.panel import Panel, Preset
from kit.report import PanelSetting, Table
from kit.stepgraph import ProbeReport
from kit.studies.answered import answer_of
from kit.studies.causes import ranked_table
from kit.studies.expected import expected_table
from kit.studies.overfit_thrice import overfit_thrice, overlay
from kit.studies.questions.nan_gradients import ALL_CASE, one_batch_with_nan
from kit.studies.setup import Setup
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import (
    column,
    ends_text,
    is_cured,
    is_unchanged,
    losses_text,
    range_text,
    reads_zero,
    steps_text,
)
from kit.studies.tables import Claim

AS_RECORDED, OPTION_1, OPTION_2 = "as_recorded", "option_1", "option_2"
NAN_GONE, ALL_COUNTED, BOTH = "nan_gone", "all_counted", "nan_gone_all_counted"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        AS_RECORDED: Setup("as recorded", FAULTS),
        OPTION_1: Setup("option 1: lam_cov = 1.0", FAULTS, fixes=("loss_weights",)),
        OPTION_2: Setup("option 2: guarded search weights", FAULTS, fixes=("loss_initialisation",)),
        NAN_GONE: Setup("the NaN is gone", FAULTS, fixes=("nan_gradients",)),
        ALL_COUNTED: Setup("every batch is counted", FAULTS, fixes=("wrong_number",)),
        BOTH: Setup("the NaN is gone and every batch is counted", FAULTS, fixes=("nan_gradients", "wrong_number")),
    }
)
_DIAGNOSED_EPOCHS = 2
_REPORTS_FIX = "The report's fix"


def _faulty(results: Results, epochs: int | None = None) -> FaultySystem:
    assert results.system is not None
    return FaultySystem(results.system, FAULTS, epochs=epochs or results.system.config.epochs)


def _diagnosis(results: Results) -> Diagnosis:
    """Of the run as recorded, after its interventions."""
    return diagnose(results.runs[AS_RECORDED]).confirmed_by(_faulty(results, _DIAGNOSED_EPOCHS))


def debug_values(seen: ProbeReport) -> Table:
    """Steps 1 and 2 of the report for one batch: every weight, every term, every product, and their sum."""
    rows = seen.table[["term", "weight_name", "weight", "value", "weighted_value"]].rename(
        columns={"weight_name": "weight name", "weighted_value": "product"}
    )
    # a whole row, of which the stubs of pandas do not know
    rows.loc[len(rows)] = ["total", "", float("nan"), float("nan"), seen.total]  # type: ignore[assignment]
    return Table(rows.astype(object).where(rows.notna(), ""), "Is a weight 0, or a product, or the total of one batch?")


def fix_panel(step: OneStep) -> Panel:
    """The faulty step and the healthy one, with the report's lam_cov = 1.0 set in the faulty one.

    Args:
        step: from ``one_batch_with_nan``.
    """
    states = ((ALL_CASE, "faulty"), ("as it is", "NaN gone"))
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


def _claims(results: Results) -> tuple[Claim, ...]:
    """What the report's plan says of this run, and what the diagnosis says, beside the measured."""
    runs = results.runs
    faulty, one, two, named, other, both = (runs[name] for name in SETUPS)
    rise = TRAINER_AFTER_FIX["lam_cov"] - column(faulty, "lam_cov")[0]
    level = faulty.val_loss[0] + rise * column(faulty, "val_loss_nmse")[0]
    predicted = f"train 0; validation unchanged at {level:.4f}, {rise:g} of its NMSE higher"
    same = named.epoch_records == both.epoch_records
    return (
        Claim(
            "lam_cov is being set to 0",
            "nothing in the trainer does that",
            f"lam_cov {range_text(column(faulty, 'lam_cov'))}",
            any(value == 0 for value in column(faulty, "lam_cov")),
        ),
        Claim("Option 1, an explicit lam_cov = 1.0, cures the run", predicted, losses_text(one), is_cured(one)),
        Claim("Option 2, guarded search weights, cures the run", predicted, losses_text(two), is_cured(two)),
        Claim(
            "Taking the source of the NaN away cures the run",
            "steps are taken, and each taken step is counted",
            f"{losses_text(named)}; {steps_text(named)}",
            is_cured(named),
        ),
        Claim(
            "Counting every batch cures the run",
            "train shows the computed loss, validation stays unchanged",
            f"{losses_text(other)}; {steps_text(other)}",
            is_cured(other),
        ),
        Claim(
            "With the NaN gone, counting every batch changes nothing more",
            "every step is taken, so every batch is counted either way",
            "epoch by epoch the same run" if same else f"another run: {losses_text(both)}",
            same,
        ),
    )


def _words(results: Results) -> Words:
    """Confirmed if both options of the report's fix cure the run."""
    runs = results.runs
    faulty, one, two, named = (runs[name] for name in (AS_RECORDED, OPTION_1, OPTION_2, NAN_GONE))
    curing = [results.caption(name) for name in (OPTION_1, OPTION_2) if is_cured(runs[name])]
    answer = [
        f"The faulty run reads {losses_text(faulty)}.",
        f"Under option 1 it reads {losses_text(one)}; under option 2 {losses_text(two)}.",
        f"The report's fix cures it under: {', '.join(curing)}." if curing else "Neither option cures it.",
        _what_the_diagnosis_says(results.facts["diagnosis"]),
    ]
    working = [name for name in (NAN_GONE, ALL_COUNTED, BOTH) if is_cured(runs[name])]
    cures = "; ".join(results.caption(name) for name in working)
    answer.append(f"With “{results.caption(NAN_GONE)}” the epoch lines go: {ends_text(named)}.")
    answer.append(f"What cures the run: {cures}." if working else "None of the fixes tried cures the run.")
    return Words(
        verdict="confirmed" if len(curing) == 2 else ("partly" if curing else "refuted"),
        answer=" ".join(answer),
        fix=" ".join(_TO_DO[name] for name in (NAN_GONE, ALL_COUNTED) if name in working) or _LOOK_ON,
        remains=REMAINS,
        summary=answer_of(results.facts["diagnosis"], recorded=faulty, without_nan=named, counted=runs[ALL_COUNTED]),
    )


def _what_the_diagnosis_says(diagnosis: Diagnosis) -> str:
    top = diagnosis.top
    if top is None:
        return "The diagnosis of the recorded run names no cause."
    tried = "its fix was not tried" if top.intervention is None else top.intervention.word
    return f"The diagnosis of the recorded run names “{top.title}” (posterior {top.percent}): {tried}."


_TO_DO: Mapping[str, str] = MappingProxyType(
    {
        NAN_GONE: "Find the operation that makes the NaN and mend it; do not set its gradient to 0.",
        ALL_COUNTED: "Add every batch's loss to the displayed mean, whether its step was taken or not.",
    }
)
_LOOK_ON = "Try the fix of the next cause of the diagnosis: none of these cured the run."

REMAINS = (
    "The NaN is caused on purpose here; in a real run its source has to be found. The project that the report belongs to recorded what "
    "followed: on Oct 24, 2025 lam_cov = 1.0 was set, and the epoch line still read train 0.000000, val 1.921642; on Oct 27 the sum was "
    "moved out of the branch of a taken step, and it read train 0.217, val 1.921642; the warm-up began at a learning rate of 0; the "
    "step gate skipped steps silently; the sanitiser had hidden overflow. Several faults of the loop acted, one after the other."
)


def _moves(results: Results) -> tuple[bool, bool]:
    """Whether train reads anything but 0, and whether validation changes, under the report's lam_cov = 1.0."""
    run = results.runs[OPTION_1]
    return not reads_zero(run.train_loss), not is_unchanged(run.val_loss)


_ASKED = Asked(
    "lam_cov = 1.0 is set in the faulty run, and it is trained again. Which of the two displayed numbers moves?",
    MappingProxyType(
        {
            "both": lambda results: _moves(results) == (True, True),
            "only train": lambda results: _moves(results) == (True, False),
            "only validation": lambda results: _moves(results) == (False, True),
            "neither": lambda results: _moves(results) == (False, False),
        }
    ),
    lambda results: f"{losses_text(results.runs[OPTION_1])}.",
)


STUDY = Study(
    key="the_reports_fix",
    question="Does the report's fix cure the run?",
    claim="FIX: ensure lam_cov is always set to a reasonable value. TEST: re-run the overfit test to verify the fix.",
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    before=MappingProxyType({"step": one_batch_with_nan}),
    after=MappingProxyType({"diagnosis": _diagnosis, "overfit": lambda results: overfit_thrice(_faulty(results))}),
    claims=_claims,
    evidence=(
        *("debug_values", "claims", "curves", "symptoms", "expected", "posterior", "overfit", "overfit_expected"),
        PANEL,
    ),
    shown=MappingProxyType(
        {
            "debug_values": lambda results: debug_values(results.step.reports["as it is"]),
            "expected": lambda results: expected_table(results.captioned()),
            "posterior": lambda results: ranked_table(results.facts["diagnosis"]),
            "overfit": lambda results: overlay(results.facts["overfit"]),
            "overfit_expected": lambda results: expected_table(results.facts["overfit"].runs),
        }
    ),
    panel=fix_panel,
    setting=PanelSetting(ALL_CASE, {"lam_cov": TRAINER_AFTER_FIX["lam_cov"]}),
)
