"""Ways to tell the terms of a weighted loss apart. Each returns Terms that passed the check, or raises Refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from kit.stepgraph.affine import CLEAN, DUST, ROUNDING, TINY, Case, Refused, Terms, quote
from kit.stepgraph.arguments import kind
from kit.stepgraph.border import calling
from kit.stepgraph.returned import scalar
from kit.stepgraph.slider import UPPER
from kit.stepgraph.tape import Tape
from kit.stepgraph.terms import Reading, StepGraph
from kit.stepgraph.traced_weight import TracedWeight
from kit.stepgraph.weights import PREFIX, REFUSALS, is_weight, other_numbers, weight_names_of

_UNVARIED = "The loss refused other weights, so the terms were checked at the weights in use only."


def given(case: Case, terms: Callable, weights: Mapping[str, Any] | None) -> Terms:
    """Terms from the caller's own function; a weight is a number or the name of an attribute of the loss."""
    values = _values(case.call(partial(_asked, terms)), "terms(prediction, target)")
    if weights is None:
        weights = weight_names_of(case.holder, list(values))
    if missing := [name for name in values if name not in weights]:
        raise ValueError(
            f"weights should have one entry for each term. Found none for {missing}; it has {sorted(weights)}. "
            f"An entry is a number or the name of an attribute of loss: weights={{{missing[0]!r}: 1.0, ...}}"
            f"{_also(other_numbers(case.holder))}."
        )
    found, settable = Terms.none(), True
    for name, value in values.items():
        weight = weights[name]
        if isinstance(weight, str):
            now = getattr(case.holder, weight, None)
            if not is_weight(now):
                raise ValueError(f"weights[{name!r}] should name a number of loss. Found {weight!r} = {now!r}.")
            found.add(name, weight, float(now), value)
        elif is_weight(weight):
            settable = False
            found.add(name, name, float(weight), value)
        else:
            raise TypeError(f"weights[{name!r}] should be a number or an attribute name. Found {weight!r}.")
    return _finish(case, found, settable)


def exposed(case: Case) -> Terms:
    """Terms from `loss.components(prediction, target)`."""
    components = getattr(case.holder, "components", None)
    if not callable(components):
        raise Refused("loss has no method components(prediction, target)")
    try:
        values = _values(case.call(components), "components(prediction, target)")
    except REFUSALS as error:
        raise Refused(f"components raised {quote(error)}") from error
    attributes = weight_names_of(case.holder, list(values))
    if not attributes:
        raise Refused("components has terms, but no weight_names and no attribute lam_<term> tells their weights")
    found = Terms.none()
    for name, value in values.items():
        weight_name = attributes.get(name, "")
        weight = float(getattr(case.holder, weight_name)) if weight_name else 1.0
        found.add(name, weight_name, weight, value)
    return _finish(case, found, settable=True)


def _finish(case: Case, found: Terms, settable: bool) -> Terms:
    count = len(found.names)
    case.rest(found, settable)
    if len(found.names) > count and not settable:
        rest, total = found.values[-1].item(), case.actual.item()
        found.notes.append(
            f"The term 'rest' is what the given terms and weights leave of the total: {rest:.3g} of {total:.6g}. "
            "A term was not given, or a weight or formula differs from the one in the loss. It is kept as it is."
        )
    if not settable:
        return found
    try:
        if not case.verify(found):
            found.notes.append(_UNVARIED)
    except Refused:
        if len(found.names) > count or not _ignored(case, found):
            raise
        found.notes.append(
            "The loss ignores what is assigned to its weights (fixed at construction?); the terms fit those in use."
        )
    return found


def _ignored(case: Case, found: Terms) -> bool:
    trials = [case.attempt({name: step for name in found.weight_names if name}) for step in (0.25, 0.75)]
    return all(isinstance(total, Tensor) and total.item() == case.actual.item() for total in trials)


