"""What a hypothesis is: a claim with a prior, what it predicts, the checks that speak for it, its fix, and how to try it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kit.hypotheses.checking import Check

Weights = Mapping[str, float]
Verdict = Literal["fault", "not_a_fault", "wrong_number"]


@dataclass(frozen=True)
class Preset:
    """One way to take the claim literally, so that it can be tried at one training step.

    Args:
        key, title: for code, for people.
        weights: the weights under this preset, from the weights as they are; ``None`` leaves them.
        alter: the predictions under this preset, from the network's own; ``None`` leaves them.
        condition: what has to hold in words.
        needs, needs_outputs: weights of the loss, and predictions, without which this preset means nothing.
    """

    key: str
    title: str
    weights: Callable[[Weights], Weights] | None = None
    alter: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    condition: str = ""
    needs: tuple[str, ...] = ()
    needs_outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Symptoms:
    """What a cause predicts for the four numbers one looks at first. ``None``: it says nothing about that number.

    Args:
        train_zero: the displayed train loss is exactly 0 in every epoch.
        validation_level: the validation loss is the same in every epoch.
        gradient: "zero", "non-zero", "non-finite", or "partly zero" (exactly zero in a part of the network).
        steps: "every batch", "none", or "one an epoch".
    """

    train_zero: bool | None = None
    validation_level: bool | None = None
    gradient: Literal["zero", "non-zero", "non-finite", "partly zero"] | None = None
    steps: Literal["every batch", "none", "one an epoch"] | None = None


@dataclass(frozen=True)
class Hypothesis:
    """A possible cause.

    Args:
        key, title: for code, for people.
        claim: the author's words, shortened. They are what is tried, and may be refuted.
        mechanism: what happens in a run that has this cause, in a sentence that is true of anyone's run.
        plain: the title for anyone's run, where the title is the report's; a sentence.
        predicts: what the formulas say it would do.
        fix: what to change.
        signs: checks that can speak for this cause by themselves: without one of them answered yes it is never the verdict.
        decisive: those of the signs whose fact establishes this cause, whatever the others weigh: it follows from nothing else.
        excluded_by: checks that rule this cause out when they are answered yes, whatever else speaks for it.
        explains: keys of causes whose signs follow from this one.
        symptoms: fault key -> what that way to have this cause predicts; the keys are those of ``kit.faults``.
        prior: the probability its author gave it; ``None`` for a cause the report does not name.
        rank: its number in the report.
        presets: ways to try it at one training step.
        verdict: what it means when this is the cause.
        proves_not: what does not follow when this is the cause, in a sentence.
        fixed: the check that the fix worked, in words.
        guard: a few lines for the user's own repository that would have caught it; may use ``model, loss, optimizer, batch`` of theirs.
    """

    key: str
    title: str
    claim: str
    predicts: str
    fix: str
    mechanism: str = ""
    plain: str = ""
    signs: tuple[Check, ...] = ()
    decisive: tuple[Check, ...] = ()
    excluded_by: tuple[Check, ...] = ()
    explains: tuple[str, ...] = ()
    symptoms: Mapping[str, Symptoms] | None = None
    prior: float | None = None
    rank: int | None = None
    presets: tuple[Preset, ...] = ()
    verdict: Verdict = "fault"
    proves_not: str = ""
    fixed: str = "The train loss is above 0, and validation moves, within a few epochs."
    guard: str = ""

    @property
    def links(self) -> tuple[str, ...]:
        """The links of the chain that this cause breaks, that of its first sign first."""
        return tuple(dict.fromkeys(sign.link for sign in self.signs if sign.link))


class RepeatableRun(Protocol):
    """What an intervention needs: a way to run the same training again, as it was or with one cause's fix applied alone."""

    def run(self, fix: str | None = None) -> Any:
        """Train a few steps and return the evidence; ``fix`` is the key of a hypothesis. KeyError: no fix of that name is known."""
        ...
