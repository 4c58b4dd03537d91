"""The weights of a loss object as they are in force, and its terms as far as the loss shows them itself. Nothing of it is called."""

from __future__ import annotations

import dis
import inspect
import itertools
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kit.recording.listeners import Call
from kit.recording.nested import tensors_in
from kit.recording.participants import TOTALS, total_of
from kit.stepgraph.plain import plain
from kit.stepgraph.weights import holder_of, is_weight

PREFIX = "lam"
_SLACK = 1e-4  # of the total: single precision, terms that partly cancel
_SURE_CALLS = 2  # one call may add up by chance
_NOTHING = object()
_BY_ANY_NAME = {"getattr", "vars", "__dict__", "named_buffers", "buffers", "state_dict"}


class LossView:
    """Reads one loss object: attributes as they are stored, and what its own calls returned.

    found: facts of the whole run, each only if the calls could show it:
        terms_without_graph     terms of ``components`` that had no graph in any call
        terms_without_weight    terms of ``components`` that are never part of the total
        ignored_weights         weights whose term the total lacks
    """

    def __init__(self, loss: Any) -> None:
        self.loss, self.holder = loss, holder_of(loss)
        self.names = [name for name in dict.fromkeys(self._candidates()) if self._value(name) is not None]
        self.defaults = _defaults(type(self.holder))
        self.at_entry = self.weights()
        self.terms: list[str] = []
        self.term_weights: dict[str, str] = {}
        self.found: dict[str, list[str]] = {}
        self.called = False
        self._sums: dict[tuple[str, str], int] = {}
        self._counted = 0

    @property
    def expects(self) -> Any:
        found = _stored(self.holder, "expects")
        return None if found is _NOTHING else found

    @property
    def listed(self) -> Any:
        """Weights by the names of the terms, multiplied outside of the loss, if it keeps such a mapping."""
        return _stored(self.holder, "weight_dict")

    def never_read(self) -> list[str]:
        """Weights that are not 0 and that no method of the loss names, so that they change nothing in it.

        None of them, if a method may look them up otherwise: by a computed name, or since it hands the loss itself on.
        """
        kind = type(self.holder)
        methods = [inspect.getattr_static(kind, name) for name in dir(kind) if name != "__init__"]
        codes = [code for method in methods for code in _codes(method)]
        named = {name for code in codes for name in code.co_names}
        if not isinstance(self.holder, nn.Module) or named & _BY_ANY_NAME or any(map(_hands_itself_on, codes)):
            return []
        return [name for name, value in self.weights().items() if value and name not in named]

    def weights(self) -> dict[str, float]:
        return {name: value for name in self.names if (value := self._value(name)) is not None}

    def _candidates(self) -> Iterator[str]:
        own = [*getattr(self.holder, "__dict__", ()), *getattr(self.holder, "_buffers", ())]
        for name in (*own, *dir(type(self.holder))):
            if isinstance(name, str) and name.startswith(PREFIX):
                yield name

    def _value(self, name: str) -> float | None:
        value = _stored(self.holder, name)
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            value = plain(value)
            if value is not None and value.ndim == 0 and not (value.is_complex() or value.dtype is torch.bool):
                value = value.item()  # an integer too: a weight of 0.5 that was stored as one is 0
        return float(value) if is_weight(value) else None

    def values(self, call: Call) -> dict[str, float]:
        """`term:<name>` of this call: as the loss returned them, or as its own ``components`` gave them to it."""
        self.called = True
        offered = call.offered if isinstance(call.offered, Mapping) else {}
        found = _returned(call.output) or _numbers(offered)
        listed = self.listed
        if found and isinstance(listed, Mapping) and not self.terms:
            self.found["ignored_weights"] = [str(name) for name in listed if str(name) not in found]
        self.terms += [name for name in found if name not in self.terms]
        self.term_weights |= self._pairs(list(found))
        if offered:
            self._judge(call, offered)
        return {f"term:{name}": value for name, value in found.items()}

    def _pairs(self, terms: list[str]) -> dict[str, str]:
        """Weight of each term: from the loss's mapping `weight_names`, else named like the term."""
        own = _stored(self.holder, "weight_names")
        own = own if isinstance(own, Mapping) else {}
        pairs: dict[str, str] = {}
        for term in terms:
            names = (own.get(term), f"lam_{term}", f"lambda_{term}", f"lam{term}")
            found = next((name for name in names if name in self.names), None)
            pairs |= {} if found is None else {term: found}
        return pairs

    def _judge(self, call: Call, offered: Mapping[str, Any]) -> None:
        """What the terms of this call say of the loss: by their graphs, and by arithmetic with the returned total."""
        if call.grad and any(tensor.requires_grad for tensor in tensors_in(call.args)):
            free = [str(name) for name, value in offered.items() if not getattr(value, "requires_grad", False)]
            before = self.found.get("terms_without_graph", free)
            self.found["terms_without_graph"] = [name for name in free if name in before]
        total = total_of(call.output)
        if total is None:
            return
        sums = _sums_that_fit(_number(total), _numbers(offered), self._pairs(list(offered)), self.weights())
        if sums is None:
            return
        self._counted += 1
        for name in sums:
            self._sums[name] = self._sums.get(name, 0) + 1
        self._conclude([name for name, count in self._sums.items() if count == self._counted])

    def _conclude(self, fitting: list[tuple[str, str]]) -> None:
        """`fitting`: the sums that made the total in every call; the whole sum comes first, and is believed at once."""
        whole = ("whole", "") in fitting
        if not whole and (self._counted < _SURE_CALLS or len(fitting) != 1):
            fitting = []
        kind, name = ("whole", "") if whole else next(iter(fitting), ("", ""))
        pairs = self._pairs(self.terms)
        concluded = {
            "whole": ([], []),
            # a weight without a term beside a term without a weight: it was meant for it
            "only weighted": (
                [name for name, value in self.weights().items() if value and name not in pairs.values()],
                [term for term in self.terms if term not in pairs],
            ),
            "without": ([name], []),
        }.get(kind)
        for fact, place in (("ignored_weights", 0), ("terms_without_weight", 1)):
            if concluded is None:
                self.found.pop(fact, None)
            else:
                self.found[fact] = concluded[place]


