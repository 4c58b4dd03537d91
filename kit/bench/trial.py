"""One run of the bench: what is known to be wrong with it, and how to make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kit.hypotheses.likelihoods import NONE
from kit.watch import Trace

Split = Literal["calibration", "evaluation"]


@dataclass(frozen=True)
class Trial:
    """A run whose cause is known, because it was put in.

    Args:
        style: how the loop is written; "ours" is the loop of ``kit.training``.
        fault: what was put in, in words.
        truth: the key of the hypothesis that this fault makes true, or "none" for a healthy run.
        setting: name of the setting.
        seed: of data, network and order of the batches.
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
