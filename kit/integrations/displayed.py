"""What a trainer displayed, as one number for each recorded epoch: the trainer's intervals need not be epochs."""

from __future__ import annotations

import math
from typing import Any

from kit.recording.watching import Watch

_REACH = 1  # recorded epochs that a displayed mean may reach back; further, it is a number of none of them


class Displayed:
    """Hands numbers over to an open watch, as they are displayed. A new recorded epoch begins after each evaluation.

    Of several in one epoch, the mean over their steps. A mean that reaches back over more than one epoch is not comparable with
    the losses of any, and is handed over as "displayed, not known" (nan); but a mean that is 0 is 0 in each step.
    """

    def __init__(self, run: Watch | None = None) -> None:
        self._run = run
        self._since, self._steps = 0, 0
        self._trained = self._moved = False
        self._sums: dict[str, tuple[int, float, float]] = {}  # name -> epoch, sum, weight
        self._label: int | None = None

    def stepped(self) -> None:
        """A batch was trained; the next displayed train loss is about it."""
        if self._run is not None:
            self._trained = True
            self._since = self._since or self._run.epoch
            self._steps += 1

    def train(self, value: Any) -> None:
        """The train loss since the last one that was displayed."""
        number = number_of(value)
        if self._run is None or number is None:
            return
        now, since, steps = self._run.epoch, self._since, self._steps
        self._since, self._steps, self._trained = 0, 0, True
        if since and now - since > _REACH and (number != 0 or self._moved):
            self._moved = True
            if self._sums.get("train_loss", (0,))[0] != now:
                self._run.log(train_loss=math.nan)
            return
        self._moved = self._moved or number != 0
        self._add("train_loss", number, max(steps, 1))

    def val(self, value: Any, batches: float = 1) -> None:
        """A validation loss; of several evaluations (several loaders) in one epoch, the mean over their batches."""
        number = number_of(value)
        if self._run is not None and number is not None and self._trained:  # before that, it is a rehearsal
            self._add("val_loss", number, batches)

    def epoch_over(self, label: int) -> None:
        """The trainer's epoch of this number is over."""
        if self._run is not None and self._trained and label != self._label:
            self._run.log(epoch=label)
            self._label = label

    def _add(self, name: str, number: float, weight: float) -> None:
        assert self._run is not None
        now = self._run.epoch
        epoch, total, weights = self._sums.get(name, (now, 0.0, 0.0))
        if epoch != now:
            total = weights = 0.0
        self._sums[name] = now, total + weight * number, weights + weight
        self._run.log(**{name: (total + weight * number) / (weights + weight)})


def number_of(value: Any) -> float | None:
    """A float, also of a tensor or array with one element; None for anything else."""
    if value is None or isinstance(value, str | bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # a mapping, several numbers, a tensor without data
        return None
