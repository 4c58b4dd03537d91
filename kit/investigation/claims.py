"""A claim beside what the formulas predict and what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from kit.report import Table


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
