"""The terms of a total, read from its graph: which numbers are added, with which weights, from which lines of the program."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from kit.stepgraph.graph import upwards
from kit.stepgraph.source import Place, expression, label
from kit.stepgraph.tape import Note, Operand, note_of

_MOST_NODES = 200_000
_MOST_SUMMANDS = 20_000
_SMALL = 64  # numbers in a vector of terms, or in a parameter that may be a trained weight
_OPERATIONS = {  # of the program, by the node of the graph that each makes; a node of another is inside of a function
    "Add": ("add", "add_", "__add__", "__radd__", "__iadd__"), "Sub": ("sub", "sub_", "subtract", "__sub__", "__isub__"),
    "Rsub": ("rsub", "__rsub__"), "Neg": ("neg", "negative", "__neg__"), "Mul": ("mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"),
    "Div": ("div", "div_", "divide", "true_divide", "__truediv__", "__rtruediv__", "__itruediv__"), "Sum": ("sum",), "Mean": ("mean",),
    "Stack": ("stack",), "Cat": ("cat", "concat", "concatenate", "hstack"), "Dot": ("dot", "inner", "vdot", "matmul", "__matmul__"),
    "Select": ("select", "__getitem__"),
}  # fmt: skip
_FREE = {operation: kind for kind, operations in _OPERATIONS.items() for operation in operations}
_OF_A_NETWORK = frozenset({  # what gives one number a sample without adding anything up: an output, and no term
    "Squeeze", "Select", "Slice", "Addmm", "View", "UnsafeView", "ReshapeAlias", "Unbind", "Split", "T", "Mv", "Index",
})  # fmt: skip
_SAME = frozenset({  # the same value in another form
    "ToCopy", "Clone", "View", "UnsafeView", "ReshapeAlias", "Alias", "Unsqueeze", "Squeeze", "Expand", "NanToNum", "AsStrided",
})  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One number that is added into the total.

    Attributes:
        name: variable, key or attribute that holds it; else the function or the operation that made it.
        value: as it was, unweighted; nan: not observed.
        weight: product of what it is multiplied by in the sum, as it was in force; nan: not observed.
        weight_name: the text of that, as ``lam_kl`` or ``self.w['kl']``; "" where nothing is written.
        weight_kind: "none", "constant", "variable", "attribute", "entry", "expression", "tensor" or "trained".
        attached: whether it has a graph. written: without one, since it is a number or tensor that was written down.
        reduction: "mean" or "sum", where one number a sample is weighted first and then added up; else "".
        summands: how many additions of one line are counted as this one term.
        place: its line. cut, cut_by: where it lost its graph, and by which operation.
        reaches: ids of the leaf tensors that its graph ends in.
    """

    name: str
    value: float
    weight: float
    weight_name: str = ""
    weight_kind: str = "none"
    attached: bool = True
    written: bool = False
    reduction: str = ""
    summands: int = 1
    place: Place | None = None
    cut: Place | None = None
    cut_by: str = ""
    reaches: frozenset[int] = frozenset()


@dataclass(frozen=True)
class StepGraph:
    """total = factor (constant + sum_i weight_i term_i).

    ``factor``: what the whole sum is multiplied by (accumulation, a gradient scaler); ``constant``: plain numbers in it.
    """

    terms: tuple[Term, ...]
    total: float
    factor: float = 1.0
    constant: float = 0.0

    def __getitem__(self, name: str) -> Term:
        for term in self.terms:
            if term.name == name:
                return term
        raise KeyError(f"{name!r} should be one of the terms: {', '.join(term.name for term in self.terms)}.")


Part = tuple[float, Operand | None]  # a factor, with what is written for it


@dataclass(frozen=True)
class _Factors:
    """What stands before a summand. ``parts``: the factors; nothing is written for a sign.

    ``each``: the numbers of ``vector``, one an element, for a vector of terms.
    """

    parts: tuple[Part, ...] = ()
    each: np.ndarray | None = None
    vector: Operand | None = None
    reduction: str = ""
    count: float = 1.0  # of samples, pixels or the like that the term is divided by: no weight, but part of its value

    @property
    def weight(self) -> float:
        return math.prod(number for number, _ in self.parts)

    def times(self, number: float, operand: Operand | None = None) -> _Factors:
        return replace(self, parts=(*self.parts, (number, operand)))


