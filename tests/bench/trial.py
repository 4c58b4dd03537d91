"""One run of the bench: what is known to be wrong with it, and how to make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kit.hypotheses.likelihoods import NONE
from kit.recording import Trace

Split = Literal["calibration", "evaluation"]


@dataclass(frozen=True)
class Trial:
    """A run whose cause is known, because it was put in.

    Args:
        style, fault, truth, setting, seed: see ``kit.diagnosis.scoring.BenchRun``.
        split: likelihoods are counted on "calibration", scores on "evaluation"; no seed and no setting is in both.
        record: trains and returns the trace.
    """

    style: str
    fault: str
    truth: str
    setting: str
    seed: int
    split: Split
    record: Callable[[], Trace]

    @property
    def id(self) -> str:
        return f"{self.style}/{self.truth}/{self.fault}/{self.setting}/{self.seed}"

    @property
    def healthy(self) -> bool:
        return self.truth == NONE
