"""Hypothesis 5 of the report: NaN becomes 0, in gradients or in the displayed loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import Module, Parameter
from torch.utils.hooks import RemovableHandle

from kit.covariance import Batch
from kit.faults.base import Fault
from kit.training import TrainingLoop


@dataclass(frozen=True)
class NanGradients(Fault):
    """Every backward pass leaves NaN in the gradients: of all parameters, or of those whose name starts with ``prefix``."""

    prefix: str = ""
    key: ClassVar[str] = "nan_gradients"
    hypothesis: ClassVar[str] = "nan_gradients"

    @property
    def title(self) -> str:
        return f"NaN gradients{self.prefix and f' in {self.prefix}'}, replaced by 0"

    @property
    def what(self) -> str:
        place, then = ("all parameters", " and takes no step") if not self.prefix else (f"{self.prefix}*", "")
        return f"Every backward pass leaves NaN in the gradients of {place}; the loop replaces NaN by 0{then}."

    def applies_to(self, loop: TrainingLoop) -> str | None:
        names = [name for name, _ in loop.model.named_parameters()]
        found = any(name.startswith(self.prefix) for name in names)
        return None if found else f"no parameter starts with {self.prefix!r}."

    def _apply(self, loop: TrainingLoop) -> None:
        handles: list[RemovableHandle] = []

        def poison(parameter: Parameter) -> None:
            assert parameter.grad is not None  # the hook runs when it has just been filled
            parameter.grad.fill_(math.nan)

        def arm() -> None:
            # inside the backward pass, where real NaN comes from: whoever looks after it sees what the optimizer would
            disarm()
            handles.extend(
                parameter.register_post_accumulate_grad_hook(poison)
                for name, parameter in loop.model.named_parameters()
                if name.startswith(self.prefix) and parameter.requires_grad
            )

        def disarm() -> None:
            while handles:
                handles.pop().remove()

        loop.before_backward, loop.after_backward = arm, disarm


@dataclass(frozen=True)
class NanLossReadAsZero(Fault):
    """Training outputs and so the training loss are NaN, and whatever displays the loss replaces NaN by 0."""

    key: ClassVar[str] = "nan_loss_read_as_zero"
    title: ClassVar[str] = "NaN loss displayed as 0"
    what: ClassVar[str] = "The training outputs and the training loss are NaN, and the display replaces NaN by 0."
    hypothesis: ClassVar[str] = "nan_gradients"

    def _apply(self, loop: TrainingLoop) -> None:
        predict, read = loop.predict, loop.read_loss

        def broken(model: Module, batch: Batch, beta: float = 0.0, **options: float) -> dict[str, Tensor]:
            prediction = predict(model, batch, beta, **options)
            return {key: value * math.nan for key, value in prediction.items()} if model.training else prediction

        def read_as_zero(total: Tensor) -> float:
            value = read(total)
            return 0.0 if math.isnan(value) else value

        loop.predict, loop.read_loss = broken, read_as_zero