@dataclass(frozen=True)
class _Value:
    """A value on the way down: its node (None: no graph), what was noted of it, how it was written, its dimensions, its place
    among the outputs of the node."""

    node: Any
    operand: Operand | None
    factors: _Factors
    dims: int
    output: int = 0

    @property
    def note(self) -> Note | None:
        return note_of(self.node) if self.node is not None else None if self.operand is None else self.operand.note

    @property
    def kind(self) -> str:
        """`Add` of an AddBackward0; of a value without a graph, what was noted."""
        if self.node is not None:
            return _kind_of(self.node)
        note = self.note
        if note is None or (note.cut is not None and note.cut.chain == note.chain):
            return ""
        return _FREE.get(note.operation, "")

    def below(self) -> list[_Value]:
        """Its operands. What has neither a graph nor a note is a _Value without both."""
        operands = () if self.note is None else self.note.operands
        if self.node is None:
            return [replace(self, operand=operand) for operand in operands]
        children = [*self.node.next_functions]
        children += [(None, 0)] * (len(operands) - len(children) if self.kind == "Rsub" else 0)  # the number in `1 - x`
        noted = [*operands, *([None] * len(children))][: len(children)]
        return [replace(self, node=n, output=at, operand=part) for (n, at), part in zip(children, noted, strict=True)]


def _kind_of(node: Any) -> str:
    name = str(node.name())
    return name[: name.rindex("Backward")] if "Backward" in name else name


def read(total: Tensor) -> StepGraph:
    """The terms of a total, as they stand before its backward pass.

    Raises:
        ValueError: the total is not one number, or has no graph.
    """
    return Reading(total).graph


