"""Which outputs does a backward pass reach? Hooks on tensors of the user's graph, all of which are taken off again."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from kit.watch.phases import Forward

MOST = 4096  # passes whose outputs carry a hook at one time


class Told(Protocol):
    """Who is told, under its lock."""

    lock: threading.RLock

    def reached(self, forward: Forward) -> None: ...
    def cannot(self, event: str, error: Exception) -> None: ...


class Hooked:
    """The graph holds a hook, and the hook holds a small record weakly; nothing here holds the graph."""

    def __init__(self, told: Told) -> None:
        self._told = weakref.ref(told)
        self._passes: deque[tuple[Forward, list[RemovableHandle]]] = deque()

    def add(self, forward: Forward, outputs: Iterable[Tensor]) -> None:
        attached = [tensor for tensor in outputs if tensor.requires_grad]
        if not attached:
            return
        heard = partial(_reached, self._told, weakref.ref(forward))
        self._passes.append((forward, [tensor.register_hook(heard) for tensor in attached]))
        if len(self._passes) > MOST:
            self._drop()

    def clear(self) -> None:
        while self._passes:
            self._drop()

    def _drop(self) -> None:
        for handle in self._passes.popleft()[1]:
            handle.remove()


def _reached(told: weakref.ref, forward: weakref.ref, _: Tensor) -> None:
    me, record = told(), forward()
    if me is None or record is None:
        return
    try:
        with me.lock:
            me.reached(record)
    except Exception as error:  # noqa: BLE001 - this runs inside the user's backward pass, which a mistake of ours must not end
        me.cannot("reached", error)
