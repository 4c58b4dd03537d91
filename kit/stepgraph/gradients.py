"""The gradient of every term by every parameter, three ways, and the gradient of the loss's own total beside it.

two_stage      terms -> outputs on cut leaves, then outputs -> parameters, one pass a term (default: exact and lean)
one_stage      terms -> parameters through the whole graph: for losses that also read parameters directly
fresh_forward  a new forward and `.backward()` a term: where a graph cannot be walked twice or by autograd.grad
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kit.stepgraph import returned
from kit.stepgraph.arguments import kind
from kit.stepgraph.border import calling
from kit.stepgraph.components import Decomposition, decompose
from kit.stepgraph.graph import leaves, nodes
from kit.stepgraph.progress import Progress
from kit.stepgraph.sandbox import Sandbox
from kit.stepgraph.tree import Fresh, cut

Row = list[Tensor | None]

_SLOPES, _ROWS = "terms to the prediction", "gradients of the terms"
_PAIR = ("prediction", "target")
_PART = (
    "Does loss(model(inputs), target) work by itself? If loss takes a part of the prediction, pass "
    "predict=lambda model, batch: ... that returns this part."
)

# What torch says when a graph can only be used once, or only by `.backward()`.
_ONE_USE = (
    "non-empty donated buffers",  # compiled module
    "backward through the graph a second time",
    "is incompatible with .grad()",  # reentrant checkpoint
    "is not compatible with .grad()",
)


class NeedsOneStage(Exception):
    """The terms reach parameters past the prediction."""


class NeedsFresh(Exception):
    """The graph cannot be used more than once."""


@dataclass(frozen=True)
class Measured:
    """Terms, `rows[i][p]` their gradients, `real[p]` the gradient of the loss's own total."""

    way: str
    terms: Decomposition
    rows: list[Row]
    real: Row
    total: float


@dataclass(frozen=True)
class Step:
    """One training step that can be repeated: forward, terms, total, always from the same state."""

    forward_fn: Callable[[], tuple[Any, Fresh]]  # -> prediction, target
    loss: Any
    terms: Any
    weights: Any
    parameters: list[nn.Parameter]
    box: Sandbox
    progress: Progress

    def forward(self) -> tuple[Any, Fresh]:
        self.box.replay()
        return self.forward_fn()

    def decompose(self, prediction: Any, target: Fresh) -> Decomposition:
        return decompose(self.loss, prediction, target.get(), terms=self.terms, weights=self.weights)

    def total(self, prediction: Any, target: Fresh) -> Tensor:
        given = Fresh(prediction, attached=True).get(), target.get()
        with Sandbox(self.loss):  # the terms and the total must start from the same random and loss state
            with calling("loss should take the prediction and the target", dict(zip(_PAIR, given, strict=True)), _PART):
                found = self.loss(*given)
            total = returned.total(found, returned.where(found))
        if not total.requires_grad:
            plain = "" if isinstance(found, Tensor) else f" ({kind(found)})"
            raise ValueError(
                "loss(prediction, target) should hang on a graph to the parameters. "
                f"Found a total without one{plain}: is the prediction detached, made under no_grad, "
                "or the total made a number by .item()?"
            )
        return total


def two_stage(step: Step) -> Measured:
    prediction, target = step.forward()
    total = step.total(prediction, target)
    if one_use := _reentrant(total):
        raise NeedsFresh(one_use)
    outputs, leaves, on_leaves = cut(prediction)
    terms = step.decompose(on_leaves, target)
    slopes = [_slopes(value, [*leaves, *step.parameters]) for value in step.progress.over(terms.values, _SLOPES)]
    if direct := [n for n, s in zip(terms.names, slopes, strict=True) if any(g is not None for g in s[len(leaves) :])]:
        raise NeedsOneStage(f"{', '.join(direct)} reach parameters past the prediction ({_past(prediction, outputs)})")
    rows = [_through(outputs, s[: len(leaves)], step.parameters) for s in step.progress.over(slopes, _ROWS)]
    return Measured("two_stage", terms, rows, _real(total, step.parameters), total.item())


