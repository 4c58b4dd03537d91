"""A loss that differentiates the network's output by its input (a residual of a differential equation, a penalty on slopes).

Its terms cannot be asked for on an output that was cut off its graph, so the network is called again with the same input.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kit.probe.weights import holder_of
from kit.watch.audience import Call
from kit.watch.reading import tensors_in


@dataclass(frozen=True)
class Question:
    """The loss as a function of `prediction` and `target`, which need not be those that it was called with."""

    function: Callable[[Any, Any], Any]
    prediction: Any
    target: Any


def is_differentiated(call: Call) -> bool:
    """Whether something may differentiate the output of this call by its input."""
    if all(isinstance(arg, Tensor) for arg in call.args):
        return any(arg.requires_grad for arg in call.args)
    return any(tensor.requires_grad for tensor in tensors_in(call.args))


def through(loss: Any, call: Call, source: Call | None) -> Question | None:
    """`prediction`: what the network was given; `target`: what else the loss was. None if the loss was not given both."""
    if source is None or not call.args or call.args[0] is not source.output:
        return None
    places = [_place(value, source.args) for value in call.args[1:]]
    if not any(place is not None and source.args[place].requires_grad for place in places):
        return None

    def again(_: Any, given: tuple, others: tuple) -> Any:
        output = source.module(*given, **source.kwargs)
        rest = iter(others)
        return loss(output, *(next(rest) if place is None else given[place] for place in places), **call.kwargs)

    others = tuple(value for value, place in zip(call.args[1:], places, strict=True) if place is None)
    return Question(types.MethodType(again, holder_of(loss)), tuple(source.args), others)


def _place(value: Any, given: tuple) -> int | None:
    """Where among the network's arguments this very tensor stands."""
    return next((place for place, one in enumerate(given) if isinstance(one, Tensor) and one is value), None)