class Reading:
    """Walks from a total downwards, as far as what it meets is a sum.

    graph: what was read. nodes: of each term the node that stands for it, None without a graph; counts: what its value was divided by
    behind that node. whole, factors: of the whole sum and of each term, the factors with what is written for them.
    trained_weights: with False a product of two graphs is always a term.
    """

    def __init__(self, total: Tensor, *, trained_weights: bool = True) -> None:
        self._trains_weights = trained_weights
        if total.numel() != 1 or total.grad_fn is None:
            raise ValueError(
                f"total should be one number with a graph. Found shape {list(total.shape)}, {total.grad_fn}."
            )
        self._bits: dict[Any, int] = {}  # of a node, the leaves below it, by their place in `_ends`
        self._ends: list[int] = []
        self._noted = note_of(total.grad_fn) is not None
        self._shapes: dict[int, tuple[int, int]] = {}  # dimensions and numbers
        self._whole: _Factors | None = None  # until the first addition
        self._constant = 0.0
        self._summands: list[_Value] = []
        todo = [_Value(total.grad_fn, None, _Factors(), 0, total.output_nr)]
        while todo and len(self._summands) < _MOST_SUMMANDS:
            value = todo.pop()
            parts = self._parts(value)
            if parts is None:
                self._summands.append(value)
            else:
                todo.extend(reversed(parts))
        found = [_Found(value, *self._term(value), _text(value)) for value in self._summands]
        terms, self._groups = _grouped(found)
        self.nodes = tuple(group[0].node for group in self._groups)
        self.counts = tuple(group[0].factors.count for group in self._groups)
        whole = self._whole or _Factors()
        self.whole, self.factors = whole.parts, tuple(group[0].factors.parts for group in self._groups)
        self.graph = StepGraph(terms, total.item(), whole.weight, self._constant)

    def tensors(self, kept: Mapping[tuple[Any, int], Tensor]) -> list[Tensor]:
        """The unweighted terms with their graph; ``kept`` has the small results of the step, see ``Tape``.

        Raises:
            KeyError: the result of a node was not kept.
        """
        found = []
        for term, group in zip(self.graph.terms, self._groups, strict=True):
            if not term.attached:
                found.append(torch.tensor(term.value, dtype=torch.float64))
                continue
            parts = []
            for value in group:
                part = kept[value.node, value.output]
                part = part.mean() if value.factors.reduction == "mean" and value.dims == 1 else part.sum()
                parts.append(part * value.factors.count)
            found.append(parts[0] if len(parts) == 1 else torch.stack(parts).sum())
        return found

    def nodes_below(self) -> list[Any]:
        """Every node of the terms' graphs."""
        return [*self._bits]

    def _added(self, value: _Value) -> _Factors:
        """What stands before each part of a sum; what stands before the first one belongs to the total, and to no term."""
        if self._whole is not None:
            return value.factors
        self._whole = value.factors
        return replace(value.factors, parts=())

    def _parts(self, value: _Value) -> list[_Value] | None:
        """What the value is made of; None if it is a term."""
        note, kind = value.note, value.kind
        if value.node is not None and kind not in _SAME:
            foreign = note is None or note.is_inner or note.operation not in _OPERATIONS.get(kind, ())
            if self._noted and foreign:
                return None  # a function of torch, or one that was not listened to, whatever it is made of
        handled: Callable[[_Value, list[_Value]], list[_Value] | None] | None = {
            "Add": self._sum, "Sub": self._sum, "Rsub": self._sum, "Neg": _negated, "Mul": self._product, "Div": self._product,
            "Stack": self._stacked, "Cat": self._stacked, "Sum": _reduced, "Mean": _reduced, "Dot": _dotted, "Select": _selected,
        }.get(kind)  # fmt: skip
        if handled is not None:
            below = value.below()
            return handled(value, below) if below else None
        if kind in _SAME and value.node is not None:
            inner = value.below()[0]
            if not (
                _is_sum(inner.node)
                or inner.kind in ("Mul", "Div", "Neg", "Stack", "Cat", "Sum", "Mean", "Dot", "Select")
            ):
                return None
            sizes = getattr(value.node, "_saved_self_sym_sizes", None)
            return [
                replace(inner, operand=value.operand or inner.operand, dims=value.dims if sizes is None else len(sizes))
            ]
        return None

    def _sum(self, value: _Value, below: list[_Value]) -> list[_Value] | None:
        if value.dims > 1 or value.factors.each is not None:
            return None
        free = [part.operand for part in below if part.node is None]
        constants = [operand.number for operand in free if _is_constant(operand)]
        if len(constants) == len(below) - 1 and any(constants) and _is_named(value):
            return None  # `dice = 1 - overlap` is the term, and not its parts
        factors = self._added(value)
        second = float(getattr(value.node, "_saved_alpha", 1) or 1) * (-1 if value.kind == "Sub" else 1)
        signs = (-1.0, second) if value.kind == "Rsub" else (1.0, second)
        parts = []
        for part, sign in zip(below, signs, strict=False):
            operand = part.operand
            if _is_empty_leaf(part.node):
                continue
            if part.node is None and _is_constant(operand):
                self._constant += sign * factors.weight * float(operand.number)
            else:
                if operand is not None and operand.kind == "number" and operand.note is not None and operand.note.total:
                    sign *= operand.number / operand.note.total  # `0.5 * kl_value`, of which only the product was added
                part = replace(part, factors=factors.times(sign))
                parts.append(_spread(part, value))
        return parts

    def _product(self, value: _Value, below: list[_Value]) -> list[_Value] | None:
        if len(below) != 2:
            return None
        first, second = below
        if first.node is not None and second.node is not None:
            return self._trained(value, first, second) if self._trains_weights else None
        term, weight = (second, first) if second.node is not None or _is_number(first.operand) else (first, second)
        if value.kind == "Div" and weight is first:
            return None
        numbers = _numbers(value.node, weight.operand, "_saved_other" if weight is second else "_saved_self")
        if numbers is None:
            return None
        if value.kind == "Div":
            numbers = 1 / numbers if np.all(numbers) else np.full_like(numbers, np.nan)
        if numbers.ndim == 0:
            literal = weight.operand is not None and weight.operand.where == "constant"
            if value.operand is not None and _is_named(value) and not _is_named(term) and not _is_sum(term.node):
                if literal and numbers != 0:
                    return None  # `kl = -0.5 * (...).sum()` is the term
                term = replace(term, operand=replace(value.operand, note=term.note))
            if _is_count(weight.operand):
                return [replace(term, factors=replace(term.factors, count=term.factors.count * float(numbers)))]
            return [replace(term, factors=term.factors.times(float(numbers), weight.operand or _plain(float(numbers))))]
        return _weighted(term, numbers, weight.operand)

    def _trained(self, value: _Value, first: _Value, second: _Value) -> list[_Value] | None:
        """A product of two graphs is a weighted term, if one of them ends in a few numbers of its own."""
        ends = [self.leaves(part.node) for part in (first, second)]
        few = [bool(end) and all(self._is_small(leaf) for leaf in end) for end in ends]
        sizes = [sum(self._shapes[leaf][1] for leaf in end) for end in ends]
        if not any(few) or ends[0] & ends[1] or (all(few) and sizes[0] == sizes[1]):
            return None
        at = few.index(True) if not all(few) else sizes.index(min(sizes))
        weight, term = (first, second)[at], (second, first)[at]
        if value.kind == "Div" and at == 0:
            return None
        operand = replace(weight.operand or Operand("graph"), where="trained")
        numbers = _numbers(None, operand, "")
        if numbers is None:
            numbers = np.array(math.nan)
        numbers = numbers if value.kind == "Mul" else 1 / numbers
        if numbers.ndim:
            return _weighted(term, numbers, operand)
        return [replace(term, factors=term.factors.times(float(numbers), operand))]

    def _is_small(self, leaf: int) -> bool:
        dims, numbers = self._shapes[leaf]
        return dims <= 1 and numbers <= _SMALL

    def _stacked(self, value: _Value, below: list[_Value]) -> list[_Value] | None:
        if value.dims != 1 or not value.factors.reduction or len(below) > _MOST_SUMMANDS:
            return None
        if value.kind == "Cat" and value.note is not None and value.note.size != len(below):
            return None
        each = np.ones(len(below)) if value.factors.each is None else value.factors.each
        if len(each) != len(below):
            return None
        vector, factors = value.factors.vector, self._added(value)
        share = 1 / len(below) if factors.reduction == "mean" else 1.0
        parts = []
        for number, (part, own) in enumerate(zip(below, map(float, each), strict=True)):
            entry = None if vector is None else _entry(vector, number)
            own_factors = replace(factors.times(own, entry).times(share), each=None, vector=None, reduction="")
            parts.append(replace(part, dims=0, factors=own_factors))
        return parts

    def leaves(self, node: Any) -> frozenset[int]:
        """Ids of the leaf tensors that a graph ends in."""
        bits = self._below(node)
        return frozenset(end for place, end in enumerate(self._ends) if bits >> place & 1)

    def _below(self, node: Any) -> int:
        """Every node is walked through once, however many terms share it."""
        for here in upwards(node, self._bits):
            if len(self._bits) >= _MOST_NODES:
                break
            bits = 0
            for parent, _ in here.next_functions:
                bits |= self._bits.get(parent, 0)
            variable = getattr(here, "variable", None)
            if isinstance(variable, Tensor):
                bits |= 1 << len(self._ends)
                self._ends.append(id(variable))
                self._shapes[id(variable)] = variable.dim(), variable.numel()
            self._bits[here] = bits
        return self._bits.get(node, 0)

    def _term(self, value: _Value) -> tuple[Any, Term]:
        """The term, and what those that are one have in common: where they were made, and how they are called."""
        note, factors = value.note, value.factors
        written = [operand for _, operand in factors.parts if operand is not None]
        kinds = [part.where or ("tensor" if part.kind == "tensor" else "expression") for part in written]
        cut = None if note is None else note.cut
        name = _name(value)
        term = Term(
            name=name,
            value=_size(value),
            weight=factors.weight,
            weight_name=" * ".join(part.written for part in written if part.written),
            weight_kind="trained" if "trained" in kinds else kinds[-1] if kinds else "none",
            attached=value.node is not None,
            written=value.node is None and (note is None or note.operation in _FACTORIES),
            reduction=factors.reduction if value.dims == 1 else "",
            place=None if note is None else note.place,
            cut=None if cut is None else cut.place,
            cut_by="" if cut is None else cut.how,
            reaches=frozenset() if value.node is None else self.leaves(value.node),
        )
        return (id(value), "") if note is None else (note.chain, name), term