def _codes(method: Any) -> Iterator[types.CodeType]:
    """Of a function of the program, with the functions inside of it."""
    if isinstance(method, property):
        for part in (method.fget, method.fset):
            yield from _codes(part)
        return
    function = getattr(method, "__func__", method)
    if not isinstance(function, types.FunctionType) or function.__module__.startswith("torch."):
        return
    todo = [function.__code__]
    while todo:
        yield (code := todo.pop())
        todo += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]


def _hands_itself_on(code: types.CodeType) -> bool:
    """Whether `self` is used for more than its attributes."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("EXTENDED_ARG", "CACHE")]
    for step, following in itertools.pairwise(steps):
        loads = step.opname.startswith("LOAD_") and (step.argval == "self" or "self" in _several(step.argval))
        if loads and not following.opname.endswith(("_ATTR", "_METHOD")):
            return True
    return False


def _several(value: Any) -> tuple:
    return value if isinstance(value, tuple) else ()


def _sums_that_fit(
    total: float, terms: Mapping[str, float], pairs: Mapping[str, str], weights: Mapping[str, float]
) -> list[tuple[str, str]] | None:
    """Which of the simple sums of these terms is the total, within rounding; None if the numbers cannot tell.

    whole           every weighted term, and every term without a weight
    only weighted   every weighted term
    without         the whole sum, less one weighted term
    """
    parts = {name: weights[name] * terms[term] for term, name in pairs.items()}
    rest = math.fsum(value for term, value in terms.items() if term not in pairs)
    size = math.fsum(map(abs, (*parts.values(), *terms.values(), total)))
    if not math.isfinite(size) or size == 0:
        return None
    weighted = math.fsum(parts.values())
    sums = {("whole", ""): weighted + rest, ("only weighted", ""): weighted}
    sums |= {("without", name): weighted + rest - part for name, part in parts.items()}
    slack = _SLACK * math.fsum(map(abs, (*parts.values(), rest, total)))
    return [name for name, value in sums.items() if abs(total - value) <= slack]


def _stored(holder: Any, name: str) -> Any:
    """An attribute as it is stored. Properties are code of the user: of one, what it keeps under `_name`, if it does."""
    for stored in (
        getattr(holder, "__dict__", {}),
        getattr(holder, "_buffers", {}),
        getattr(holder, "_parameters", {}),
    ):
        if name in stored:
            return stored[name]
    found = next((vars(kind)[name] for kind in type(holder).__mro__ if name in vars(kind)), _NOTHING)
    if isinstance(found, types.MemberDescriptorType):  # a slot
        return getattr(holder, name, _NOTHING)
    if found is not _NOTHING and hasattr(type(found), "__get__"):
        return getattr(holder, "__dict__", {}).get(f"_{name}", _NOTHING)
    return found


def _returned(output: Any) -> dict[str, float]:
    """Terms beside the total in what the loss returned: {"loss": ..., "kl": ...} or (total, {"kl": ...})."""
    if isinstance(output, tuple):
        output = next((item for item in output[1:] if isinstance(item, Mapping)), None)
    if not isinstance(output, Mapping):
        return {}
    return {name: value for name, value in _numbers(output).items() if name not in TOTALS}


def _number(total: Tensor) -> float:
    value = plain(total)
    return math.nan if value is None else value.item()


def _numbers(found: Mapping[Any, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in found.items():
        if isinstance(value, Tensor):
            if value.numel() == 1 and not value.is_complex() and plain(value) is not None:
                numbers[str(name)] = _number(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[str(name)] = float(value)
    return numbers


def _defaults(kind: type) -> dict[str, float]:
    try:
        parameters = inspect.signature(kind).parameters
    except (TypeError, ValueError):
        return {}
    return {
        name: float(p.default) for name, p in parameters.items() if name.startswith(PREFIX) and is_weight(p.default)
    }


def value_of(output: Any) -> tuple[Any, float]:
    """What a loss returned, as a number (or a tensor still on its accelerator), and whether it has a graph.

    Of one value a sample, their mean; None for what is no number, as a mapping of parts without a total.
    """
    total = total_of(output)
    if total is None and isinstance(output, Tensor) and output.is_floating_point() and output.numel():
        values = plain(output)
        mean = math.nan if values is None else now_or_later(values.detach().mean())
        return mean, float(output.grad_fn is not None)
    if total is None:
        return None, math.nan
    return now_or_later(total), float(total.grad_fn is not None)


def now_or_later(value: Tensor) -> Any:
    """A number; on an accelerator a tensor, so that nobody waits; nan where the value cannot be observed."""
    seen = plain(value)
    if seen is None:
        return math.nan
    return seen.item() if seen.device.type == "cpu" else seen.detach().reshape(()).clone()
