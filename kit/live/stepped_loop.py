"""The training loop one batch at a time: `TrainingLoop.run`, stopped and resumed between any two batches."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kit.covariance import Batch
from kit.live.rows import Rows
from kit.live.step_row import StepSeen, look_at_step
from kit.loss import ZeroWeightWarning
from kit.training import RunningLoss, TrainingLoop, apply_hpo_loss_weights


@dataclass
class Position:
    """Where the run stands. It is one object for the whole run: a fault that is undone puts back the loop's parts, not this."""

    epoch: int = 0
    left: deque[Batch] = field(default_factory=deque)
    batches: int = 0  # trained on in the whole run
    running: RunningLoss | None = None  # None: the epoch has not begun
    steps: Iterator[dict[str, Any]] | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    unfinished: bool = False  # the last batch is trained on, its epoch not ended
    asked: dict[str, float] = field(default_factory=dict)
    seen: StepSeen | None = None
    computed: float = 0.0  # loss of the last batch, whatever is displayed for it


class SteppedLoop(TrainingLoop):
    """As long as nothing is changed, the records, the weights and the random draws are bitwise those of ``run``.

    One thing differs on purpose: an epoch without a step is something to look at here, and never an error.
    """

    at: Position
    epoch_records: Rows
    step_records: Rows

    def begin(self) -> None:
        self.at = Position()
        self.epoch_records, self.step_records = Rows(), Rows()
        self.read_loss = self._read
        if self.config.search_weights:
            apply_hpo_loss_weights(self.loss, self.config.search_weights)

    @property
    def finished(self) -> bool:
        return self.at.epoch >= self.config.epochs

    def advance(self) -> dict[str, Any]:
        """Train on the next batch and return its step record; with the last batch of an epoch, the epoch ends.

        Whatever is raised, the batch in hand is not lost: the next call tries it again.
        """
        at = self.at
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)  # the panel shows the weights
            if not at.unfinished:
                self._train()
            if not at.left:
                at.unfinished = True
                self._end_epoch()
        return self.step_records[-1] if at.running is None else at.records[-1]

    def restart_steps(self) -> None:
        """After a part of the loop was replaced: the rest of the epoch runs with the new parts."""
        at = self.at
        at.steps = None
        if at.running is not None:
            running = self.new_running_loss()
            running.total, running.batches = at.running.total, at.running.batches
            at.running = running
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)
            self.set_weights(min(at.epoch, self.config.epochs - 1))

    def set_weights(self, epoch: int) -> None:
        """The schedules' weights, then those that were set by hand. Faults that keep a weight come after both."""
        super().set_weights(epoch)
        self.loss.set_weights(self.at.asked)

    def batches(self) -> Iterator[Batch]:
        while self.at.left:
            yield self.at.left.popleft()

    def update(self, prediction: dict[str, Tensor], batch: Batch) -> dict[str, Any]:
        step = super().update(prediction, batch)
        self.at.seen = look_at_step(self, self.at.computed, prediction, batch, step)
        return step

    def _read(self, total: Tensor) -> float:
        self.at.computed = float(total.detach())
        return self.at.computed

    def _train(self) -> None:
        at = self.at
        if at.running is None:
            self.set_weights(at.epoch)
            self.model.train()
            self.loss.train()
            self.calls.clear()
            at.records = []
            at.left = deque(TrainingLoop.batches(self))
            at.running = self.new_running_loss()
        if at.steps is None:
            at.steps = iter(self.steps_of(at.epoch, at.running))
        left, shown = at.left.copy(), (at.running.total, at.running.batches)
        try:
            record = next(at.steps)
        except BaseException:
            at.steps = None  # a generator that raised is over
            at.left = left
            at.running.total, at.running.batches = shown
            raise
        at.batches += len(left) - len(at.left)
        at.records.append(record)

    def _end_epoch(self) -> None:
        """Hands `train_epoch`, which knows what the record of an epoch holds, the steps that were taken one by one."""
        at, calls = self.at, Counter(self.calls)
        displayed = at.running
        assert displayed is not None  # an epoch that ends has begun

        def replay(epoch: int, running: RunningLoss) -> Iterator[dict[str, Any]]:
            self.calls.update(calls)
            yield from at.records

        before, recorded = dict(vars(self)), len(self.step_records)
        self.steps_of, self.new_running_loss = replay, lambda: displayed
        try:
            record = self.train_epoch(at.epoch)
        except BaseException:
            self.step_records.cut(recorded)  # they come again with the epoch
            raise
        finally:
            for name in ("steps_of", "new_running_loss"):
                if name in before:
                    setattr(self, name, before[name])
                else:
                    delattr(self, name)
        self.epoch_records.append(record)
        at.epoch += 1
        at.running = at.steps = None
        at.unfinished = False
