"""What a hypothesis is: a claim with a prior, and the readings of it that can be tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Reading:
    """One way to take the claim literally, so that it can be tried at one training step.

    Args:
        key, title: for code, for people.
        weights: the weights under this reading, from the weights as they are; ``None`` leaves them.
        alter: the predictions under this reading, from the network's own; ``None`` leaves them.
        condition: what has to hold in words.
    """

    key: str
    title: str
    weights: Callable[[Weights], Weights] | None = None
    alter: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    condition: str = ""


@dataclass(frozen=True)
class Hypothesis:
    """A cause that somebody named.

    Args:
        key, title: for code, for people.
        prior: the probability its author gave it.
        claim: the author's words, shortened.
        predicts: what the formulas say it would do.
        readings: the ways to try it.
        fix: what its author would change.
    """

    key: str
    title: str
    prior: float
    claim: str
    predicts: str
    readings: tuple[Reading, ...]
    fix: str
