"""A check: one question about a recorded run, answered yes, no, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import POLICY, Policy

# one step of training and what comes after it, in order
LINKS = (
    *("data", "forward", "outputs", "term", "weight", "total"),
    *("backward", "gradients", "optimizer", "parameters", "evaluation", "display"),
)
# states of a link that does not work
BROKEN = ("constant", "zero", "not finite", "detached", "missing", "replaced")


@dataclass(frozen=True)
class Answer:
    """``yes`` is None when what is asked for was not measured; ``because`` says what was measured, or what was not.

    fact: set where the answer holds without exception and so needs no weighing; a clause, as "0 batches were drawn".
    part: of a fact, that it is about a part of the loss or of the network, while the rest may be well.
    """

    yes: bool | None
    because: str
    fact: str = ""
    part: bool = False

    @property
    def word(self) -> str:
        return "silent" if self.yes is None else ("yes" if self.yes else "no")


def silent(missing: str) -> Answer:
    """Not measured: moves nothing."""
    return Answer(None, f"not observed: {missing}")


def counted(steps: int, kind: str = "measured ") -> str:
    """ "each of 32 measured steps"; "the only measured step" where there was one."""
    return f"each of {steps} {kind}steps" if steps != 1 else f"the only {kind}step"


@dataclass(frozen=True)
class Check:
    """One question.

    Args:
        key: unique; the likelihoods in ``data/`` are counted under it.
        question: for people, answered by yes or no.
        ask: the answer from what was observed, pure.
        if_yes, if_no: the answer in a few words, as "gradients NaN" and "gradients finite"; the question where they are empty.
        needs: what a user may add to a recording so that this can be answered; names of ``kit.diagnosis.missing``.
        link: which link of the chain is asked about, one of ``LINKS``.
        state: what that link is in when the answer is yes, one of ``BROKEN``; "" where a yes need not be a break.
    """

    key: str
    question: str
    ask: Callable[[Observed, Policy], Answer]
    if_yes: str = ""
    if_no: str = ""
    needs: tuple[str, ...] = ()
    link: str = ""
    state: str = ""

    def __call__(self, observed: Observed, policy: Policy = POLICY) -> Answer:
        return self.ask(observed, policy)

    def label(self, yes: bool | None) -> str:
        """The answer in a few words; for what was not answered, what a yes would say."""
        said = self.if_no if yes is False else self.if_yes
        return said or (self.question if yes is None else f"{self.question} {'Yes' if yes else 'No'}")


def check(
    question: str, if_yes: str = "", if_no: str = "", *, needs: tuple[str, ...] = (), link: str = "", state: str = ""
) -> Callable[[Callable[[Observed, Policy], Answer]], Check]:
    """The function's name becomes the key of the check.

    Raises:
        ValueError: a link or a state that there is not.
    """
    for name, given, known in (("link", link, LINKS), ("state", state, BROKEN)):
        if given and given not in known:
            raise ValueError(f"{name} should be one of {', '.join(known)}. Found {given!r}.")
    return lambda ask: Check(ask.__name__, question, ask, if_yes, if_no, needs, link, state)