def _is_empty_leaf(node: Any) -> bool:
    """`torch.zeros((), requires_grad=True)`, which a sum was begun with."""
    variable = getattr(node, "variable", None)
    if not isinstance(variable, Tensor) or isinstance(variable, torch.nn.Parameter):
        return False
    return variable.numel() == 1 and not variable.detach().any()


def _spread(part: _Value, whole: _Value) -> _Value:
    """One number that was added to each of many: in their sum it counts as often."""
    if whole.dims != 1 or part.note is None or whole.note is None or part.note.size != 1 or whole.note.size <= 1:
        return part
    often = whole.note.size if part.factors.reduction == "sum" else 1
    return replace(part, dims=0, factors=replace(part.factors.times(float(often)), reduction=""))


def _negated(value: _Value, below: list[_Value]) -> list[_Value] | None:
    if (_is_named(value) or value.operand is None) and not _is_sum(below[0].node):
        return None
    return [replace(below[0], factors=value.factors.times(-1.0))]


def _reduced(value: _Value, below: list[_Value]) -> list[_Value] | None:
    """A sum or mean is looked into if what it adds up is a sum of terms itself, and no output of a network."""
    inner = below[0]
    sizes = getattr(value.node, "_saved_self_sym_sizes", None)
    dims = len(sizes) if sizes is not None else 1
    if dims == 0:
        return [replace(inner, dims=0)]
    if value.dims != 0 or dims != 1 or not _is_sum(inner.node) or _adds_outputs(inner.node):
        return None
    return [replace(inner, dims=1, factors=replace(value.factors, reduction=value.kind.lower()))]


