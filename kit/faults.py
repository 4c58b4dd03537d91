"""Faults: what can go wrong in a training run, as objects that are applied to a loop and undone exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar

from kit.training import RunningLoss, TrainingLoop


@dataclass(frozen=True)
class Fault:
    """One fault. Subclasses replace parts of a ``TrainingLoop`` in ``_apply`` and put them back."""

    key: ClassVar[str]
    title: ClassVar[str]

    def applies_to(self, loop: TrainingLoop) -> str | None:
        """None if the fault can be applied, else the reason why not."""
        return None

    @contextmanager
    def applied_to(self, loop: TrainingLoop) -> Iterator[TrainingLoop]:
        """The loop with the fault in it; afterwards, by return or by exception, every replaced part is the one it was.

        Raises:
            ValueError: the fault does not apply to this loop.
        """
        reason = self.applies_to(loop)
        if reason is not None:
            raise ValueError(f"{self.key} should be applied to a loop that can have it. Found: {reason}")
        before = dict(vars(loop))
        try:
            self._apply(loop)
            yield loop
        finally:
            for name in self._replaced:
                setattr(loop, name, before[name])

    _replaced: ClassVar[tuple[str, ...]] = ()

    def _apply(self, loop: TrainingLoop) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class NanGradients(Fault):
    """After every backward pass, NaN in the gradients: of all parameters, or of those whose name starts with ``prefix``."""

    prefix: str = ""
    key: ClassVar[str] = "nan_gradients"
    title: ClassVar[str] = "NaN gradients"
    _replaced: ClassVar[tuple[str, ...]] = ("after_backward",)

    def applies_to(self, loop: TrainingLoop) -> str | None:
        names = [name for name, _ in loop.model.named_parameters()]
        return (
            None
            if any(name.startswith(self.prefix) for name in names)
            else f"no parameter starts with {self.prefix!r}."
        )

    def _apply(self, loop: TrainingLoop) -> None:
        def poison() -> None:
            for name, parameter in loop.model.named_parameters():
                if name.startswith(self.prefix) and parameter.grad is not None:
                    parameter.grad.fill_(float("nan"))

        loop.after_backward = poison


class _TakenStepsOnly(RunningLoss):
    """``running += loss`` inside the branch of a taken step, divided by the number of all batches."""

    def add(self, loss: float, stepped: bool) -> None:
        super().add(loss if stepped else 0.0, stepped)


@dataclass(frozen=True)
class LossCountedOnStepsOnly(Fault):
    """The loss is added to the running sum only when a step was taken: with every step skipped, the epoch reads exactly 0."""

    key: ClassVar[str] = "loss_counted_on_steps_only"
    title: ClassVar[str] = "Loss added only in the branch of a taken step"
    _replaced: ClassVar[tuple[str, ...]] = ("new_running_loss",)

    def _apply(self, loop: TrainingLoop) -> None:
        loop.new_running_loss = _TakenStepsOnly


@contextmanager
def all_applied(loop: TrainingLoop, *faults: Fault) -> Iterator[TrainingLoop]:
    """Several faults at once; undone in reverse order."""
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault.applied_to(loop))
        yield loop