def _past(prediction: Any, outputs: list[Tensor]) -> str:
    opaque = f"the prediction is of a type that the probe cannot look into: {type(prediction).__name__}"
    if not outputs:
        return opaque
    return "weight decay, own parameters, a target with a graph, or a part of " + opaque


def one_stage(step: Step) -> Measured:
    prediction, target = step.forward()
    total = step.total(prediction, target)
    if one_use := _reentrant(total):
        raise NeedsFresh(one_use)
    terms = step.decompose(prediction, target)
    rows = [_slopes(value, step.parameters) for value in step.progress.over(terms.values, _ROWS)]
    return Measured("one_stage", terms, rows, _real(total, step.parameters), total.item())


def fresh_forward(step: Step) -> Measured:
    if has_accumulate_hooks(step.parameters):
        raise ValueError(
            "model should have no post-accumulate-grad hooks here. Found some: this graph needs one .backward() a "
            "term, and such a hook (an optimizer that steps inside backward?) would run each time. Remove them for the "
            "probe, or make the graph usable by autograd.grad: use_reentrant=False in checkpoints; before compiling, "
            "torch._functorch.config.donated_buffer = False."
        )
    total = step.total(*step.forward())
    real = _backward(total, step.parameters)
    rows: list[Row] = []
    terms = again = step.decompose(*step.forward())
    for index in step.progress.over(range(len(terms.names)), _ROWS):
        if index:
            again = step.decompose(*step.forward())
        value = again.values[index]
        rows.append(_backward(value, step.parameters) if value.requires_grad else [None] * len(step.parameters))
    return Measured("fresh_forward", terms, rows, real, total.item())


def has_accumulate_hooks(parameters: Sequence[nn.Parameter]) -> bool:
    return any(getattr(parameter, "_post_accumulate_grad_hooks", None) for parameter in parameters)


def _slopes(value: Tensor, sources: Sequence[Tensor]) -> Row:
    if not value.requires_grad:
        return [None] * len(sources)
    return _grad([value], sources, None)


def _through(outputs: list[Tensor], slope: Row, parameters: list[nn.Parameter]) -> Row:
    touched = [(output, g) for output, g in zip(outputs, slope, strict=True) if g is not None]
    if not touched:
        return [None] * len(parameters)
    return _grad([output for output, _ in touched], parameters, [g for _, g in touched])


def _grad(outputs: list[Tensor], sources: Sequence[Tensor], slopes: list[Tensor] | None) -> Row:
    with _watching_reuse():
        return list(torch.autograd.grad(outputs, sources, slopes, retain_graph=True, allow_unused=True))


def _real(total: Tensor, parameters: list[nn.Parameter]) -> Row:
    """By a real `.backward()`, as training does it: custom backward passes may fill `.grad` unseen by autograd.grad."""
    if has_accumulate_hooks(parameters):
        return _slopes(total, parameters)
    with _watching_reuse():
        return _backward(total, parameters)


def _backward(value: Tensor, parameters: list[nn.Parameter]) -> Row:
    for parameter in parameters:
        parameter.grad = None
    bystanders = [(leaf, leaf.grad) for leaf in leaves(value) if not any(leaf is p for p in parameters)]
    try:
        for leaf, _ in bystanders:
            leaf.grad = None
        value.backward()
        return [parameter.grad for parameter in parameters]
    finally:
        for leaf, gradient in bystanders:
            leaf.grad = gradient
        for parameter in parameters:
            parameter.grad = None


@contextmanager
def _watching_reuse() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if any(text in str(error) for text in _ONE_USE):
            raise NeedsFresh(str(error).partition("\n")[0]) from error
        raise


def _reentrant(value: Tensor) -> str:
    """Such a node hides its parameters: autograd.grad would return None for them without a word."""
    if any(node.name() == "CheckpointFunctionBackward" for node in nodes(value)):
        return "the model uses reentrant checkpoints, which autograd.grad cannot see through"
    return ""
