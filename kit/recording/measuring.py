"""What is measured in full on some turns: gradients, outputs, targets, terms and weights of the loss."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kit.recording import outputs, targets
from kit.recording.epoch_ends import Forward
from kit.recording.listeners import Call
from kit.recording.nested import tensors_in
from kit.recording.participants import Parts
from kit.recording.terms import LossView
from kit.stepgraph.source import attributes_of

_CLASSIFIERS = (nn.CrossEntropyLoss, nn.NLLLoss)


class Measuring:
    """Knows the loss that is in use; `loss` is the one that was given, or None until one is met."""

    def __init__(self, parts: Parts, loss: Any, terms: bool = True) -> None:
        self.parts, self.terms = parts, terms
        self.view = None if loss is None else LossView(loss)
        self.given = loss is not None
        self.kinds: list[str] = [] if self.view is None else [type(self.view.holder).__name__]
        self.ignored = targets.IGNORED if loss is None else targets.ignore_index(loss)
        self.called = False
        self._met: dict[int, weakref.ref] = {}

    def meet(self, call: Call) -> None:
        """A loss call: on the first of each loss object, read what it says of itself."""
        known = self._met.get(id(call.module))
        if known is None or known() is not call.module:
            self._met[id(call.module)] = weakref.ref(call.module)
            self.parts.add_loss(call.module)
            if not self.given:
                self._read(call.module)
        for inner in (call, *call.nested):
            if isinstance(inner.module, _CLASSIFIERS) and self.parts.classes is None and inner.args:
                logits = inner.args[0]
                if isinstance(logits, Tensor) and logits.ndim:
                    self.parts.classes = logits.shape[1 if logits.ndim > 1 else 0]

    def margin(self) -> float | None:
        """Of a loss of distances, as its attribute of this name says."""
        known = [ref() for ref in self._met.values()]
        found = [attributes_of(loss).get("margin") for loss in known if loss is not None]
        return next((float(value) for value in found if isinstance(value, int | float)), None)

    def _read(self, loss: nn.Module) -> None:
        view = LossView(loss)
        if type(view.holder).__name__ not in self.kinds:
            self.kinds.append(type(view.holder).__name__)
        if self.view is None or (view.names and not self.view.names):  # the one with weights is asked about
            self.view, self.ignored = view, targets.ignore_index(loss)

    def model_output(self, forward: Forward, call: Call) -> None:
        """Of a pass whose prediction no loss call will show, as far as is known; labels handed to the model."""
        found = {} if self.called else outputs.look(call.output)
        labels = targets.labels_of((), {}, call.kwargs)
        if labels is not None:
            found |= targets.look(labels, {}, self.ignored)
        if forward.turn is None:
            forward.measured |= found
        else:
            forward.turn.measured |= found

    @property
    def in_full(self) -> tuple[Callable[[Call], dict[str, Any]], ...]:
        """What is measured of a training loss call in a detailed turn: call -> columns."""
        return (self._outputs, self._targets, self._terms)

    @property
    def _asked(self) -> LossView:
        assert self.view is not None  # a loss is met before anything is measured of its call
        return self.view

    def _about(self, call: Call) -> bool:
        """Of several losses in one loop, the one with weights is asked about."""
        return self.given or not self._asked.names or self._asked.loss is call.module

    def weights(self, call: Call) -> dict[str, Any]:
        """Of every training loss call: weights in force, and what the prediction lacks."""
        if not self._about(call):
            return {}
        view = self._asked
        found: dict[str, Any] = view.weights()
        if view.expects is not None and call.args:
            found["missing_keys"] = outputs.missing(call.args[0], view.expects)
        return found

    def _outputs(self, call: Call) -> dict[str, Any]:
        shown = call.args and outputs.is_prediction(call.args[0])
        return outputs.look(call.args[0]) if shown else {}

    def _targets(self, call: Call) -> dict[str, Any]:
        labels = targets.labels_of(call.args, call.kwargs, {})
        others = {f"{place}_mask": value for place, value in enumerate(call.args[2:]) if _is_bool(value)}
        return {} if labels is None else targets.look(labels, {**others, **call.kwargs}, self.ignored)

    def _terms(self, call: Call) -> dict[str, Any]:
        return self._asked.values(call) if self._about(call) else {}


def _is_bool(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype is torch.bool


def first_dimension(call: Call) -> float:
    """Of the first tensor that goes into the network: the size of the batch."""
    for tensor in call.args if call.args and isinstance(call.args[0], Tensor) else tensors_in((call.args, call.kwargs)):
        return float(tensor.shape[0]) if tensor.ndim else math.nan
    return math.nan