def _adds_outputs(node: Any) -> bool:
    """Whether a sum of one number a sample adds outputs of a network, which are no terms."""
    todo, seen = [node], 0
    while todo and seen < _SMALL:
        here, seen = todo.pop(), seen + 1
        kind = _kind_of(here)
        if kind in _OF_A_NETWORK:
            return True
        if kind in ("Add", "Sub", "Rsub", "Neg", "Mul", "Div"):
            todo.extend(child for child, _ in here.next_functions if child is not None)
    return False


def _is_sum(node: Any) -> bool:
    """Down through scalings: an addition, or a stack."""
    while node is not None:
        kind = _kind_of(node)
        if kind in ("Add", "Sub", "Rsub", "Stack", "Cat"):
            return True
        if not (kind in ("Neg", "Mul", "Div") or kind in _SAME):
            return False
        graphs = [child for child, _ in node.next_functions if child is not None]
        if len(graphs) > 1:
            return any(_is_sum(child) for child in graphs)
        node = graphs[0] if graphs else None
    return False


def _dotted(value: _Value, below: list[_Value]) -> list[_Value] | None:
    term, weight = below if below[1].node is None else below[::-1]
    if weight.node is not None:
        return None
    numbers = _numbers(value.node, weight.operand, "_saved_tensor" if weight is below[1] else "_saved_self")
    if numbers is None or numbers.ndim != 1:
        return None
    return _weighted(replace(term, dims=1, factors=replace(value.factors, reduction="sum")), numbers, weight.operand)


def _weighted(term: _Value, numbers: np.ndarray, operand: Operand | None) -> list[_Value] | None:
    """A vector of terms by a vector of weights; any other vector is weights of samples, and the product is one term."""
    if term.kind not in ("Stack", "Cat") or term.factors.each is not None or len(term.below()) != len(numbers):
        return None
    return [replace(term, factors=replace(term.factors, each=numbers, vector=operand or Operand("tensor")))]


_MOVED = frozenset({"to", "double", "float", "half", "bfloat16", "type_as", "cuda", "cpu"})


def _entry(vector: Operand, number: int) -> Operand:
    """One weight of a vector: what `torch.tensor([self.lam_a, ...])` was made of, else `weights[0]`."""
    note = vector.note
    while note is not None and note.operation in _MOVED and note.operands:
        note = note.operands[0].note
    if note is not None and len(note.operands) == note.size and note.operands[number].is_named:
        return note.operands[number]
    return replace(vector, written=f"{vector.written or 'weights'}[{number}]")


def _selected(value: _Value, below: list[_Value]) -> list[_Value] | None:
    stack = below[0]
    if value.dims or stack.kind != "Stack":
        return None
    return [stack.below()[int(value.node._saved_index) % len(stack.below())]]


