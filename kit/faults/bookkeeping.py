"""Beyond the report: faults of the loop, which display a number that was not computed, or compute less than is displayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim.lr_scheduler import LambdaLR

from kit.faults.base import Fault
from kit.training import RunningLoss, TrainingLoop


class _TakenStepsOnly(RunningLoss):
    """``running += loss`` inside the branch of a taken step, divided by the number of all batches."""

    def add(self, loss: float, stepped: bool) -> None:
        super().add(loss if stepped else 0.0, stepped)


@dataclass(frozen=True)
class LossCountedOnStepsOnly(Fault):
    """The loss is added to the running sum only when a step was taken: with every step skipped, the epoch reads exactly 0."""

    key: ClassVar[str] = "loss_counted_on_steps_only"
    title: ClassVar[str] = "Loss added on taken steps only"
    what: ClassVar[str] = (
        "The running sum gets the loss only where a step was taken: with every step skipped, the epoch reads 0."
    )
    hypothesis: ClassVar[str] = "wrong_number"

    def _apply(self, loop: TrainingLoop) -> None:
        loop.new_running_loss = _TakenStepsOnly


@dataclass(frozen=True)
class LossOutsideLoop(Fault):
    """Loss, backward and step stand after the batch loop: one of each per epoch, on the last batch, divided by all batches."""

    key: ClassVar[str] = "loss_outside_loop"
    title: ClassVar[str] = "Loss and step after the batch loop"
    what: ClassVar[str] = (
        "One loss, one backward and one step an epoch, on the last batch; the sum is divided by all batches."
    )
    hypothesis: ClassVar[str] = "loss_outside_loop"

    def _apply(self, loop: TrainingLoop) -> None:
        def after_the_loop(epoch: int, running: RunningLoss) -> Iterator[dict[str, Any]]:
            for batch in loop.batches():
                beta = loop.beta(epoch)
                prediction = loop.forward(batch, beta)
                running.batches += 1
            step = loop.update(prediction, batch)
            running.total += step["loss"]
            yield {**step, "beta": beta}

        loop.steps_of = after_the_loop


@dataclass(frozen=True)
class WarmUpAtZero(Fault):
    """The warm-up starts at a learning rate of 0 and never leaves it: every batch steps, and nothing moves."""

    key: ClassVar[str] = "warm_up_at_zero"
    title: ClassVar[str] = "Learning rate stays 0"
    what: ClassVar[str] = (
        "The warm-up starts at a learning rate of 0 and never leaves it: every batch steps, and nothing moves."
    )
    hypothesis: ClassVar[str] = "zero_learning_rate"

    def _apply(self, loop: TrainingLoop) -> None:
        # another optimizer over the same parameters, so that the loop's own keeps its rates and state
        settings = loop.optimizer.param_groups
        groups = [{"params": group["params"], "lr": group["initial_lr"]} for group in settings]
        loop.optimizer = type(loop.optimizer)(groups, weight_decay=settings[0]["weight_decay"])
        loop.scheduler = LambdaLR(loop.optimizer, lambda step: 0.0)
