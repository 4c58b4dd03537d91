"""What one batch tells before the run: does it give the same loss twice, do its samples mix, what would a constant prediction have?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kit.stepgraph import returned
from kit.stepgraph.forward import forward_of
from kit.stepgraph.sandbox import Sandbox
from kit.stepgraph.tree import Fresh, map_tensors, tensors

_CONSTANT_STEPS = 50
_MIXED = 1e-2  # of the largest output: rounding in another order makes 1e-6 in float32, 1e-3 in half precision
_FAR = 3.0  # times the constant prediction's loss: the first loss of a usual start is near it


@dataclass(frozen=True)
class OneBatch:
    """One forward pass with its loss, as often as wanted; ``box`` puts the state back.

    Args:
        model, loss, batch, predict: as for ``kit.probe``.
        box: the sandbox that model and loss are in.
    """

    model: nn.Module
    loss: Any
    batch: Any
    predict: Callable[[nn.Module, Any], Any] | None
    box: Sandbox

    def forward(self) -> tuple[Any, Fresh]:
        """Prediction and target; the batch is the same every time, whatever was done to it."""
        return forward_of(self.model, self.batch, self.predict)()

    def total(self) -> Tensor:
        """The loss of the batch, of shape ()."""
        prediction, target = self.forward()
        return self._scored(prediction, target.get())

    def _scored(self, prediction: Any, target: Any) -> Tensor:
        found = self.loss(prediction, target)
        return returned.total(found, returned.where(found))

    def repeats(self) -> str:
        """A sentence if the same batch, from the same state, gives another loss."""
        losses = []
        for _ in range(2):
            self.box.replay()
            losses.append(self.total().item())
        self.box.replay()
        if np.array_equal(losses[:1], losses[1:], equal_nan=True):
            return ""
        return (
            f"Look: the same batch from the same random state gave the losses {losses[0]:.6g} and {losses[1]:.6g}. Something keeps a state, "
            "or draws numbers, where neither torch, numpy nor random knows of it; no result can be repeated."
        )

    def mixes(self) -> str:
        """A sentence if, in evaluation mode, the first sample's output depends on the other samples of the batch."""
        if self.predict is not None or not isinstance(self.batch, tuple | list):
            return ""
        size = _size(self.batch[0])
        if size is None or size < 2:
            return ""
        copied = map_tensors(self.batch[0], lambda t: t[torch.zeros(size, dtype=torch.long)])
        self.model.eval()
        with torch.no_grad():
            first = [_output(forward_of(self.model, (x, None), None)()[0], size) for x in (self.batch[0], copied)]
        self.box.replay()
        if first[0] is None or first[1] is None or first[0].shape != first[1].shape:
            return ""
        apart = (first[0] - first[1]).abs().max().item()
        if not apart > _MIXED * first[0].abs().max().item():
            return ""
        return (
            "Look: the output of the first sample changes with the other samples of its batch, in evaluation mode. That is meant for graphs and "
            "contrastive losses; else an operation over dimension 0 mixes the samples."
        )

    def constant(self) -> float | None:
        """The least loss that one prediction for all samples reaches; None where that has no meaning."""
        prediction, target = self.forward()
        if not isinstance(prediction, Tensor) or not prediction.is_floating_point() or prediction.ndim < 1:
            return None
        if len(prediction) < 2 or not torch.isfinite(prediction).all():
            return None
        one = prediction.detach().mean(0, keepdim=True).clone().requires_grad_()
        optimizer = torch.optim.LBFGS([one], max_iter=_CONSTANT_STEPS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            total = self._scored(one.expand_as(prediction), target.get())
            total.backward()
            return total

        try:
            optimizer.step(closure)
            least = self._scored(one.detach().expand_as(prediction), target.get()).item()
        except RuntimeError:  # a loss that cannot be differentiated by its prediction has no such number
            return None
        finally:
            self.box.replay()
        return least if np.isfinite(least) else None


def learned(losses: list[float], constant: float | None) -> str:
    """How the loss of the batch went, and what one prediction for all samples would have."""
    first, last = losses[0], losses[-1]
    said = f"On this batch the loss went from {first:.4g} to {last:.4g} in {len(losses) - 1} steps"
    if constant is None or not 0 < constant:
        return f"{said}."
    said += f"; one prediction for all samples has {constant:.4g} at best."
    if first > _FAR * constant:
        said += " The start is far above that: look at the scale of the last layer and of the targets."
    elif last >= constant:
        said += f" Whether the network can learn these samples by heart, more steps would show: steps={10 * (len(losses) - 1)}."
    return said


def _size(inputs: Any) -> int | None:
    """The first dimension that all tensors of the inputs share."""
    sizes = {len(t) if t.ndim else 0 for t in tensors(inputs)}
    return sizes.pop() if len(sizes) == 1 else None


def _output(prediction: Any, size: int) -> Tensor | None:
    """Of the first sample, everything that the network predicts for it."""
    found = [t for t in tensors(prediction) if t.ndim and len(t) == size and t.is_floating_point()]
    return torch.cat([t[0].detach().double().flatten() for t in found]) if found else None
