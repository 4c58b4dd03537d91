"""Which outputs does a backward pass reach? Hooks on tensors of the user's graph, all of which are taken off again."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from kit.recording.epoch_ends import Forward
from kit.recording.listeners import ours
from kit.recording.norms import gradient_changed
from kit.recording.participants import TOTALS
from kit.stepgraph.plain import quietly

MOST = 4096  # passes whose outputs carry a hook at one time
MOST_LEAVES = 64


@dataclass(eq=False, slots=True, weakref_slot=True)
class Term:
    """A term by the name under which the program returned it. `reached`: some backward pass came by."""

    name: str
    reached: bool = False


def named_terms(output: Any) -> dict[str, Tensor]:
    """Of a mapping with two or more of them: scalars with a graph that are called a loss ("loss_box"), but not the total."""
    if not isinstance(output, Mapping):
        return {}
    found = {
        str(name): value
        for name, value in output.items()
        if isinstance(value, Tensor) and value.ndim == 0 and value.requires_grad and "loss" in str(name).lower()
    }
    return {name: value for name, value in found.items() if name not in TOTALS} if len(found) > 1 else {}


class Told(Protocol):
    """Who is told, under its lock."""

    lock: threading.RLock

    def reached(self, record: Forward | Term, grad: Tensor) -> None: ...
    def cannot(self, event: str, error: Exception) -> None: ...


class Hooked:
    """The graph holds a hook, and the hook holds a small record weakly; nothing here holds the graph.

    A leaf among the outputs (a parameter, the program's own input) outlives the pass and gets no hook: whether a backward pass came
    by is seen by its gradient.
    """

    def __init__(self, told: Told) -> None:
        self._told = weakref.ref(told)
        self._passes: deque[tuple[Forward | Term, list[RemovableHandle]]] = deque()
        self._leaves: deque[tuple[Forward | Term, weakref.ref, weakref.ref | None, int]] = deque(maxlen=MOST_LEAVES)

    def add(self, record: Forward | Term, outputs: Iterable[Tensor]) -> None:
        attached = [tensor for tensor in outputs if tensor.requires_grad]
        self._leaves += [(record, weakref.ref(t), *_gradient_of(t)) for t in attached if t.is_leaf]
        inner = [tensor for tensor in attached if not tensor.is_leaf]
        if not inner:
            return
        heard = partial(_reached, self._told, weakref.ref(record))
        # an output that the program saves is saved without a word about it
        vars(heard)["__torch_unserializable__"] = True
        ours.hooks += len(inner)
        self._passes.append((record, [tensor.register_hook(heard) for tensor in inner]))
        if len(self._passes) > MOST:
            self._drop()

    def backward_ended(self) -> None:
        """Look at the leaves among the outputs."""
        waiting, self._leaves = self._leaves, deque(maxlen=MOST_LEAVES)
        for record, held, gradient, version in waiting:
            leaf, before = held(), None if gradient is None else gradient()
            if leaf is None or record.reached:
                continue
            if (gradient is not None and before is None) or gradient_changed(leaf, before, version):
                _reached(self._told, weakref.ref(record), leaf.grad)
            else:
                self._leaves.append((record, held, gradient, version))

    def clear(self) -> None:
        self._leaves.clear()
        while self._passes:
            self._drop()

    def _drop(self) -> None:
        for handle in self._passes.popleft()[1]:
            handle.remove()


def _reached(told: weakref.ref, held: weakref.ref, grad: Tensor) -> None:
    me, record = told(), held()
    if me is None or record is None or ours.is_measuring(grad):
        return
    try:
        with me.lock, quietly():
            me.reached(record, grad)
    except Exception as error:  # noqa: BLE001 - this runs inside the user's backward pass, which a mistake of ours must not end
        me.cannot("reached", error)


def _gradient_of(leaf: Tensor) -> tuple[weakref.ref | None, int]:
    """Held weakly, and not by its id, which the next gradient may get."""
    return (None, -1) if leaf.grad is None else (weakref.ref(leaf.grad), leaf.grad._version)
