"""The weights and terms of a loss object, as they are in force, and what its terms are worth; the loss stays as it is."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kit.probe import DecompositionError, Sandbox, decompose
from kit.probe.affine import Case
from kit.probe.tree import Fresh, map_tensors
from kit.probe.weights import REFUSALS, holder_of, is_weight, weight_names_of
from kit.watch.audience import Call, muted
from kit.watch.outputs import missing
from kit.watch.parts import TOTALS, total_of
from kit.watch.reading import tensors_in
from kit.watch.through import Question, through

PREFIX = "lam"
_SLACK = 1e-4  # of the total: single precision, terms that partly cancel
_LARGE = 1_000_000  # numbers in a loss that holds a network (perceptual losses do): copying it is no small measurement


class LossView:
    """Reads one loss object."""

    def __init__(self, loss: Any) -> None:
        self.loss, self.holder = loss, holder_of(loss)
        self.names = [name for name in dict.fromkeys(self._candidates()) if self._value(name) is not None]
        self.defaults = _defaults(type(self.holder))
        self.at_entry = self.weights()
        self.terms: list[str] = []
        self.term_weights: dict[str, str] = {}
        self.found: dict[str, list[str]] = {}
        self.why_not = ""
        self._judged = False
        size = sum(p.numel() for p in loss.parameters()) if isinstance(loss, nn.Module) else 0
        self._large = size > _LARGE

    @property
    def expects(self) -> Any:
        return getattr(self.holder, "expects", None)

    def weights(self) -> dict[str, float]:
        return {name: value for name in self.names if (value := self._value(name)) is not None}

    def _candidates(self) -> list[str]:
        own = [*getattr(self.holder, "__dict__", ()), *getattr(self.holder, "_buffers", ())]
        return [name for name in (*own, *dir(type(self.holder))) if isinstance(name, str) and name.startswith(PREFIX)]

    def _value(self, name: str) -> float | None:
        value = getattr(self.holder, name, None)
        return float(value) if is_weight(value) else None

    def values(self, call: Call, turn: int, evaluate: bool, source: Call | None = None) -> dict[str, float]:
        """`term:<name>` of this call: as returned, as offered, or decomposed (in the turns 1, 2, 4, 8, ... only).

        Without `evaluate`, what the loss computed anyway and nothing more. `source`: the pass of the network before it, if that
        may be differentiated by its input.
        """
        found = _returned(call.output) or ({} if evaluate else _numbers(call.offered))
        if not found and evaluate and not self._large and len(call.args) > 1 and self._asks:
            with muted(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the loss warns about was said when the training called it
                if callable(getattr(self.holder, "components", None)):
                    # a loss may leave out terms whose weight is 0; now and then they are asked for as well
                    overheard = _numbers(call.offered)
                    now = turn & (turn - 1) == 0 and (not self.terms or set(self.terms) - set(overheard))
                    found = (self._offered(call) if now or not overheard else {}) | overheard
                elif self.names and not self.why_not and turn & (turn - 1) == 0:
                    found = self._decomposed(self._question(call, source))
                if not self._judged:
                    self._judged = True
                    self._judge(call, self._question(call, source))
        listed = getattr(self.holder, "weight_dict", None)
        if found and isinstance(listed, Mapping) and not self.terms:
            # weights by the names of the terms, multiplied outside of the loss
            self.found["ignored_weights"] = [str(name) for name in listed if str(name) not in found]
        if found and not self.terms:
            self.terms = list(found)
            self.term_weights |= self._pairs(self.terms)
        return {f"term:{name}": value for name, value in found.items()}

    @property
    def _asks(self) -> bool:
        return not self._judged or callable(getattr(self.holder, "components", None)) or bool(self.names)

    def _pairs(self, terms: list[str]) -> dict[str, str]:
        pairs = weight_names_of(self.holder, terms)
        for term in terms:
            for name in (f"lambda_{term}", f"lam{term}"):
                if term not in pairs and name in self.names:
                    pairs[term] = name
        return pairs

    def _offered(self, call: Call) -> dict[str, float]:
        with Sandbox(self.loss), torch.no_grad():
            prediction, target = Fresh(call.args[0]).get(), Fresh(call.args[1]).get()
            return _numbers(self.holder.components(prediction, target))

    def _question(self, call: Call, source: Call | None) -> Question:
        asked = through(self.loss, call, source)
        if asked is None or not _gives_again(
            asked, call.output
        ):  # a network that draws random numbers is another one now
            return Question(_pair(self.loss, call), call.args[0], call.args[1])
        return asked

    def _decomposed(self, asked: Question) -> dict[str, float]:
        prediction = _cut(asked.prediction)
        try:
            parts = decompose(asked.function, prediction, asked.target)
        except (DecompositionError, *REFUSALS) as error:
            self.why_not = f"its terms could not be told apart: {str(error)[:300]}"
            return {}
        names = dict(zip(parts.names, parts.weight_names, strict=True))
        self.term_weights |= {term: name for term, name in names.items() if name}
        if any(tensor.requires_grad for tensor in tensors_in(prediction)):
            parted = zip(parts.names, parts.values, strict=True)
            self.found["terms_without_graph"] = [
                name for name, value in parted if value.item() and not value.requires_grad
            ]
        return {name: value.item() for name, value in zip(parts.names, parts.values, strict=True)}

    def _judge(self, call: Call, asked: Question) -> None:
        """Once: weights that change nothing, terms that the total lacks, terms without a path to a parameter."""
        loss, components = asked.function, getattr(self.holder, "components", None)
        with torch.enable_grad(), Sandbox(loss) as box:
            try:
                case = Case(loss, _cut(asked.prediction), asked.target, box)
            except REFUSALS as error:  # a loss that differentiates its prediction by its input needs the whole graph
                self.why_not = f"it cannot be evaluated on outputs that were cut off their graph: {str(error)[:300]}"
                return
            again = functools.partial(Case, loss, target=asked.target, box=box)
            if self.names and not _lacks(call.args[0], self.expects):
                ignored = [name for name in self.names if self._ignored(name, case, asked, again)]
                if ignored != self.names or not _zero_everywhere(case, asked, again):
                    self.found["ignored_weights"] = ignored
            if not callable(components) or asked.prediction is not call.args[0]:
                return
            lonely = self._lonely(_numbers(case.call(components)), case.actual.item())
            if lonely is not None:
                self.found["terms_without_weight"] = lonely
            box.replay()
            attached = components(Fresh(call.args[0], attached=True).get(), Fresh(call.args[1]).get())
            free = [name for name, value in attached.items() if not getattr(value, "requires_grad", False)]
            self.found["terms_without_graph"] = [str(name) for name in free]

    def _ignored(self, name: str, case: Case, asked: Question, again: Callable[..., Case]) -> bool:
        """No change of the total, neither here nor at another prediction, where the term may not happen to be 0."""
        other = {name: 2 * self.weights()[name] + 1}
        changed = case.attempt(other)
        if isinstance(changed, str) or not _equal(changed, case.actual):
            return False
        try:
            elsewhere = again(prediction=_moved(_cut(asked.prediction)))
        except REFUSALS:
            return False
        changed = elsewhere.attempt(other)
        return not isinstance(changed, str) and _equal(changed, elsewhere.actual)

    def _lonely(self, offered: Mapping[str, float], total: float) -> list[str] | None:
        """Offered terms that neither a weight nor the plain sum brings into the total; None if that cannot be told."""
        pairs, weights = self._pairs(list(offered)), self.weights()
        parts = {term: weights[name] * offered[term] for term, name in pairs.items()}
        free = {term: value for term, value in offered.items() if term not in pairs}
        size = sum(map(abs, (*parts.values(), *free.values(), total)))
        if not math.isfinite(size):
            return None
        rest = total - sum(parts.values())
        if not free or abs(rest - sum(free.values())) <= _SLACK * size:
            return []
        return [term for term, value in free.items() if value != 0] if abs(rest) <= _SLACK * size else None


def _returned(output: Any) -> dict[str, float]:
    """Terms beside the total in what the loss returned: {"loss": ..., "kl": ...} or (total, {"kl": ...})."""
    if isinstance(output, tuple):
        output = next((item for item in output[1:] if isinstance(item, Mapping)), None)
    if not isinstance(output, Mapping):
        return {}
    return {name: value for name, value in _numbers(output).items() if name not in TOTALS}


def _numbers(found: Any) -> dict[str, float]:
    if not isinstance(found, Mapping):
        return {}
    numbers = {}
    for name, value in found.items():
        if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
            numbers[str(name)] = float(value.detach())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[str(name)] = float(value)
    return numbers


def _gives_again(asked: Question, output: Any) -> bool:
    with torch.enable_grad(), Sandbox(asked.function):
        try:
            again, before = total_of(asked.function(_cut(asked.prediction), asked.target)), total_of(output)
        except REFUSALS:
            return False
        return again is not None and before is not None and torch.allclose(again, before, rtol=_SLACK, equal_nan=True)


def _lacks(prediction: Any, expects: Any) -> bool:
    """A weight whose prediction is missing changes nothing; that says nothing about the weight."""
    lacking = missing(prediction, expects)
    return isinstance(lacking, str) and lacking != ""


def _zero_everywhere(case: Case, asked: Question, again: Callable[..., Case]) -> bool:
    """Nothing is supervised, say: then no weight can show an effect."""
    try:
        return case.actual.item() == 0 and again(prediction=_moved(_cut(asked.prediction))).actual.item() == 0
    except REFUSALS:
        return True


def _pair(loss: Any, call: Call) -> Callable[[Any, Any], Any]:
    """The loss as a function of prediction and target; what else it was called with is bound."""
    if len(call.args) == 2 and not call.kwargs:
        return loss
    names = list(inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters)
    return functools.partial(loss, **dict(zip(names[2:], call.args[2:], strict=False)), **call.kwargs)


def _cut(prediction: Any) -> Any:
    """On new leaves that require a gradient where the originals did: nothing reaches the graph of the training."""
    return map_tensors(prediction, lambda t: t.detach().clone().requires_grad_(t.requires_grad))


def _moved(prediction: Any) -> Any:
    """Another prediction of the same form, from a generator of its own."""
    generator = torch.Generator().manual_seed(20240501)

    def move(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            moved = 1.5 * tensor + 0.1 + noise.to(tensor)
        return moved.requires_grad_(tensor.requires_grad)

    return map_tensors(prediction, move)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.item() == b.item()


def _defaults(kind: type) -> dict[str, float]:
    try:
        parameters = inspect.signature(kind).parameters
    except (TypeError, ValueError):
        return {}
    return {
        name: float(p.default) for name, p in parameters.items() if name.startswith(PREFIX) and is_weight(p.default)
    }


def value_of(output: Any) -> tuple[Any, float]:
    """What a loss returned, as a number (or a tensor still on its accelerator), and whether it hangs on a graph.

    Of one value a sample, their mean; None for what is no number, as a mapping of parts without a total.
    """
    total = total_of(output)
    if total is None and isinstance(output, Tensor) and output.is_floating_point() and output.numel():
        return now_or_later(output.detach().mean()), float(output.grad_fn is not None)
    if total is None:
        return None, math.nan
    return now_or_later(total), float(total.grad_fn is not None)


def now_or_later(value: Tensor) -> Any:
    return value.item() if value.device.type == "cpu" else value.detach().reshape(()).clone()
