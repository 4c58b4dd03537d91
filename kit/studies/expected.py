"""What the report expects after the fix, beside what a run shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from kit.report import Table
from kit.training import TrainingHistory
from kit.training.overfit import START_RANGE


@dataclass(frozen=True)
class Expected:
    """One expectation of the report.

    Args:
        what: the expectation.
        measured: what the run shows, with its numbers.
        verdict: "confirmed", "partly" or "refuted".
    """

    what: str
    measured: str
    verdict: str


def expectations(history: TrainingHistory) -> tuple[Expected, ...]:
    """The three lines of "Expected Behavior After Fix", judged by one run.

    train       confirmed: starts in 0.5 to 2.0 and ends lower; partly: one of the two
    validation  confirmed: ends lower than it starts; partly: not so, but it falls in at least half of the epochs
    gradients   confirmed: finite and above 0 in every step; partly: one of the two
    """
    low, high = START_RANGE
    train, validation = history.train_loss, history.val_loss
    drops = sum(after < before for before, after in itertools.pairwise(validation))
    pairs = len(validation) - 1
    fell = validation[-1] < validation[0]
    norms = [step["grad_norm"] for step in history.step_records]
    faulty = sum(step["nan_replaced"] > 0 or not math.isfinite(step["grad_norm"]) for step in history.step_records)
    still = sum(norm == 0 for norm in norms)
    return (
        Expected(
            f"train starts at {low} to {high} and falls",
            _ends(train),
            _verdict(low <= train[0] <= high, train[-1] < train[0]),
        ),
        Expected(
            "validation falls",
            f"{_ends(validation)}, lower in {drops} of {pairs} epochs",
            _verdict(fell, fell or 0 < pairs <= 2 * drops),
        ),
        Expected(
            "gradients finite and not 0",
            f"NaN in {faulty} of {len(norms)} steps, norm {_between(norms)}",
            _verdict(faulty == 0, still == 0),
        ),
    )


def expected_table(runs: Mapping[str, TrainingHistory]) -> Table:
    """One row per run, one column per expectation: the verdict, and what was measured."""
    judged = {name: expectations(history) for name, history in runs.items()}
    rows = [
        {"run": name, **{entry.what: f"{entry.verdict}: {entry.measured}" for entry in entries}}
        for name, entries in judged.items()
    ]
    return Table(
        pd.DataFrame(rows), "Does a run do what the report expects after the fix? NaN counted before it is replaced."
    )


def _verdict(*met: bool) -> str:
    return "confirmed" if all(met) else ("partly" if any(met) else "refuted")


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.4f} to {values[-1]:.4f}"


def _between(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