def _is_named(value: _Value) -> bool:
    return value.operand is not None and value.operand.is_named


_COUNTS = frozenset({"sum", "mean", "clamp", "clamp_min", "count_nonzero", "numel"})


def _is_count(operand: Operand | None) -> bool:
    """`/ mask.sum().clamp(min=1)`: a number that this batch was counted for."""
    note = None if operand is None or operand.kind != "tensor" or operand.where else operand.note
    return note is not None and note.operation in _COUNTS


def _is_number(operand: Operand | None) -> bool:
    return operand is not None and operand.kind == "number" and operand.note is None


def _is_constant(operand: Operand | None) -> TypeGuard[Operand]:
    """A number that was never part of a graph, or the tensor of zeros that a sum was begun with."""
    if operand is None or operand.kind not in ("number", "tensor") or isinstance(operand.number, list):
        return False
    return operand.note is None or operand.note.cut is None if operand.kind == "number" else _is_start(operand)


_FACTORIES = frozenset({"zeros", "tensor", "as_tensor", "full", "zeros_like", "new_zeros", "new_tensor"})


def _is_start(operand: Operand) -> bool:
    made = operand.note is None or operand.note.operation in _FACTORIES
    return made and operand.number == 0 and (operand.sum_so_far is not None or not operand.is_named)


def _plain(number: float) -> Operand:
    return Operand("number", number, f"{number:g}", None, None, "constant")


def _numbers(node: Any, operand: Operand | None, saved_as: str) -> np.ndarray | None:
    """What a product multiplies by: one number, or those of a vector."""
    if operand is not None and not np.isnan(operand.number).any():
        numbers = np.asarray(operand.number, dtype=np.float64)
        return numbers.reshape(()) if numbers.size == 1 else numbers
    saved = getattr(node, saved_as, None)
    if isinstance(saved, Tensor):
        if saved.requires_grad or saved.numel() > _SMALL:
            return None
        saved = saved.detach().double().cpu().squeeze().numpy()
    return None if saved is None else np.asarray(saved, dtype=np.float64)


def _name(value: _Value) -> str:
    operand, note = value.operand, value.note
    if operand is not None and operand.is_named:
        return str(operand.name)
    given = None if note is None else note.name
    if given is not None and (operand is None or given != operand.sum_so_far):
        return given
    return (operand is not None and operand.name) or _text(value)


def _text(value: _Value) -> str:
    """What a term without a name is called: the function, or the expression."""
    operand, note = value.operand, value.note
    if operand is not None and operand.sum_so_far is None and operand.written:
        return operand.written
    if note is None or not note.chain:
        return value.kind or "unnamed"
    return label(expression(*note.chain[0])) or note.text or note.operation


def _size(value: _Value) -> float:
    note, operand = value.note, value.operand
    if note is not None:
        total = float(note.total) * value.factors.count
        return total / note.size if value.factors.reduction == "mean" and value.dims == 1 else total
    return math.nan if operand is None else float(np.sum(operand.number))


@dataclass(frozen=True)
class _Found:
    value: _Value
    key: Any
    term: Term
    text: str


def _grouped(found: Sequence[_Found]) -> tuple[tuple[Term, ...], list[list[_Value]]]:
    """Summands of one line under one name are one term: a regulariser over all parameters. Namesakes are told apart by their text."""
    groups: dict[Any, list[_Found]] = {}
    for one in found:
        groups.setdefault((one.key, one.term.weight_name, one.term.weight, one.term.attached), []).append(one)
    names = [group[0].term.name for group in groups.values()]
    terms: list[Term] = []
    for group in groups.values():
        term = group[0].term if len(group) == 1 else _together([one.term for one in group])
        name = group[0].text if names.count(term.name) > 1 else term.name
        taken, number, own = {term.name for term in terms}, 2, name
        while own in taken:
            own, number = f"{name} ({number})", number + 1
        terms.append(replace(term, name=own))
    return tuple(terms), [[one.value for one in group] for group in groups.values()]


def _together(terms: Sequence[Term]) -> Term:
    return replace(
        terms[0],
        value=sum(term.value for term in terms),
        summands=len(terms),
        reaches=frozenset().union(*(term.reaches for term in terms)),
    )