def float_subclass(case: Case) -> Terms:
    """L_i = d total / d lam_i from one call, with the weights replaced by floats that carry a tensor."""
    now = case.weights
    missing = _missing(case, now)
    traced = {name: weight for name, weight in now.items() if name not in missing}
    leaves = [torch.tensor(w or TINY, dtype=torch.float64, requires_grad=True) for w in traced.values()]
    carriers = {n: TracedWeight(leaf.item(), leaf) for n, leaf in zip(traced, leaves, strict=True)}
    total = _ask(case, carriers)
    if not total.requires_grad:
        raise Refused("no weight has an effect on the total (fixed at construction?)")
    try:
        slopes = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
    except RuntimeError as error:  # an operation without a second derivative, or values changed in place
        raise Refused(f"no derivative by the weights: {quote(error)}") from error
    if all(slope is None for slope in slopes):
        raise Refused("no weight has an effect on the total (fixed at construction?)")
    _no_curvature(case, list(traced), slopes, leaves)
    found, dead = Terms.none(), []
    slope_of = dict(zip(traced, slopes, strict=True))
    for name, weight in now.items():
        value = slope_of.get(name)
        if name in missing:
            found.notes.append(f"{name} is 0 and its term could not be evaluated: {missing[name]}.")
            value = torch.tensor(float("nan"), dtype=torch.float64)
        elif value is None:
            dead.append(name)
            value = torch.zeros((), dtype=torch.float64)
        found.add(_term(case, name), name, weight, value)
    case.rest(found, settable=True)
    if not case.verify(found, frozen=list(missing)):
        if any(slope is None for slope in slopes) and all(torch.isfinite(v) for v in found.values):
            raise Refused("a weight leaves no trace in the total, and the loss refused the check with other weights")
        found.notes.append("The terms were checked at the weights in use and by second derivatives only.")
    found.notes.extend(case.dead(found, name) for name in dead)
    return found


def _missing(case: Case, now: Mapping[str, float]) -> dict[str, str]:
    """Weights that are 0 and cannot be switched on, with what the loss says: the prediction may lack their input."""
    off = [name for name, weight in now.items() if weight == 0]
    if not off or isinstance(case.attempt(dict.fromkeys(off, TINY)), Tensor):
        return {}
    return {name: said for name in off if isinstance(said := case.attempt({name: TINY}), str)}


def _no_curvature(case: Case, names: list[str], slopes: tuple[Tensor | None, ...], leaves: list[Tensor]) -> None:
    alive = [slope for slope in slopes if slope is not None and slope.requires_grad and torch.isfinite(slope)]
    if not alive:
        return
    # unequal, so that opposite signs do not cancel
    mixed = cast(Tensor, sum((1 + 0.1 * i) * slope for i, slope in enumerate(alive)))
    scale = max(slope.abs().item() for slope in alive)
    for name, bend in zip(names, torch.autograd.grad(mixed, leaves, retain_graph=True, allow_unused=True), strict=True):
        if bend is not None and torch.isfinite(bend) and bend.abs().item() > case.tolerance * scale:
            raise Refused(f"the total is not affine in {name}: its second derivative is not 0", affine=False)


def step_graph(case: Case) -> Terms:
    """The summands of the total as its graph has them, for weights that are no attributes, or attributes that are no weights."""
    reading, kept = _read(case, {})
    terms = reading.graph.terms
    if len(terms) < 2:
        raise Refused("its graph shows no sum")
    try:
        values = reading.tensors(kept)
    except KeyError as error:
        raise Refused("a term of its graph was made by an operation that cannot be followed") from error
    found, own = Terms.none(), case.weights
    for term, value in zip(terms, values, strict=True):
        written = term.weight_name.rpartition(".")[2]
        weight = written if written.isidentifier() and written not in found.weight_names else term.name
        found.add(
            _term(case, weight) if weight in own else term.name, weight, reading.graph.factor * term.weight, value
        )
    case.rest(found, settable=False)
    others = [name for name in own if name not in found.weight_names]
    if len(others) < len(own):
        case.verify(found, frozen=[name for name in found.weight_names if name not in own])
    for name in () if case.is_checked else others:
        found.notes.append(_setting(case, name, reading.graph))
    return found


