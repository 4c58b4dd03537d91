"""What the live panel is handed: a session, which trains one batch at a time and answers in plain numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from kit.panel.data import ShownProbe


def plan_faults(keys: Iterable[str], known: Collection[str], on: Sequence[str]) -> tuple[int, list[str]]:
    """How many of the faults that are on may stay as they lie, and which come on top of them, in their order.

    Raises:
        ValueError: a key that is not known.
    """
    wanted = tuple(dict.fromkeys(keys))
    for key in wanted:
        if key not in known:
            raise ValueError(f"faults should be among {', '.join(known)}. Found {key!r}.")
    kept = next((place for place, key in enumerate(on) if key not in wanted), len(on))
    return kept, [*(key for key in on[kept:] if key in wanted), *(key for key in wanted if key not in on)]


@dataclass(frozen=True)
class StepResult:
    """What one slice of training did. ``None``, or a name left out, was not measured here.

    Attributes:
        step: batches trained on so far; the abscissa of every curve.
        epoch: counted from 1.
        loss: of the batch.
        terms: term -> its value before weighting.
        grad_norm: of the whole network, as the optimizer was to be handed it.
        steps_taken: optimizer steps so far.
        lr: learning rate of this batch.
        train_loss, val_loss: the displayed numbers, where an epoch ended.
        probed: the ``ProbeReport`` taken at this step.
    """

    step: int
    epoch: int
    loss: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    grad_norm: float | None = None
    steps_taken: int | None = None
    lr: float | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    probed: ShownProbe | None = None


@dataclass(frozen=True)
class FaultOffer:
    """A fault that can be switched on while the training runs.

    Attributes:
        key: unique.
        title: for people.
        group: title of the hypothesis that it makes true.
        what: what it does, in a sentence.
        unfit: why it cannot be applied here; empty if it can.
        suggested: named beside the closed menu, as what to try first.
    """

    key: str
    title: str
    group: str
    what: str = ""
    unfit: str = ""
    suggested: bool = False


@runtime_checkable
class Session(Protocol):
    """A training that can be stopped after every batch. One that raises has to be as it was before the call.

    Attributes:
        title: heading of the panel.
        planned: batches of the whole run; None if it has no end.
        step: batches trained on so far.
        finished: nothing is left to train.
        terms: weight name -> the term that it weighs, for every weight that may be set.
        weights: weight name -> the value in force.
        asked: weight name -> the value that was set by hand, for those that were.
        faults: what may be switched on.
        active: keys of those that are on, in the order in which they came.
    """

    title: str
    planned: int | None
    step: int
    finished: bool
    terms: Mapping[str, str]
    weights: Mapping[str, float]
    asked: Mapping[str, float]
    faults: Sequence[FaultOffer]
    active: Sequence[str]

    def advance(self) -> StepResult:
        """Train on one batch; at the end of an epoch, validate."""
        ...

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """These weights from the next batch on. ValueError: an unknown name or a refused value; nothing is changed then."""
        ...

    def set_faults(self, keys: Iterable[str]) -> None:
        """Exactly these faults from the next batch on. ValueError: an unknown key, or a fault that does not fit."""
        ...

    def look(self) -> ShownProbe | None:
        """A ``ProbeReport`` of the network as it is now, the last one if nothing has changed since; None where it cannot be probed."""
        ...

    def diagnosis(self) -> str:
        """The most likely cause so far, in a sentence or two; empty if there is nothing to say."""
        ...

    def reset(self) -> None:
        """As at the very start: same network, same batches, no fault, no weight set by hand."""
        ...
