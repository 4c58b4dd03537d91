"""The tables that several studies share: runs side by side, and claims beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from kit.hypotheses import ALL, OneStep
from kit.report import Table
from kit.report.tables import number
from kit.studies.symptom import shows_symptom, total
from kit.training import TrainingHistory

# column -> count of the epoch records
_COUNTS = {
    "forward": "forward_passes",
    "loss": "loss_calls",
    "backward": "backward_calls",
    "steps": "steps_taken",
    "nan_replaced": "nan_replaced",
}
_PASSES = ("forward", "loss", "backward")


@dataclass(frozen=True)
class Claim:
    """One sentence that can be tested.

    Args:
        claim: the sentence.
        predicted: what the formulas say, before anything is run.
        measured: what came out, with its numbers.
        holds: whether the sentence is true of what was measured.
    """

    claim: str
    predicted: str
    measured: str
    holds: bool

    @property
    def verdict(self) -> str:
        return "confirmed" if self.holds else "refuted"


def claims_table(claims: Iterable[Claim]) -> Table:
    """Claim, predicted, measured and verdict side by side."""
    rows = [
        {"claim": c.claim, "predicted": c.predicted, "measured": c.measured, "verdict on the claim": c.verdict}
        for c in claims
    ]
    return Table(
        pd.DataFrame(rows),
        "Which of these sentences hold? The verdict follows from what was measured.",
        answer="verdict on the claim",
    )


def readings_table(step: OneStep) -> Table:
    """Every preset of the hypotheses beside the loss that it gives."""
    frame, known = step.table, {hypothesis.key: hypothesis for hypothesis in ALL}
    because = frame["not_applicable"]
    rows = pd.DataFrame(
        {
            "hypothesis": [known[key].title if key else "(the step as it is)" for key in frame["hypothesis"]],
            "report's prior": ["" if pd.isna(prior) else f"{prior:.0%}" for prior in frame["prior"]],
            "reading": frame["reading"],
            "train loss": frame["train_loss"],
            "gradient norm": frame["grad_norm"],
            "reads 0?": [
                f"not applicable: {why}" if why else ("yes" if zero else "no")
                for zero, why in zip(frame["reads_zero"], because, strict=True)
            ],
        }
    )
    return Table(
        rows,
        "What does each reading do to the loss of one batch? The symptom needs 0 here, and a validation loss above 0.",
        answer="reads 0?",
    )


def runs_frame(runs: Mapping[str, TrainingHistory]) -> pd.DataFrame:
    """First and last displayed losses, what the run counted, the last gradient norm (median of the epoch), the symptom."""
    rows = []
    for name, history in runs.items():
        first, last = history.epoch_records[0], history.epoch_records[-1]
        rows.append(
            {
                "run": name,
                "train_first": first["train_loss"],
                "train_last": last["train_loss"],
                "val_first": first["val_loss"],
                "val_last": last["val_loss"],
                "val_nmse_last": last["val_loss_nmse"],
                **{column: total(history, count) for column, count in _COUNTS.items()},
                "grad_norm": last["grad_norm"],
                "shows_symptom": shows_symptom(history),
            }
        )
    return pd.DataFrame(rows).set_index("run")


def symptom_table(runs: Mapping[str, TrainingHistory]) -> Table:
    """What each run displayed and counted, and whether it shows the symptom: narrow enough for a sheet of paper."""
    frame = runs_frame(runs)
    shown = pd.DataFrame(index=frame.index)
    for name in ("train", "val"):
        ends = zip(frame[f"{name}_first"], frame[f"{name}_last"], strict=True)
        shown[f"{name}, first to last"] = [f"{number(first)} to {number(last)}" for first, last in ends]
    shown["val NMSE, last"] = frame["val_nmse_last"]
    if (frame[[*_PASSES]].nunique(axis=1) == 1).all():
        shown[", ".join(_PASSES)] = frame["forward"]
    else:
        shown[[*_PASSES]] = frame[[*_PASSES]]
    shown["steps"], shown["NaN replaced"], shown["gradient norm"] = frame.steps, frame.nan_replaced, frame.grad_norm
    shown["shows the symptom?"] = frame["shows_symptom"].map({True: "yes", False: "no"})
    return Table(
        shown,
        "Does any run show the symptom? It needs train 0 in every epoch and an unchanged validation loss above 0.",
        answer="shows the symptom?",
    )


def runs_sure(runs: Mapping[str, TrainingHistory], seed: int | None) -> str:
    """What the verdict of a study rests on: how many runs, how long, and that it is one seed."""
    lengths = sorted({len(history.epoch_records) for history in runs.values()})
    epochs = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    one = "one seed" if seed is None else f"one seed, {seed}"
    return (
        f"{len(runs)} runs of {epochs} epochs on the same network, data and order of batches: what differs is what was changed on "
        f"purpose. The symptom is read off exactly; {one}, other seeds were not tried."
    )
