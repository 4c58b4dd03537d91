"""Ways to tell the terms of a weighted loss apart, each from one call of the loss. Each returns Terms, or raises Refused.

    total = rest + sum_i lam_i L_i

given       L_i from the caller's own terms(prediction, target)
exposed     L_i from loss.components(prediction, target)

The third way, from the graph of the total alone, is in `summands`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kit.stepgraph import returned
from kit.stepgraph.arguments import kind
from kit.stepgraph.border import calling
from kit.stepgraph.graph import leaves
from kit.stepgraph.returned import scalar
from kit.stepgraph.sandbox import Sandbox
from kit.stepgraph.tape import Tape
from kit.stepgraph.tree import Fresh, tensors
from kit.stepgraph.weights import (
    PREFIX,
    REFUSALS,
    holder_of,
    is_weight,
    original,
    other_numbers,
    weight_attributes,
    weight_names_of,
)

TOLERANCE = 1e-5  # share of the sum of magnitudes; measured: <= 2e-7 in float32
SMALL, FAINT = 1e-3, 1e-4  # share of the total and of its gradient that the caller's terms may miss: they round too


class Refused(Exception):
    """A way does not work for this loss."""


@dataclass
class Terms:
    """What a way found, one entry a term."""

    names: list[str] = field(default_factory=list)
    weight_names: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    adjustable: list[bool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, weight_name: str, weight: float, value: Tensor) -> None:
        self.names.append(name)
        self.weight_names.append(weight_name)
        self.weights.append(weight)
        self.values.append(value)
        self.adjustable.append(weight_name != "")

    def sum(self) -> tuple[float, float]:
        """Sum and sum of magnitudes of the weighted terms; a term with weight 0 does not count, whatever its value."""
        parts = [weight * value.item() for weight, value in zip(self.weights, self.values, strict=True) if weight != 0]
        return sum(parts), sum(map(abs, parts))


class Call:
    """One call of a loss on one prediction and target. What else is asked of the loss starts from the same state.

    named: term -> attribute that weighs it, if they are not `lam_*`.
    total, kept: what was returned, and the small values behind it, see `Tape`. note: what was taken for the total.
    """

    def __init__(self, loss: Any, prediction: Any, target: Any, box: Sandbox, named: Mapping[str, str] | None) -> None:
        self.holder, self.named, self._box = holder_of(loss), named, box
        self._prediction, self._target = Fresh(prediction, attached=True), Fresh(target, attached=True)
        tape = Tape(keep=True)
        with _eagerly():
            tape.start()
            try:
                found = self.of(original(loss))
                place = returned.where(found)
                self.total, self.note = returned.total(found, place), returned.note(found, place)
            finally:
                tape.stop()
        self.kept = tape.kept or {}
        self.tolerance = max(TOLERANCE, 4 * _coarsest([self.total, *tensors(prediction)]))

    def of(self, function: Callable[[Any, Any], Any]) -> Any:
        self._box.replay()
        return function(self._prediction.get(), self._target.get())

    @property
    def weights(self) -> dict[str, float]:
        """Attributes that may weigh terms, with their values."""
        if self.named is None:
            return weight_attributes(self.holder)
        return {name: float(getattr(self.holder, name)) for name in self.named.values()}

    def term_of(self, weight_name: str) -> str:
        """What a term with this weight is called."""
        own = getattr(self.holder, "weight_names", None) if self.named is None else self.named
        for term, name in own.items() if isinstance(own, Mapping) else ():
            if name == weight_name:
                return str(term)
        return weight_name.removeprefix(PREFIX)

    def rest(self, terms: Terms) -> Tensor | None:
        """What the weighted terms leave of the total.

        None if that is rounding, of the sum or of another formula for a term; also if a term or the total is not finite.
        """
        expected, scale = terms.sum()
        value, total = self.total.item() - expected, abs(self.total.item())
        if not math.isfinite(value) or abs(value) <= self.tolerance * max(scale, total):
            return None
        rest = self.total - sum(w * v for w, v in zip(terms.weights, terms.values, strict=True) if w != 0)
        return None if abs(value) <= SMALL * scale and _faint(rest, self.total) else rest


def given(call: Call, terms: Callable, weights: Mapping[str, Any] | None) -> Terms:
    """Terms from the caller's own function; a weight is a number or the name of an attribute of the loss.

    What they leave of the total becomes the fixed term "rest".
    """
    values = _values(call.of(partial(_asked, terms)), "terms(prediction, target)")
    if weights is None:
        weights = weight_names_of(call.holder, list(values))
    if missing := [name for name in values if name not in weights]:
        raise ValueError(
            f"weights should have one entry for each term. Found none for {missing}; it has {sorted(weights)}. "
            f"An entry is a number or the name of an attribute of loss: weights={{{missing[0]!r}: 1.0, ...}}"
            f"{_also(other_numbers(call.holder))}."
        )
    found = Terms()
    for name, value in values.items():
        weight = weights[name]
        if isinstance(weight, str):
            now = getattr(call.holder, weight, None)
            if not is_weight(now):
                raise ValueError(f"weights[{name!r}] should name a number of loss. Found {weight!r} = {now!r}.")
            found.add(name, weight, float(now), value)
        elif is_weight(weight):
            found.add(name, name, float(weight), value)
        else:
            raise TypeError(f"weights[{name!r}] should be a number or an attribute name. Found {weight!r}.")
    if (rest := call.rest(found)) is not None:
        found.add("rest", "", 1.0, rest)
        found.notes.append(
            f"The term 'rest' is what the given terms and weights leave of the total: {rest.item():.3g} of "
            f"{call.total.item():.6g}. A term was not given, or a weight or formula differs from the one in the loss. "
            "It is kept as it is."
        )
    return found


def exposed(call: Call) -> Terms:
    """Terms from `loss.components(prediction, target)`, if they and the attributes that weigh them give the total."""
    try:
        values = _values(call.of(call.holder.components), "components(prediction, target)")
    except REFUSALS as error:
        raise Refused(f"components raised {_quote(error)}") from error
    attributes = weight_names_of(call.holder, list(values))
    if not attributes:
        raise Refused("components has terms, but no weight_names and no attribute lam_<term> tells their weights")
    found = Terms()
    for name, value in values.items():
        weight_name = attributes.get(name, "")
        found.add(name, weight_name, float(getattr(call.holder, weight_name)) if weight_name else 1.0, value)
    if call.rest(found) is not None:
        raise Refused(
            f"components and their weights add up to {found.sum()[0]:.6g}, but the loss returned {call.total.item():.6g}"
        )
    return found


def _eagerly() -> AbstractContextManager[Any]:
    """A compiled function shows no sum, and would be compiled anew below a tape."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _faint(rest: Tensor, total: Tensor) -> bool:
    """Whether a rest has next to no gradient: then it is rounding, of another formula for the same term."""
    sources = [leaf for leaf in leaves(total) if leaf.requires_grad]
    if not sources or not rest.requires_grad:
        return False
    try:
        grads = [torch.autograd.grad(v, sources, retain_graph=True, allow_unused=True) for v in (rest, total)]
    except RuntimeError:  # a graph that can be used once
        return False
    small, whole = (sum(g.abs().square().sum().item() for g in row if g is not None) for row in grads)
    return small <= FAINT**2 * whole


def _coarsest(found: Sequence[Tensor]) -> float:
    """Rounding of the coarsest precision in use; autocast computes in bfloat16 behind float32 tensors."""
    low = [torch.get_autocast_dtype(device) for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    kinds = [tensor.dtype for tensor in found if tensor.is_floating_point() or tensor.is_complex()]
    return max(torch.finfo(dtype).eps for dtype in [*kinds, *low])


def _quote(error: BaseException) -> str:
    """Kind and first line of an error, short enough for a reason."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _asked(terms: Callable, prediction: Any, target: Any) -> Any:
    given, advice = {"prediction": prediction, "target": target}, "Does terms(prediction, target) work by itself?"
    with calling("terms should take the prediction and the target", given, advice):
        return terms(prediction, target)


def _also(numbers: Mapping[str, float]) -> str:
    return f" (loss has the numbers {', '.join(numbers)})" if numbers else ""


def _values(found: Any, what: str) -> dict[str, Tensor]:
    if not isinstance(found, Mapping) or not found:
        raise TypeError(f"{what} should be a dict of unweighted scalar terms, by name. Found {kind(found)}.")
    return {str(name): scalar(value, f"{what}[{name!r}]") for name, value in found.items()}
