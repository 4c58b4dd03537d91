"""Is a zero loss weight the cause?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from kit.loss import ALL_ZERO, TRAINER_AFTER_FIX, ZeroWeightWarning
from kit.panel import Panel
from kit.plots import compare_runs_evidence
from kit.report import Finding, Table
from kit.training import Patient, TrainingHistory

QUESTION = "Is a zero loss weight the cause?"

SETTINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "weights of the report": {},
        "lam_cov = 0": {"lam_cov": 0.0},
        "all weights 0": ALL_ZERO,
        "fix: lam_cov = 1": {"lam_cov": TRAINER_AFTER_FIX["lam_cov"]},
    }
)


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


def shows_symptom(history: TrainingHistory) -> bool:
    """Train reads exactly 0 in every epoch, and validation is level above 0 (all epochs equal, not 0)."""
    train_is_zero = all(value == 0 for value in history.train_loss)
    return train_is_zero and len(set(history.val_loss)) == 1 and history.val_loss[0] != 0


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
    weight_runs: WeightRuns, fixed_sick_run: TrainingHistory, panel: Panel, *, command: str
) -> Finding:
    """The finding of notebook 01: the panel at one step, the runs, and the report's fix applied to the sick run."""
    runs = weight_runs.runs
    no_cov, all_zero = runs["lam_cov = 0"], runs["all weights 0"]
    cured = not shows_symptom(fixed_sick_run)
    answer = (
        f"With lam_cov = 0 the train loss starts at {no_cov.train_loss[0]:.4f} and validation moves from {no_cov.val_loss[0]:.4f} to "
        f"{no_cov.val_loss[-1]:.4f}: six terms remain. With all weights 0 the train loss is exactly {all_zero.train_loss[-1]:.6f}, and "
        f"so is validation ({all_zero.val_loss[-1]:.6f}), which in the recorded run reads {fixed_sick_run_level(fixed_sick_run)}. No "
        "setting of the weights gives the pair that was reported: train 0 and validation level above 0."
    )
    fix = "The report's fix, lam_cov = 1.0, " + (
        "cures the recorded run."
        if cured
        else "does not cure the recorded run: with it the epoch line still reads "
        f"train {fixed_sick_run.train_loss[-1]:.6f}, val {fixed_sick_run.val_loss[-1]:.6f} in every epoch."
    )
    return Finding(
        question=QUESTION,
        claim="All loss weights are set to 0, or lam_cov is 0, or the loss components cancel out. Probability: 90%.",
        verdict="refuted",
        answer=answer,
        evidence=(
            panel,
            "The panel re-weights one recorded step. What training does under other weights has to be trained:",
            compare_runs_evidence(runs),
            Table(
                weight_runs.table, "Does any setting show the symptom? It needs train 0 and validation level above 0."
            ),
        ),
        fix=fix,
        remains=(
            "A zero weight is still worth refusing: with lam_cov = 0 the network trains on everything but its main task, and no displayed "
            "number says so. Why the recorded run reads 0 is the question of the next notebooks."
        ),
        seed=fixed_sick_run.settings.get("seed"),
        command=command,
    )


def fixed_sick_run_level(history: TrainingHistory) -> str:
    """The level of validation of the sick run, as displayed."""
    return f"{history.val_loss[-1]:.4f}"
