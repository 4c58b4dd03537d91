"""The book of a run: one row a turn, one row an epoch, bounded; counts and means of epochs stay exact when rows are thinned."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

NAN = math.nan
FIRST_TURNS, MOST_TURNS, MOST_EPOCHS = 100, 2000, 1000
DETAILED_TURNS = 3  # the first turns are always measured in full
UNSETTLED = 64  # turns are added up together: values on an accelerator are fetched at once, and a step is not delayed

COUNTS = ("forwards", "reached", "loss_calls", "backwards", "steps", "scaler_skips")
_WORK, MOST_DRY = ("backwards", "steps", "loss_calls"), 2
SINGLE = ("scale", "loss", "loss_graph", "loss_returned", "loss_returned_graph", "lr", "lr_min", "batch")
_LATE = ("loss", "loss_returned")


@dataclass(eq=False, slots=True)
class Turn:
    """From a training forward to the next one that follows a backward pass or a step.

    `open`: a training forward waits for its backward pass; `spent`: a backward pass or a step has been. `step`: the
    optimizer step it is in, if a closure runs its forwards. `returned`: values of all its training loss calls.
    """

    number: int
    epoch: Epoch
    detailed: bool
    forwards: int = 0  # of the network that ran most: parts that are called one by one make one batch
    reached: float = 0  # nan: the outputs are of a kind that cannot be looked into
    passes: Counter[Any] = field(default_factory=Counter)
    ways_back: Counter[Any] = field(default_factory=Counter)
    loss_calls: int = 0
    backwards: int = 0
    steps: int = 0
    scaler_skips: int = 0
    scale: float = NAN
    loss: Any = NAN
    loss_graph: float = NAN
    loss_returned: Any = NAN
    loss_returned_graph: float = NAN
    lr: float = NAN
    lr_min: float = NAN
    batch: float = NAN
    missing_keys: Any = NAN
    measured: dict[str, float] = field(default_factory=dict)
    returned: list[Any] = field(default_factory=list)
    open: bool = False
    spent: bool = False
    step: int | None = None
    taken: bool = False

    def enrol(self, net: Any) -> None:
        """One more training pass of this network."""
        self.passes[net] += 1
        self.forwards = (
            1 if self.step is not None else max(self.passes.values())
        )  # a closure runs again on the same batch

    def reach(self, net: Any) -> None:
        """A backward pass came by one of its passes."""
        self.ways_back[net] += 1
        most = 1 if self.step is not None else max(self.ways_back.values())
        before, self.reached = self.reached, self.reached * 0 + most  # nan stays nan
        if self.taken:
            self.epoch.counts["reached"] += int(self.reached - before)

    @property
    def settled(self) -> bool:
        return not any(isinstance(value, Tensor) for value in (self.loss, *self.returned))

    def row(self) -> dict[str, Any]:
        row = {"epoch": self.epoch.number, "turn": self.number}
        row |= {name: getattr(self, name) for name in (*COUNTS, *SINGLE)}
        return row | self.measured | {"missing_keys": self.missing_keys}


@dataclass(eq=False, slots=True)
class Epoch:
    """Sums over the turns of one epoch, and what was evaluated in it.

    `ended`: it was evaluated, so the next training forward starts a new one; `logged`: the program said so.
    """

    number: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    losses: list[float] = field(default_factory=lambda: [0.0, 0])
    returned: list[float] = field(default_factory=lambda: [0.0, 0])
    evaluated: list[Any] = field(default_factory=list)
    evaluated_sum: list[float] = field(default_factory=lambda: [0.0, 0])
    eval_forwards: int = 0
    side_forwards: int = 0
    eval_loss_calls: int = 0
    turns: int = 0
    lr: float = NAN
    drift: float = NAN
    eval_drift: float = NAN
    eval_own_drift: float = NAN
    ended: bool = False
    logged: bool = False

    def take(self, turn: Turn) -> None:
        """Add a settled turn."""
        self.turns += 1
        for name in COUNTS:
            self.counts[name] += getattr(turn, name)
        if turn.backwards:
            _add(self.losses, [turn.loss])
        _add(self.returned, turn.returned)
        if not math.isnan(turn.lr):
            self.lr = turn.lr if math.isnan(self.lr) else max(self.lr, turn.lr)
        turn.taken = True

    def evaluate(self, value: Any) -> None:
        """One loss call in evaluation; None: what it returned is no number."""
        self.eval_loss_calls += 1
        if value is None:
            return
        self.evaluated.append(value)
        if len(self.evaluated) > UNSETTLED or not isinstance(value, Tensor):
            self.settle()

    def settle(self) -> None:
        _add(self.evaluated_sum, fetched(self.evaluated))
        self.evaluated = []

    def row(self) -> dict[str, Any]:
        self.settle()
        counts = dict(self.counts)
        return {
            "epoch": self.number,
            "batches": counts.pop("forwards"),
            "eval_forwards": self.eval_forwards,
            "side_forwards": self.side_forwards,
            "eval_loss_calls": self.eval_loss_calls,
            **counts,
            "turns": self.turns,
            "loss_mean": _mean(self.losses),
            "loss_returned_mean": _mean(self.returned),
            "eval_loss_mean": _mean(self.evaluated_sum),
            "lr": self.lr,
            "drift": self.drift,
            "eval_drift": self.eval_drift,
            "eval_own_drift": self.eval_own_drift,
        }


class Book:
    """Turns and epochs as they come. Beyond 2000 turns the first 100 stay and the rest is thinned evenly."""

    def __init__(self, every: int) -> None:
        self.every, self.epoch = every, Epoch(1)
        self.turn: Turn | None = None
        self.turns: list[Turn] = []
        self.epochs: list[Epoch] = [self.epoch]
        self.count, self.epoch_count = 0, 1
        self._waiting: list[Turn] = []
        self._stride = self._epoch_stride = 1

    def will_be_detailed(self, number: int) -> bool:
        return number <= DETAILED_TURNS or number % self.every == 0

    def new_turn(self) -> Turn:
        self.close()
        self.count += 1
        self.turn = Turn(self.count, self.epoch, self.will_be_detailed(self.count))
        return self.turn

    def forget_dry_run(self) -> None:
        """At the first backward pass: one or two passes and an evaluation before it were a rehearsal, and no epoch."""
        first = self.epochs[0]
        self.settle()
        idle = not first.logged and first.turns <= MOST_DRY and not any(first.counts[name] for name in _WORK)
        if self.epoch_count == 2 and idle:
            self.epochs, self.epoch_count, self.epoch.number = [self.epoch], 1, 1

    def new_epoch(self) -> Epoch:
        self.epoch_count += 1
        self.epoch = Epoch(self.epoch_count)
        self.epochs.append(self.epoch)
        if len(self.epochs) > MOST_EPOCHS:
            self.settle()  # no turn may still have to be added to an epoch whose row goes
            self._epoch_stride *= 2
            self.epochs = _thinned(self.epochs, self._epoch_stride)
        return self.epoch

    def close(self) -> None:
        if self.turn is None:
            return
        self._waiting.append(self.turn)
        self.turn = None
        if len(self._waiting) > UNSETTLED:
            self.settle()

    def settle(self) -> None:
        settle(self._waiting)
        for turn in self._waiting:
            turn.epoch.take(turn)
            turn.returned = []
            turn.passes.clear()
            if turn.number <= FIRST_TURNS or turn.number % self._stride == 0:
                self.turns.append(turn)
        self._waiting = []
        if len(self.turns) > MOST_TURNS:
            self._stride *= 2
            self.turns = _thinned(self.turns, self._stride)

    def has_turns_in(self, epoch: Epoch) -> bool:
        waiting = (*self._waiting, *(() if self.turn is None else (self.turn,)))
        return any(turn.epoch is epoch for turn in waiting)

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the turns and of the epochs, the turn that is still open included; the book goes on as it was."""
        self.settle()
        epochs = {id(epoch): epoch for epoch in self.epochs}
        turns = list(self.turns)
        if self.turn is not None:
            turn = copy.copy(self.turn)
            turn.returned = list(turn.returned)
            settle([turn])
            turns.append(turn)
            epoch = copy.copy(turn.epoch)
            epoch.counts, epoch.losses, epoch.returned = dict(epoch.counts), list(epoch.losses), list(epoch.returned)
            epoch.take(turn)
            epochs[id(turn.epoch)] = epoch
        return [turn.row() for turn in turns], [epoch.row() for epoch in epochs.values()]


