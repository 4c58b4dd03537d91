"""Who hears what passes by: the open watches, and what this thread is in the middle of."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from kit.stepgraph import sandboxes
from kit.stepgraph.plain import quietly


@dataclass(eq=False)
class Call:
    """One outermost module call.

    `nested`: calls inside that returned a 0-d value; `inside`: modules that ran in it; `offered`: what the module's own
    `components` returned to it meanwhile; `flow`: (module, its arguments, None) and (module, None, its output) of the modules in
    it, in their order, if a watch wants them.
    """

    module: nn.Module
    args: tuple
    kwargs: dict
    output: Any
    grad: bool
    training: bool
    failed: bool = False
    nested: list[Call] = field(default_factory=list)
    inside: list[nn.Module] = field(default_factory=list)
    offered: Any = None
    flow: list[tuple[nn.Module, Any, Any]] = field(default_factory=list)


class Listener(Protocol):
    """What a watch has to offer; each method may raise, and the training will not notice."""

    thread: int
    sandboxes: int
    lock: threading.RLock
    lookout: Any
    given: nn.Module | None

    def opened(self) -> None: ...
    def closed(self) -> None: ...
    def compiles(self) -> None: ...
    def knows(self, module: nn.Module) -> bool: ...
    def wants_terms(self, module: nn.Module) -> bool: ...
    def wants_flow(self) -> bool: ...
    def called(self, call: Call) -> None: ...
    def backward_begins(self, roots: tuple[Any, ...], weights: Any) -> None: ...
    def backward_ends(self, failed: bool) -> None: ...
    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool) -> None: ...
    def closure_ends(self, optimizer: torch.optim.Optimizer) -> None: ...
    def step_ends(self, optimizer: torch.optim.Optimizer) -> None: ...
    def scaled(self, scaler: Any, outputs: Any) -> None: ...
    def scaler_begins(self, scaler: Any, optimizer: Any) -> None: ...
    def scaler_ends(self, scaler: Any, optimizer: Any) -> None: ...
    def cannot(self, event: str, error: Exception) -> None: ...


class Ours:
    """What watches do inside of a graph: how many hooks they made, and the threads in which one runs backward passes of its own."""

    def __init__(self) -> None:
        self.hooks = 0
        self.measuring: set[int] = set()

    thread = staticmethod(threading.get_ident)

    def is_measuring(self, gradient: Any) -> bool:
        """Whether this gradient comes from such a pass; those of an accelerator arrive in a thread of torch's own."""
        if not self.measuring:
            return False
        return self.thread() in self.measuring or getattr(gradient, "is_cpu", True) is False


ours = Ours()


class Here(threading.local):
    """What goes on in this thread: the outermost module call, and whether a backward pass runs.

    `outer` and `around`: a call that the given model was found inside of; `offering` and `overheard`: the loss whose `components`
    is listened to, and what it returned.
    """

    root: nn.Module | None = None
    frame: Any = None
    depth = 0
    grad = training = in_backward = False
    special = False  # the backward pass that begins is asked for something beside the gradients of all leaves
    nested: list[Call] | None = None
    inside: list[nn.Module] | None = None
    overheard: list[Any] | None = None
    offering: nn.Module | None = None
    flow: list[tuple[nn.Module, Any, Any]] | None = None
    outer: tuple = ()
    around = False


here = Here()
_open: tuple[Any, ...] = ()
_inside = False  # whether one of them was opened inside of a sandbox
given: frozenset[int] = frozenset()  # ids of the models that were given to open watches


def open_watches() -> tuple[Any, ...]:
    return _open


def set_open(watches: tuple[Any, ...]) -> None:
    global _open, _inside, given
    _open, _inside = watches, any(watch.sandboxes for watch in watches)
    given = frozenset(id(watch.given) for watch in watches if watch.given is not None)


def audience() -> Sequence[Any]:
    """Watches opened by this thread, else those of other threads: two threads with a watch each do not mix.

    Of a sandbox (a probe, a check) only a watch hears that was opened inside of it.
    """
    depth = sandboxes()
    near = _open if depth == 0 and not _inside else tuple(watch for watch in _open if watch.sandboxes == depth)
    if len(near) < 2:
        return near
    thread = threading.get_ident()
    own = [listener for listener in near if listener.thread == thread]
    return own or near


def tell(event: str, *details: Any) -> None:
    for listener in audience():
        try:
            with listener.lock, quietly():
                getattr(listener, event)(*details)
        except Exception as error:  # noqa: BLE001 - the training is not ours: a mistake of the instrument must not end it; it is noted
            listener.cannot(event, error)


def act() -> None:
    """What somebody asked to be done with a finding; it may raise, as asked."""
    for listener in audience():
        if listener.lookout is not None:
            listener.lookout.act()
