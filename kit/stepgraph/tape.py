"""What is computed while a step runs: a note on every node of its graph, and on every small value that has no graph.

A note lies in the metadata of the node, so it lives as long as the graph and holds nothing of it. It says which operation, where in the
program, and, of values of at most one dimension, which operands and which value.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType, ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, _len_torch_function_stack, _pop_mode, _push_mode
from torch.utils._device import DeviceContext

from kit.stepgraph import source, suspicious
from kit.stepgraph.nonfinite import made_nonfinite
from kit.stepgraph.plain import is_tracing, plain, quietly
from kit.stepgraph.source import Place, Scope, Spot

KEY = "kit.note"
_SMALL = 1 << 16
_IN_PLACE = frozenset({"add_", "sub_", "mul_", "div_", "__iadd__"})
_SCALING = "grad_scaler.py"  # of torch, and a part of the sum as people see it
_NOTED = (Tensor, float, tuple, list)  # what an operation gives; of anything else there is no note
_MOST_FREE = 4096
_MOST_CUTS = 64
_MAKES_NEW = frozenset({  # of another tensor's form, with values of their own: nothing was cut
    "new_zeros", "new_ones", "new_full", "new_tensor", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like", "rand_like",
    "randn_like", "randint_like",
})  # fmt: skip


@dataclass(slots=True, weakref_slot=True)
class Operand:
    """`kind`: "graph", "tensor" (without a graph) or "number"; `written`: its text; `name`: the name it goes by; `tree`: how it
    is written, or the attribute that it is, and in which function."""

    kind: str
    number: Any = float("nan")
    written: str = ""
    name: str | None = None
    note: Note | None = None
    where: str = ""  # "variable", "attribute", "entry", "constant", or "" for an expression
    sum_so_far: str | None = None  # the variable that the sum itself is called, if this is what was added up before
    tree: tuple[source.ast.expr, CodeType] | None = None

    @property
    def is_named(self) -> bool:
        return self.name is not None and self.where in ("variable", "attribute", "entry")


@dataclass(slots=True, weakref_slot=True)
class Note:
    """One operation. `size`: how many numbers it gave; `total`: their sum, nan where it was not looked at (a network's own arrays)."""

    operation: str
    chain: tuple[Spot, ...]
    size: int = -1
    total: Any = float("nan")
    operands: tuple[Operand, ...] = ()
    cut: Cut | None = None
    is_inner: bool = False  # part of a function of torch that is written in Python

    @property
    def place(self) -> Place | None:
        return source.place(*self.chain[0]) if self.chain else None

    @property
    def name(self) -> str | None:
        return source.given_name(self.chain)

    @property
    def text(self) -> str:
        return source.text_of(source.expression(*self.chain[0])) if self.chain else ""


@dataclass(slots=True)
class Cut:
    """Where a value lost its graph, and by what: "detach", "no_grad", "item", "integer", ..."""

    how: str
    chain: tuple[Spot, ...]

    @property
    def place(self) -> Place | None:
        return source.place(*self.chain[0]) if self.chain else None


@dataclass
class Used:
    """How a parameter was used first in a step."""

    grad: bool
    spot: tuple[Spot, ...]


class Tape(TorchFunctionMode):
    """Notes what is computed, in the thread that starts it, between `start` and `stop`.

    kept: with `keep`, the small values that have a graph, by their node and their place among its outputs.
    """

    def __init__(self, *, keep: bool = False) -> None:
        super().__init__()
        # copies, since an operation in place changes its operand
        self.kept: dict[tuple[Any, int], Tensor] | None = {} if keep else None
        self.on, self._inside, self._laid = False, 0, False  # on the stack, as far as we put it there
        self.failed: str | None = None
        self.refused = False
        self.used: dict[int, Used] = {}
        self.suspicious: dict[tuple[str, tuple[Spot, ...]], tuple[str, tuple[Spot, ...]]] = {}  # kind and line -> what
        self.reads = 0  # times that it listened
        self.seen_in: dict[str, set[int]] = {}  # kind of suspicious operation -> the times in which there was one
        self.looks_for_nonfinite = False
        # dicts of weights, by where and how they are written, and the names that were read
        self._entries: dict[tuple[CodeType, str], tuple[dict[str, float], set[str]]] = {}
        self.nonfinite: tuple[str, Note] | None = None  # "NaN" or "infinity", and the operation that made the first
        self._cuts: dict[
            tuple[Spot, ...], tuple[Cut, Any]
        ] = {}  # with the node it ends at: one a line, or graphs would pile up
        self._free: dict[int, tuple[weakref.ref, Note]] = {}
        self._numbers: list[tuple[float, Cut]] = []
        self._thread = threading.get_ident()

    def start(self) -> None:
        """Listen anew. The tape lies below every mode of the program, so that none of its `with` blocks takes it off."""
        self.clear()
        self.refused = self.kept is None and _is_compiling_something()
        self.on = threading.get_ident() == self._thread and not self.refused
        self.reads += self.on
        if not self.on or self._inside or self._lies():
            return
        above = [_pop_mode() for _ in range(_len_torch_function_stack())]
        if above and isinstance(above[-1], DeviceContext):  # it insists on being the lowest
            _push_mode(above.pop())
        _push_mode(self)
        self._laid = True
        for mode in reversed(above):
            _push_mode(mode)

    def pause(self) -> None:
        if self.on:
            self.on = False
            self.clear()

    def stop(self) -> None:
        """Take the tape off. While one of its own calls runs torch holds it, and it only listens no more."""
        if not self._laid:
            return
        self.pause()
        if self._inside or threading.get_ident() != self._thread:
            return
        self._laid = False
        if not self._lies():
            return
        above = []
        while (mode := _pop_mode()) is not self:
            above.append(mode)
        for mode in reversed(above):
            _push_mode(mode)

    def clear(self) -> None:
        self.used, self._cuts, self._free, self._numbers = {}, {}, {}, []
        self.nonfinite = None

    def _lies(self) -> bool:
        return any(torch._C._get_function_stack_at(place) is self for place in range(_len_torch_function_stack()))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = _before(func, args) if self.on else None
        self._inside += 1  # torch holds the tape off the stack meanwhile, and puts it back
        try:
            out = func(*args, **(kwargs or {}))
        finally:
            self._inside -= 1
        if self.on and (self.kept is not None or isinstance(out, _NOTED)) and not is_tracing():
            try:
                with quietly():
                    self._saw(func, args if before is None else (before, *args[1:]), kwargs or {}, out)
            except Exception as error:  # noqa: BLE001 - this runs inside the program's own computation
                self.failed = f"{type(error).__name__}: {str(error)[:200]}"
        return out

    def _saw(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        name = _name(func)
        if name == "grad" and not source.is_users(_caller().f_code):
            return  # clearing or clipping what the step before left
        kind, found = suspicious.kind_of(name, args, kwargs, out)
        if kind:
            self.seen_in.setdefault(kind, set()).add(self.reads)
        if kind and len(self.suspicious) < _MOST_CUTS:
            spots = source.spots(_caller())
            self.suspicious.setdefault((kind, spots[:1]), (found, spots))
        if self.looks_for_nonfinite and self.nonfinite is None:
            self._look_for_nonfinite(func, args, out)
        if self.kept is not None:
            for tensor in _tensors(
                (*args, out)
            ):  # a function of the program's own is seen only where its result is used
                if tensor.grad_fn is not None and tensor.dim() <= 1 and tensor.numel() <= _SMALL:
                    with torch.enable_grad():
                        self.kept.setdefault((tensor.grad_fn, tensor.output_nr), tensor.clone())
        if isinstance(out, Tensor):
            self._saw_tensor(func, args, out)
        elif isinstance(out, float) and args and isinstance(args[0], Tensor) and args[0].requires_grad:
            self._numbers = [*self._numbers[-255:], (out, Cut("item", source.spots(_caller())))]
        elif isinstance(out, tuple | list):
            parts = [part for part in out if isinstance(part, Tensor)]
            attached = any(part.requires_grad for part in parts)
            for part in parts:  # one node for all of them, and the indices of a maximum are no cut of it
                if not attached:
                    self._saw_tensor(func, args, part)

    def _saw_tensor(self, func: Any, args: tuple, out: Tensor) -> None:
        node = out.grad_fn
        if node is None and (out.is_leaf and out.requires_grad):
            return  # a parameter that was handed through
        given = list(_tensors(args))
        grad = torch.is_grad_enabled()
        chain: tuple[Spot, ...] | None = None
        for tensor in given:
            if not (tensor.is_leaf and tensor.requires_grad):
                continue
            known = self.used.get(id(tensor))
            if known is None or (grad and not known.grad):  # an evaluation may have come before
                chain = chain or source.spots(_caller())
                self.used[id(tensor)] = Used(grad, chain)
        if node is not None:
            kept: dict[Any, Any] = node.metadata  # type: ignore[assignment]  # a dict, whatever torch's stubs say
            kept.setdefault(KEY, None)
            if kept[KEY] is None:
                kept[KEY] = self._note(func, args, out, chain)
            return
        attached = next((tensor for tensor in given if tensor.requires_grad), None)
        inherited = next((note.cut for t in given if (note := self.free(t)) is not None and note.cut), None)
        small = out.dim() <= 1
        if attached is None and inherited is None and not small:
            return
        note = self._note(func, args, out, chain)
        if attached is not None:
            how = _name(func) if grad else "no_grad"
            if how in _MAKES_NEW:
                return
            note.cut = Cut(how if out.is_floating_point() or not grad else "integer", note.chain)
            if attached.grad_fn is not None and len(self._cuts) < _MOST_CUTS:
                self._cuts.setdefault(note.chain, (note.cut, attached.grad_fn))
        else:
            note.cut = inherited
        if len(self._free) >= _MOST_FREE:
            self._free = {key: entry for key, entry in self._free.items() if entry[0]() is not None}
        if len(self._free) < _MOST_FREE:
            self._free[id(out)] = weakref.ref(out), note

    def _look_for_nonfinite(self, func: Any, args: tuple, out: Any) -> None:
        operation, given = _name(func), list(_tensors(args))
        for part in _tensors(out if isinstance(out, tuple | list) else (out,)):
            if what := made_nonfinite(operation, given, part):
                self.nonfinite = what, Note(operation, source.spots(_caller()))
                return

    def cuts(self) -> list[tuple[Cut, Any]]:
        """Where a graph ended in this step, with the node it ended at; the first of each line."""
        return [*self._cuts.values()]

    def free(self, tensor: Tensor) -> Note | None:
        """What was noted of a tensor without a graph."""
        found = self._free.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None

    def _note(self, func: Any, args: tuple, out: Tensor, chain: tuple[Spot, ...] | None) -> Note:
        frame = _caller()
        chain = chain or source.spots(frame)
        note = Note(
            _name(func), chain, is_inner=not source.is_users(frame.f_code) and _SCALING not in frame.f_code.co_filename
        )
        if out.dim() <= 1 and out.numel() <= _SMALL and not out.is_complex() and out.dtype is not torch.bool:
            note.size, note.total = out.numel(), _number(out)
            note.operands = self._operands(note.operation, args, frame)
        return note

    def _operands(self, operation: str, args: tuple, frame: FrameType) -> tuple[Operand, ...]:
        flat = args[0] if args and isinstance(args[0], list | tuple) else args[:2]
        if len(flat) > 64:
            return ()
        own = next(source.user_frames(frame), None)
        if own is None:
            return tuple(self._operand(value, None, None) for value in flat)
        with source.scope_of(own) as scope:
            trees = _trees(operation, flat, scope)
            found = tuple(self._operand(value, tree, scope) for value, tree in zip(flat, trees, strict=True))
            if operation in _TIMES and len(self._entries) < _MOST_CUTS:
                self._weighs(flat, trees, scope, own)
        if found and operation in ("add", "add_"):
            target, _ = source.assigned(own.f_code, own.f_lasti)
            if target is not None and found[0].name == target:
                found[0].name, found[0].sum_so_far = None, target
        return found

    def _weighs(self, values: Sequence[Any], trees: Sequence[Any], scope: Scope, frame: FrameType) -> None:
        for value, tree in zip(values, trees, strict=True):
            if isinstance(value, int | float) and (entry := source.entry_of(tree, value, scope, frame)) is not None:
                text, held, key = entry
                known, read = self._entries.setdefault((scope.code, text), ({}, set()))
                known.update(held)
                read.add(key)
                read.update(*(source.keys_beside(other, scope, frame) for other in trees if other is not tree))

    def unread_weights(self) -> list[str]:
        """Entries of the dicts that weigh terms by a name that varies, which are not 0 and were read for no term; where there is a term
        without an entry as well. A weight of a term that this run does not compute is common."""
        return [
            f"{text}[{key!r}] = {value:g}"
            for (_, text), (held, read) in self._entries.items()
            if read - held.keys()
            for key, value in held.items()
            if value and key not in read
        ]

    def _operand(self, value: Any, tree: source.ast.expr | None, scope: Scope | None) -> Operand:
        literal = isinstance(tree, source.ast.UnaryOp) and isinstance(tree.operand, source.ast.Constant)
        where = "constant" if literal else _WHERE.get(type(tree).__name__, "")
        found = Operand("other", where=where, name=source.label(tree))
        if scope is not None and tree is not None:
            found.written = source.written(tree, scope)
            if self.kept is not None:  # a probe asks which attribute stands behind it
                found.tree = source.attribute_behind(tree, value, scope), scope.code
        if isinstance(value, Tensor):
            if scope is not None and (tree is None or _is_loop_variable(tree, scope)):
                found.name = source.key_of(value, scope) or found.name
                found.where = found.where or ("entry" if found.name else "")
            found.kind = "graph" if value.requires_grad else "tensor"
            if value.numel() == 1:
                found.number = _number(value)
            elif value.dim() == 1 and value.numel() <= _VECTOR and (seen := plain(value)) is not None:
                found.number = seen.detach().double().cpu().tolist()
            found.note = self.free(value) if value.grad_fn is None else note_of(value.grad_fn)
        elif isinstance(value, int | float):
            found.kind, found.number = "number", float(value)
            if scope is not None and (was := self._was_tensor(value, tree, scope)) is not None:
                number, cut = was
                found.note = Note("item", cut.chain, 1, number, cut=cut)
        return found

    def _was_tensor(self, value: float, tree: source.ast.expr | None, scope: Scope) -> tuple[float, Cut] | None:
        """The number that was read out of a graph, and where, as far as it or what it is written with is known by identity."""
        values = [value, *(source.value_in(part, scope) for part in source.parts_of(tree))]
        for number, cut in self._numbers:
            if any(number is known for known in values):
                return number, cut
        return None


class Guard(Tape):
    """Hears whether the program hangs something into the graph of a step that a further backward pass would call: `found` says what.

    first: nodes that are older belong to an earlier step.
    """

    HOOK = "a hook stood in its graph, and would be called once more for each term"
    PACKED = "what its graph keeps is packed or recomputed (torch.utils.checkpoint, saved_tensors_hooks)"

    def __init__(self) -> None:
        super().__init__()
        self.found, self.first = "", 0

    def clear(self) -> None:
        super().clear()
        self.found, self.first = "", torch._C._autograd._get_sequence_nr()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._inside += 1  # torch holds it off the stack meanwhile, and puts it back
        try:
            if self.on and not self.found:
                if getattr(func, "__name__", "") in ("register_hook", "retain_grad"):
                    self.found = self.HOOK
                elif torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
                    self.found = self.PACKED
            out = func(*args, **(kwargs or {}))
            if self.on and isinstance(out, Tensor) and type(out).__torch_dispatch__ is not Tensor.__torch_dispatch__:
                self.found = self.found or f"a tensor is of a class of its own, {type(out).__name__}"
            return out
        finally:
            self._inside -= 1


_TIMES = frozenset({"mul", "mul_", "__mul__", "__rmul__", "__imul__"})
_WHERE = {"Name": "variable", "Attribute": "attribute", "Subscript": "entry", "Constant": "constant"}
_VECTOR = 64


def _is_loop_variable(tree: source.ast.expr, scope: Scope) -> bool:
    return isinstance(tree, source.ast.Name) and source.is_loop_variable(scope.code, tree.id)


def _trees(operation: str, values: Sequence[Any], scope: Scope) -> list[Any]:
    """The syntax trees of the operands, each where its value is; None where the expression does not say."""
    tree = source.expression(scope.code, scope.instruction)
    match tree:
        case source.ast.BinOp(left=left, right=right) if len(values) == 2:
            return [right, left] if _swapped(values, left, right, scope) else [left, right]
        case source.ast.Call(func=source.ast.Attribute(value=own, attr=called), args=given) if called == operation:
            if len(values) > 1 and len(given) == len(values):  # torch.add(a, b)
                return list(given)
            if len(given) == 1 and isinstance(given[0], source.ast.List | source.ast.Tuple):  # torch.stack([a, b])
                return list(given[0].elts) if len(given[0].elts) == len(values) else [None] * len(values)
            if len(values) == len(given) + 1 and not isinstance(source.value_in(own, scope), ModuleType):  # a.add(b)
                return [own, *given]
        case source.ast.UnaryOp(operand=operand) if len(values) == 1:
            return [operand]
    return [None] * len(values)


def _swapped(values: Sequence[Any], left: Any, right: Any, scope: Scope) -> bool:
    """`0.3 * kl` is computed by kl: the tensor comes first, whatever the text says."""
    first, second = values
    if isinstance(second, Tensor):
        return source.value_in(left, scope) is second or source.value_in(right, scope) is first
    if source.value_in(left, scope) is first or isinstance(right, source.ast.Constant):
        return False
    if source.value_in(right, scope) is first or isinstance(left, source.ast.Constant):
        return True
    for tree, answer in ((left, True), (right, False)):
        found = source.value_in(tree, scope)
        if isinstance(found, int | float) and found == second:
            return answer
    return _names_weight(source.text_of(left)) and not _names_weight(source.text_of(right))


def _names_weight(text: str) -> bool:
    return any(
        part in text.lower() for part in ("lam", "weight", "alpha", "beta", "gamma", "coef", "scale", "w_", "_w")
    )


def note_of(node: Any) -> Note | None:
    """What was noted of a node of the graph."""
    found = node.metadata.get(KEY)
    return found if isinstance(found, Note) else None


def _is_compiling_something() -> bool:
    """A compiled function would be compiled anew, since a mode appeared around it. The table is not public, and may go."""
    backends = getattr(sys.modules.get("torch._dynamo.eval_frame"), "cached_backends", {})
    return any(backend is not None for backend in backends.values())


def _caller() -> FrameType:
    frame = sys._getframe(2)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _before(func: Any, args: tuple) -> Tensor | None:
    """`total += term` of a number without a graph: after the call its operand is not what it was."""
    if getattr(func, "__name__", "") not in _IN_PLACE or not args or not isinstance(args[0], Tensor):
        return None
    with quietly():
        operand = None if args[0].requires_grad or args[0].numel() != 1 else plain(args[0])
        return None if operand is None else operand.detach().clone()


def _tensors(args: Any) -> Iterator[Tensor]:
    for value in args:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from (item for item in value if isinstance(item, Tensor))


def _name(func: Any) -> str:
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return name


def _number(out: Tensor) -> Any:
    """The sum of the numbers, nan if they cannot be looked at; on an accelerator a tensor, so that nobody waits."""
    seen = plain(out)
    if seen is None:
        return float("nan")
    total = seen.detach().sum() if seen.dim() else seen.detach()
    return total.item() if total.device.type == "cpu" else total.clone()