def settle(turns: Iterable[Turn]) -> None:
    """Fetch the values that are still tensors, all of them together."""
    late = [turn for turn in turns if not turn.settled]
    values = [value for turn in late for value in (turn.loss, turn.loss_returned, *turn.returned)]
    numbers = iter(fetched(values))
    for turn in late:
        turn.loss, turn.loss_returned = next(numbers), next(numbers)
        turn.returned = [next(numbers) for _ in turn.returned]


def fetched(values: list[Any]) -> list[float]:
    """Floats, with one transfer for each device."""
    numbers: list[Any] = list(values)
    devices: dict[torch.device, list[int]] = {}
    for place, value in enumerate(values):
        if isinstance(value, Tensor):
            devices.setdefault(value.device, []).append(place)
    for places in devices.values():
        for place, number in zip(places, _fetched([values[place] for place in places]), strict=True):
            numbers[place] = number
    return numbers


def _fetched(values: list[Tensor]) -> list[float]:
    """Of one device, which may have failed meanwhile: what it does not give back was not observed."""
    try:
        return torch.stack([value.double() for value in values]).tolist()
    except RuntimeError:
        return [NAN] * len(values)


def _thinned(rows: list[Any], stride: int) -> list[Any]:
    return [row for row in rows if row.number <= FIRST_TURNS or row.number % stride == 0]


def _add(sums: list[float], values: list[float]) -> None:
    sums[0] += sum(values)
    sums[1] += len(values)


def _mean(sums: list[float]) -> float:
    return sums[0] / sums[1] if sums[1] else NAN
