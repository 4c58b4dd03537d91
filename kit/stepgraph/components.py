"""What are the terms of this weighted loss, one by one, unweighted and with their graph?

    total = L_0 + sum_i lam_i L_i

Ways, in this order; the values add up to the total, or the way is not believed:

    given       the caller's own terms(prediction, target)
    exposed     loss.components(prediction, target)
    step_graph  the summands in the graph of the total
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kit.stepgraph.arguments import kind
from kit.stepgraph.sandbox import Sandbox
from kit.stepgraph.summands import step_graph
from kit.stepgraph.ways import Call, Refused, Terms, exposed, given
from kit.stepgraph.weights import PREFIX, holder_of, is_weight, other_numbers, trained_weights, weight_attributes


class DecompositionError(ValueError):
    """The terms of the loss cannot be separated; the text says why and what to pass instead."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """m terms of one loss on one batch; the values (0-d) hang on the graph of the prediction."""

    names: tuple[str, ...]
    weight_names: tuple[str, ...]
    weights: tuple[float, ...]
    adjustable: tuple[bool, ...]
    values: tuple[Tensor, ...]
    way: str
    notes: tuple[str, ...]


def decompose(
    loss: Any,
    prediction: Any,
    target: Any,
    *,
    terms: Callable[[Any, Any], Mapping[str, Tensor]] | None = None,
    weights: Mapping[str, Any] | None = None,
) -> Decomposition:
    """Terms, weights and values of `loss(prediction, target)`, which is called once; the loss is left as it was.

    `terms` with `weights` (term -> number, or name of an attribute of the loss) is believed first; what it leaves of the total becomes
    the term "rest" (weight name "", not adjustable, weight 1). `weights` alone names attributes of a loss whose weights are not called
    `lam_*`. Raises DecompositionError if no way works.
    """
    if not callable(loss):
        raise TypeError(f"loss should be a callable (prediction, target) -> scalar. Found {kind(loss)}.")
    if terms is not None and not callable(terms):
        raise TypeError(
            f"terms should be a callable (prediction, target) -> dict. Found {kind(terms)}; "
            "pass lambda prediction, target: {...}."
        )
    if weights is not None and not isinstance(weights, Mapping):
        raise TypeError(
            f"weights should be a dict of term -> number or name. Found {kind(weights)}; "
            'name the terms: weights={"fit": 1.0, "size": 0.1}.'
        )
    with torch.inference_mode(False), torch.enable_grad(), Sandbox(loss, terms) as box:
        holder, named = holder_of(loss), None
        if weights is not None and terms is None:
            terms = getattr(holder, "components", None)
            if not callable(terms):
                terms, named = None, _attributes(holder, weights)
        call = Call(loss, prediction, target, box, named)
        if terms is not None:
            return _named("given", call, given(call, terms, weights))
        shown = ""
        if callable(getattr(holder, "components", None)):
            try:
                return _named("exposed", call, exposed(call))
            except Refused as reason:
                shown = str(reason)
        try:
            found = step_graph(call)
        except Refused as reason:
            raise DecompositionError(_message(loss, holder, f"{shown}; {reason}" if shown else str(reason))) from reason
        if shown:
            found.notes.append(f"The terms are those of the graph: {shown}.")
        return _named("step_graph", call, found)


def _attributes(holder: Any, weights: Mapping[str, Any]) -> dict[str, str]:
    """Term -> attribute of the loss, where the loss has weights under names of its own."""
    for term, name in weights.items():
        if not isinstance(name, str):
            raise ValueError(  # noqa: TRY004 - an argument is missing, none is of a wrong kind
                "weights should come with terms= or a loss that has components(). Found neither. Pass "
                "terms=lambda prediction, target: {...} too, or name attributes of loss: "
                f'weights={{{str(term)!r}: "..."}}.'
            )
        if not is_weight(now := getattr(holder, name, None)):
            raise ValueError(f"weights[{term!r}] should name a number of loss. Found {name!r} = {now!r}.")
    return {str(term): name for term, name in weights.items()}


def _named(way: str, call: Call, found: Terms) -> Decomposition:
    notes = [*found.notes, *([call.note] if call.note else [])]
    for name in trained_weights(call.holder):
        if name not in found.weight_names:
            notes.append(
                f"{name} is a trained parameter, not a setting: what it weighs is kept as it is at this step, and the "
                "what-if cannot change it."
            )
    return Decomposition(
        names=tuple(found.names),
        weight_names=tuple(found.weight_names),
        weights=tuple(found.weights),
        adjustable=tuple(found.adjustable),
        values=tuple(found.values),
        way=way,
        notes=tuple(notes),
    )


def _message(loss: Any, holder: Any, reason: str) -> str:
    learned = trained_weights(holder)
    found = kind(loss) + (f", trained: {', '.join(learned)}" if learned else "")
    own = type(holder).__module__.startswith("torch.")  # label_smoothing and the like weigh no term
    numbers = ({} if own else weight_attributes(holder) or other_numbers(holder)) or {"fit": 1.0, "size": 0.1}
    names = {name.removeprefix(PREFIX): value for name, value in numbers.items()}
    return (
        f"loss should be a sum of weighted terms. Found {found}; {reason}. Pass the unweighted terms and their weights: "
        f"terms=lambda prediction, target: {{{', '.join(f'{name!r}: ...' for name in names)}}}, "
        f"weights={{{', '.join(f'{name!r}: {value:g}' for name, value in names.items())}}}; for a loss of one term "
        "terms=lambda prediction, target: {'loss': loss(prediction, target)}, weights={'loss': 1.0}."
    )
