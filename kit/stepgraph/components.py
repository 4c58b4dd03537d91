"""What are the terms of this weighted loss, one by one, unweighted and with their graph?

    total = L_0 + sum_i lam_i L_i

Ways, from the surest to the most general; each is verified before it is believed:

    given           the caller's own terms(prediction, target)
    exposed         loss.components(prediction, target)
    float_subclass  L_i = d total / d lam_i, weights replaced by floats that carry a tensor
    tiny_probe      L_i = f(lam_i = 1, others 1e-30) - L_0
    zero_one_probe  L_i = f(lam_i = 1, others 0) - L_0
    step_graph      the summands in the graph of one evaluation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kit.stepgraph import ways
from kit.stepgraph.affine import Case, Refused, Terms
from kit.stepgraph.arguments import kind
from kit.stepgraph.sandbox import Sandbox
from kit.stepgraph.weights import PREFIX, REFUSALS, holder_of, is_weight, other_numbers, set_weight, trained_weights

_ORDER = ("exposed", "float_subclass", "tiny_probe", "zero_one_probe", "step_graph")
_SETS_WEIGHTS = _ORDER[1:-1]


class DecompositionError(ValueError):
    """The terms of the loss cannot be separated; the text says what was tried and what to pass instead."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """m terms of one loss on one batch; the values hang on the graph of the prediction.

    `floors` [m]: a gradient tensor of term i counts only if its largest entry is above `floors[i]` times the largest of
    all terms there; what is below is a trace of the way of decomposing (0 for the clean ways).
    """

    names: tuple[str, ...]
    weight_names: tuple[str, ...]
    weights: tuple[float, ...]
    adjustable: tuple[bool, ...]
    values: tuple[Tensor, ...]
    way: str
    notes: tuple[str, ...]
    floors: tuple[float, ...]


def decompose(
    loss: Any,
    prediction: Any,
    target: Any,
    *,
    terms: Callable[[Any, Any], Mapping[str, Tensor]] | None = None,
    weights: Mapping[str, Any] | None = None,
    like: Decomposition | None = None,
) -> Decomposition:
    """Terms, weights and values of `loss(prediction, target)`; the loss is left as it was.

    `terms` with `weights` (term -> number, or name of an attribute of the loss) is believed first; `weights` alone
    names attributes of a loss whose weights are not called `lam_*`. A part of the total
    that no weight reaches becomes the term "rest" (weight name "", not adjustable, weight 1). `like` repeats an earlier
    decomposition of the same step on a new graph, without its checks.
    Raises DecompositionError if no way works, or if the total is not affine in its weights.
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
        case = Case(loss, prediction, target, box, named=named, checked=like is not None)
        if terms is not None:
            return _named("given", case, _given(case, terms, weights))
        reasons: dict[str, Refused] = {}
        for way in _ORDER if like is None else (like.way,):
            try:
                box.replay()
                if way in _SETS_WEIGHTS:
                    _settable(case)
                return _named(way, case, getattr(ways, way)(case))
            except Refused as reason:
                reasons[way] = reason
        box.replay()  # the last trial left its weights behind
        raise DecompositionError(_message(case, reasons)) from Refused(_tried(reasons))


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


def _given(case: Case, terms: Callable, weights: Mapping[str, Any] | None) -> Terms:
    try:
        return ways.given(case, terms, weights)
    except Refused as reason:
        raise DecompositionError(f"terms and weights should add up to the total of loss: {reason}.") from reason


def _settable(case: Case) -> None:
    """Refuse early and once where there are no weights, or none that can be assigned (frozen, read-only property)."""
    now = case.weights
    if not now:
        raise Refused("loss has no numeric attribute lam_*")
    for name, weight in now.items():
        try:
            set_weight(case.holder, name, weight)
        except REFUSALS as error:
            raise Refused(f"{name} cannot be assigned ({type(error).__name__}: {error})") from error


def _named(way: str, case: Case, found: Terms) -> Decomposition:
    if case.note:
        found.notes.append(case.note)
    for name in trained_weights(case.holder):
        if name not in found.weight_names:
            found.notes.append(
                f"{name} is a trained parameter, not a setting: what it weighs is kept as it is at this step, as a "
                "fixed part of the total, and the what-if cannot change it."
            )
    return Decomposition(
        names=tuple(found.names),
        weight_names=tuple(found.weight_names),
        weights=tuple(found.weights),
        adjustable=tuple(found.adjustable),
        values=tuple(found.values),
        way=way,
        notes=tuple(found.notes),
        floors=tuple(found.floors),
    )


def _message(case: Case, reasons: Mapping[str, Refused]) -> str:
    """What to pass, first for a loss whose weights are not visible: that is what most people meet."""
    now, learned = case.weights, trained_weights(case.holder)
    if not now:
        found = f"none in {kind(case.loss)}" + (f", but trained: {', '.join(learned)}" if learned else "")
        own = type(case.holder).__module__.startswith("torch.")  # label_smoothing and the like weigh no term
        numbers = {} if own else other_numbers(case.holder)
        shown = reasons.get("step_graph", "its graph was not read")
        guess = ", ".join(f'"{name}": "{name}"' for name in numbers)
        return (
            f"loss should be a sum of terms, or have weights that can be set, as attributes lam_*. Found {found}; {shown}. "
            + (f"Did you mean weights {', '.join(numbers)}? Then pass weights={{{guess}}}. " if numbers else "")
            + "Pass the unweighted terms and their weights: "
            'terms=lambda prediction, target: {"fit": ..., "size": ...}, weights={"fit": 1.0, "size": 0.1}; '
            "for a loss of one term terms=lambda prediction, target: "
            '{"loss": loss(prediction, target)}, weights={"loss": 1.0}.'
        )
    bent = [str(reason) for reason in reasons.values() if not reason.affine]
    said = dict.fromkeys(bent[:1] or [str(reason) for way, reason in reasons.items() if way != "exposed"])
    head = "it is not affine" if bent else "its terms cannot be separated"
    names = [name.removeprefix(PREFIX) for name in now]
    return (
        "The total of loss should be affine in its weights: L_0 + sum lam_i L_i. "
        f"Found: {head}; {'; '.join(said)}. Pass the unweighted terms and their weights: "
        f"terms=lambda prediction, target: {{{', '.join(f'{name!r}: ...' for name in names)}}}, "
        f"weights={{{', '.join(f'{name!r}: {weight:g}' for name, weight in zip(names, now.values(), strict=True))}}}."
    )


def _tried(reasons: Mapping[str, Refused]) -> str:
    said: dict[str, list[str]] = {}  # a reason that several ways share is told once
    for way, reason in reasons.items():
        said.setdefault(str(reason), []).append(way)
    return "Tried: " + " ".join(f"{', '.join(found)}: {reason}." for reason, found in said.items())
