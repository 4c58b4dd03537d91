"""Is a zero loss weight the cause?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kit.investigation.fault_runs import (
    FaultRuns,
    Setup,
    run_faults,
    shows_symptom,
    spoken_range,
    spoken_run,
    symptom_table,
)
from kit.loss import ALL_ZERO, TRAINER_AFTER_FIX
from kit.panel import Panel
from kit.plots import compare_runs_evidence
from kit.report import Finding, PanelSetting
from kit.training import System, TrainingHistory

QUESTION = "Is a zero loss weight the cause?"

AS_REPORTED, NO_COV, NONE, FIXED = "weights of the report", "lam_cov = 0", "all weights 0", "fix: lam_cov = 1"
SETTINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        AS_REPORTED: {},
        NO_COV: {"lam_cov": 0.0},
        NONE: ALL_ZERO,
        FIXED: {"lam_cov": TRAINER_AFTER_FIX["lam_cov"]},
    }
)
_TELLING_NMSE = 0.05  # relative difference of validation NMSE below which a run of a few epochs tells nothing


def run_weight_settings(
    system: System,
    settings: Mapping[str, Mapping[str, float]] = SETTINGS,
    *,
    progress: Callable[[str], None] | None = None,
) -> FaultRuns:
    """Train the system once per setting of the weights; network, data, seed and schedule are the same."""
    return run_faults(system, {name: Setup(weights=weights) for name, weights in settings.items()}, progress=progress)


def loss_weights_finding(
    weight_runs: FaultRuns,
    recorded: TrainingHistory,
    fixed: TrainingHistory,
    panel: Panel | PanelSetting,
    *,
    command: str,
) -> Finding:
    """The finding of notebook 01, worded by what the runs show.

    Args:
        weight_runs: the four settings, trained.
        recorded: the run with the symptom.
        fixed: the same run, with its faults, under the report's fix.
        panel, command: for the page.
    """
    runs = weight_runs.runs
    explaining = [name for name in (NO_COV, NONE) if shows_symptom(runs[name])]
    answer = [_what_it_reads(name, runs[name]) for name in (NO_COV, NONE)]
    cured = not shows_symptom(fixed)
    answer.append(
        f"The recorded run reads {spoken_run(recorded)}; the report's fix, lam_cov = 1.0, {'cures' if cured else 'does not cure'} "
        f"it: then it reads {spoken_run(fixed)}."
    )
    if explaining:
        answer.append(
            f"The pair of the symptom, train 0 and validation level above 0, appears under: {', '.join(explaining)}."
        )
    else:
        answer.append("Neither setting gives that pair: train 0 and validation level above 0.")
    return Finding(
        question=QUESTION,
        claim="All loss weights are set to 0, or lam_cov is 0, or the loss components cancel out. Probability: 90%.",
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        evidence=(
            panel,
            "The panel re-weights one recorded step. What training does under other weights has to be trained:",
            compare_runs_evidence(runs),
            symptom_table(weight_runs),
        ),
        fix=(
            "Set the weights that are 0."
            if explaining or cured
            else "Leave the weights as they are: count the steps taken, and compare the loss of one batch with the number displayed."
        ),
        remains=f"{_what_the_main_term_costs(runs)} Why the recorded run reads 0 is the question of the next notebooks.",
        seed=recorded.settings.get("seed"),
        command=command,
        sure=weight_runs.how_sure,
    )


def _what_it_reads(name: str, history: TrainingHistory) -> str:
    return (
        f"With {name} train reads {spoken_range(history.train_loss)} and validation {spoken_range(history.val_loss)}."
    )


def _what_the_main_term_costs(runs: Mapping[str, TrainingHistory]) -> str:
    without, with_it = (runs[name].epoch_records[-1]["val_loss_nmse"] for name in (NO_COV, AS_REPORTED))
    numbers = f"the validation NMSE ends at {without:.3f} without lam_cov and at {with_it:.3f} with it"
    if abs(without - with_it) < _TELLING_NMSE * with_it:
        return (
            f"In these few epochs {numbers}: too little to tell them apart, and other terms act on the same factors. What the "
            "main term is worth needs a longer run."
        )
    return f"A zero weight has a price of its own: {numbers}."
