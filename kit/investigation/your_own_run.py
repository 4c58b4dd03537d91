"""Why does my own run read 0? What a watch saw of somebody's script, before and after its author mended it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from kit.diagnosis import Diagnosis
from kit.diagnosis.speech import sure_of
from kit.investigation.diagnosed import causes_table
from kit.investigation.fault_runs import is_level, reads_zero, spoken_range
from kit.panel import Panel
from kit.plots import Evidence, compare_runs_evidence
from kit.recording import Trace
from kit.report import Finding, Table

QUESTION = "Why does my own run read 0?"
_COUNTS: Mapping[str, str] = MappingProxyType(
    {"batches": "forward", "loss_calls": "loss", "backwards": "backward", "steps": "step"}
)


@dataclass(frozen=True)
class Displayed:
    """The two numbers that a program displayed, by epoch."""

    train_loss: Sequence[float]
    val_loss: Sequence[float]

    @classmethod
    def by(cls, trace: Trace) -> Displayed:
        epochs = trace.epochs.dropna(subset=["train_loss", "val_loss"])
        return cls(epochs["train_loss"].tolist(), epochs["val_loss"].tolist())


def four_counts(trace: Trace) -> Table:
    """Forward passes, losses, backward passes and steps of each epoch, beside what was displayed."""
    epochs = trace.epochs
    rows = epochs[[*_COUNTS, "eval_forwards"]].astype(int).rename(columns=_COUNTS)
    rows = rows.rename(columns={"eval_forwards": "forward, in evaluation"})
    rows["train, displayed"], rows["validation, displayed"] = epochs["train_loss"], epochs["val_loss"]
    return Table(
        rows.reset_index(), "Are the four counts of an epoch the same, and above 0? Seen from outside, by hooks."
    )


def before_after(runs: Mapping[str, Trace]) -> Table:
    """One row per run: what it displayed, and what it did in all."""
    rows = []
    for name, trace in runs.items():
        shown = Displayed.by(trace)
        totals = {word: int(trace.epochs[column].sum()) for column, word in _COUNTS.items()}
        zero, level = reads_zero(shown.train_loss), is_level(shown.val_loss)
        rows.append(
            {
                "run": name,
                "train": spoken_range(shown.train_loss),
                "validation": spoken_range(shown.val_loss),
                **totals,
                "shows the symptom?": "yes" if zero and level else "no",
            }
        )
    return Table(
        pd.DataFrame(rows),
        "Is the symptom gone, and did the counts come with it? Counts of the whole run.",
        answer="shows the symptom?",
    )


def before_after_evidence(runs: Mapping[str, Trace]) -> Evidence:
    """Both displayed losses by epoch, before and after."""
    return compare_runs_evidence({name: Displayed.by(trace) for name, trace in runs.items()})


def own_run_finding(
    runs: Mapping[str, Trace],
    diagnosis: Diagnosis,
    panel: Panel,
    *,
    command: str,
    about: Mapping[str, Any] | None = None,
) -> Finding:
    """The finding of notebook 08, worded by what the two runs show.

    Args:
        runs: the run with the symptom, then the mended one.
        diagnosis: of the first.
        panel: on the terms of the script's own loss.
        about: further fields of the finding.
    """
    (_, faulty), (name, mended) = runs.items()
    before, after = Displayed.by(faulty), Displayed.by(mended)
    gone = not reads_zero(after.train_loss) and not is_level(after.val_loss)
    top = diagnosis.top
    cause = "names no cause" if top is None else f"names “{top.plain}” ({sure_of(diagnosis, top)})"
    answer = (
        f"The script reads train {spoken_range(before.train_loss)}, validation {spoken_range(before.val_loss)}; it made "
        f"{int(faulty.epochs['steps'].sum())} optimizer steps. The diagnosis {cause}. The run “{name}” reads train "
        f"{spoken_range(after.train_loss)}, validation {spoken_range(after.val_loss)}, with {int(mended.epochs['steps'].sum())} steps."
    )
    return Finding(
        question=QUESTION,
        claim="The loss of this script is broken: train reads 0, and validation does not change.",
        verdict="refuted" if gone else "open",
        answer=answer,
        evidence=(
            four_counts(faulty),
            causes_table(diagnosis),
            before_after_evidence(runs),
            before_after(runs),
            panel,
        ),
        fix="" if top is None else top.hypothesis.fix,
        remains="A few epochs on synthetic data: that the symptom is gone says nothing of how good the network becomes.",
        command=command,
        **(about or {}),
    )
