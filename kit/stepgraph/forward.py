"""One forward pass of somebody's network on one batch, as often as wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from kit.stepgraph.arguments import batch_refused, kind
from kit.stepgraph.border import calling
from kit.stepgraph.tree import Fresh


def forward_of(
    model: nn.Module, batch: Any, predict: Callable[[nn.Module, Any], Any] | None
) -> Callable[[], tuple[Any, Fresh]]:
    """A function () -> prediction, target: the same batch every time, whatever was done to its copies."""
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    if predict is None:
        if not pair and not (hasattr(batch, "inputs") and hasattr(batch, "target")):
            raise ValueError(batch_refused(batch))
        given, target = (Fresh(part) for part in (batch if pair else (batch.inputs, batch.target)))
        return lambda: (_called(model, given.get()), target)
    whole = Fresh(batch)
    if pair or hasattr(batch, "target"):
        target = Fresh(batch[1] if pair else batch.target)
        return lambda: (_predicted(predict, model, whole.get()), target)

    def both() -> tuple[Any, Fresh]:
        answer = _predicted(predict, model, whole.get())
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(
                "predict(model, batch) should return the pair (prediction, target) where the batch has no .target and "
                f"is no pair (here {kind(batch)}). Found {kind(answer)}."
            )
        return answer[0], Fresh(answer[1], attached=True)  # a target made by the network keeps its graph

    return both


def _called(model: nn.Module, inputs: Any) -> Any:
    advice = (
        "Does model(inputs) work by itself? If it takes more than the inputs, pass predict=lambda model, batch: ..."
    )
    with calling("model should take the inputs of the batch", {"inputs": inputs, "parameters": model}, advice):
        return model(inputs)


def _predicted(predict: Callable, model: nn.Module, batch: Any) -> Any:
    advice = "Does predict(model, batch) work by itself?"
    with calling("predict should take the model and the batch", {"batch": batch, "parameters": model}, advice):
        return predict(model, batch)