def _read(case: Case, weights: Mapping[str, float]) -> tuple[Reading, Mapping[Any, Tensor]]:
    tape = Tape(keep=True)
    tape.start()
    try:
        total = case.total(weights)
        if total.grad_fn is None:
            raise Refused("the total has no graph")
        return Reading(total, trained_weights=False), tape.kept or {}
    finally:
        tape.stop()


def _setting(case: Case, name: str, graph: StepGraph) -> str:
    """What an attribute lam_* is that weighs no term as it stands. Refused if the weights of the sum change with it."""
    values = {}
    for value in (0.0, UPPER):
        try:
            other = _read(case, {name: value})[0].graph
        except REFUSALS:
            continue
        if [graph.factor * t.weight for t in graph.terms] != [other.factor * t.weight for t in other.terms]:
            raise Refused(f"the weights of the sum depend on {name}, which is none of them as it stands", affine=False)
        values[value] = other.total
    if not values:
        raise Refused(f"{name} weighs no term as it stands, and the loss refuses to be tried with another value")
    if set(values.values()) == {graph.total}:
        return f"{name} has no effect on the total."
    return f"{name} is no weight of the sum, but a setting inside of a term; it is held as it is."


def tiny_probe(case: Case) -> Terms:
    """L_i = f(lam_i = 1, all others 1e-30) - L_0."""
    return _one_by_one(case, TINY)


def zero_one_probe(case: Case) -> Terms:
    """L_i = f(lam_i = 1, all others 0) - L_0."""
    return _one_by_one(case, 0.0)


def _one_by_one(case: Case, off: float) -> Terms:
    now = case.weights
    base = case.attempt(dict.fromkeys(now, off))
    lone = {name: _ask(case, dict.fromkeys(now, off) | {name: 1.0}) for name in now}
    faulty = [name for name, total in lone.items() if not torch.isfinite(total)]
    if len(faulty) > 1 or (faulty and isinstance(base, Tensor) and not torch.isfinite(base)):
        raise Refused("a term that is not finite spoils the totals of the others")
    scale = (
        max(abs(total.item()) for name, total in lone.items() if name not in faulty) if len(faulty) < len(lone) else 0.0
    )
    rest = base if isinstance(base, Tensor) and abs(base.item()) > DUST * scale else None
    if not any(total.requires_grad for total in lone.values()):
        raise Refused("the total has no graph to the prediction")
    found = Terms.none()
    for name, total in lone.items():
        value, floor = (total, DUST) if rest is None else (total - rest, ROUNDING)
        found.add(_term(case, name), name, now[name], value, floor)
    if all(value.item() == 0 for value in found.values):
        raise Refused("no weight has an effect on the total (fixed at construction?)")
    if rest is not None:
        found.add("rest", "", 1.0, rest, DUST if off else CLEAN)
    if not case.verify(found):
        found.notes.append(_UNVARIED)
    for name, weight_name, value in zip(found.names, now, found.values, strict=False):  # the rest stands last
        if rest is None and abs(value.item()) <= DUST * scale:
            found.notes.append(case.dead(found, weight_name))
        elif rest is not None and abs(value.item()) <= ROUNDING * abs(rest.item()):
            found.notes.append(
                f"{name} is below rounding: it adds {value.item():.3g} to a rest of {rest.item():.6g}, so its value "
                "and gradient may read as 0 here without being 0. Give the loss components() to see them."
            )
    found.notes.append("Paths of terms to parameters were judged by non-zero gradients: the terms share one graph.")
    return found


def _ask(case: Case, weights: Mapping[str, float]) -> Tensor:
    total = case.attempt(weights)
    if isinstance(total, str):
        raise Refused(f"the loss raised {total}")
    return total


def _term(case: Case, weight_name: str) -> str:
    own = getattr(case.holder, "weight_names", None) if case.named is None else case.named
    for term, name in own.items() if isinstance(own, Mapping) else ():
        if name == weight_name:
            return str(term)
    return weight_name.removeprefix(PREFIX)


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
