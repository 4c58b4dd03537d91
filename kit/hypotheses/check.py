"""A check: one question about a recorded run, answered yes, no, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import POLICY, Policy


@dataclass(frozen=True)
class Answer:
    """``yes`` is None when what is asked for was not measured; ``because`` says what was measured, or what was not."""

    yes: bool | None
    because: str

    @property
    def word(self) -> str:
        return "silent" if self.yes is None else ("yes" if self.yes else "no")


def silent(missing: str) -> Answer:
    """Not measured: moves nothing."""
    return Answer(None, f"not observed: {missing}")


@dataclass(frozen=True)
class Check:
    """One question.

    Args:
        key: unique; the likelihoods in ``data/`` are counted under it.
        question: for people, answered by yes or no.
        ask: the answer from what was observed, pure.
    """

    key: str
    question: str
    ask: Callable[[Observed, Policy], Answer]

    def __call__(self, observed: Observed, policy: Policy = POLICY) -> Answer:
        return self.ask(observed, policy)


def check(question: str) -> Callable[[Callable[[Observed, Policy], Answer]], Check]:
    """The function's name becomes the key of the check."""
    return lambda ask: Check(ask.__name__, question, ask)
