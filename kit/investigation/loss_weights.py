"""Is a zero loss weight the cause?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from kit.investigation.fault_runs import shows_symptom, spoken_range
from kit.loss import ALL_ZERO, TRAINER_AFTER_FIX, ZeroWeightWarning
from kit.panel import Panel
from kit.plots import compare_runs_evidence
from kit.report import Finding, Table
from kit.training import Patient, TrainingHistory

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


@dataclass(frozen=True)
class WeightRuns:
    """One training run per setting of the weights; network, data, seed and schedule are the same."""

    runs: Mapping[str, TrainingHistory]

    @property
    def table(self) -> pd.DataFrame:
        """First and last displayed losses, the validation NMSE, steps taken and the last gradient norm of each run."""
        rows = []
        for setting, history in self.runs.items():
            first, last = history.epoch_records[0], history.epoch_records[-1]
            rows.append(
                {
                    "setting": setting,
                    "train, first": first["train_loss"],
                    "train, last": last["train_loss"],
                    "val, first": first["val_loss"],
                    "val, last": last["val_loss"],
                    "val NMSE, last": last["val_loss_nmse"],
                    "steps": sum(record["steps_taken"] for record in history.epoch_records),
                    "gradient norm": last["grad_norm"],
                    "shows the symptom?": "yes" if shows_symptom(history) else "no",
                }
            )
        return pd.DataFrame(rows).set_index("setting")


def run_weight_settings(
    patient: Patient,
    settings: Mapping[str, Mapping[str, float]] = SETTINGS,
    *,
    progress: Callable[[str], None] | None = None,
) -> WeightRuns:
    """Train the patient once per setting. Zeros are on purpose here, so the loss's warnings about them are not shown."""
    runs = {}
    for name, weights in settings.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)
            runs[name] = patient.with_weights(**weights).run()
        if progress is not None:
            progress(name)
    return WeightRuns(MappingProxyType(runs))


def loss_weights_finding(
    weight_runs: WeightRuns, recorded: TrainingHistory, fixed: TrainingHistory, panel: Panel, *, command: str
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
    answer.append(
        f"The recorded run reads train {spoken_range(recorded.train_loss)}, validation {spoken_range(recorded.val_loss)}."
    )
    if explaining:
        answer.append(
            f"The pair of the symptom, train 0 and validation level above 0, appears under: {', '.join(explaining)}."
        )
    else:
        answer.append("Neither setting gives that pair: train 0 and validation level above 0.")
    cured = not shows_symptom(fixed)
    reads = f"train {spoken_range(fixed.train_loss)}, validation {spoken_range(fixed.val_loss)}"
    return Finding(
        question=QUESTION,
        claim="All loss weights are set to 0, or lam_cov is 0, or the loss components cancel out. Probability: 90%.",
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        evidence=(
            panel,
            "The panel re-weights one recorded step. What training does under other weights has to be trained:",
            compare_runs_evidence(runs),
            Table(
                weight_runs.table, "Does any setting show the symptom? It needs train 0 and validation level above 0."
            ),
        ),
        fix=(
            f"The report's fix, lam_cov = 1.0, {'cures' if cured else 'does not cure'} the recorded run: with it the epoch "
            f"lines read {reads}."
        ),
        remains=f"{_what_the_main_term_costs(runs)} Why the recorded run reads 0 is the question of the next notebooks.",
        seed=recorded.settings.get("seed"),
        command=command,
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
