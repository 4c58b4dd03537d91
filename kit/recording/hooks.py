"""Where training passes by: hooks that torch offers globally, and three functions that are replaced while somebody watches.

Installed when the first watch opens and taken out when the last one closes, whatever the order. What a hook hears goes to
every watch that is open for the thread; what a watch cannot cope with never reaches the training.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from kit.recording.listeners import Listener, act, audience, here, open_watches, set_open, tell
from kit.recording.module_calls import forget, forget_interrupted, hear_calls, in_backward, stop_hearing_calls

_COMPILED = r"Using `torch\.compile\(module\)` when there are global hooks"

_SPECIAL = ("create_graph", "grad_variables", "inputs")

_lock = threading.RLock()
_installed = ExitStack()


def listen(listener: Listener) -> None:
    forget_interrupted()
    with _lock:
        try:
            if not open_watches():
                _install()
            set_open((*open_watches(), listener))
            hear_calls()
            listener.opened()
        except BaseException:  # an interrupt: nobody will close what did not open
            leave(listener)
            raise


def leave(listener: Listener) -> None:
    with _lock:
        set_open(tuple(other for other in open_watches() if other is not listener))
        listener.closed()
        if not open_watches():
            _installed.close()
    forget_interrupted()


def _install() -> None:
    scaler = torch.amp.GradScaler
    try:
        _installed.callback(stop_hearing_calls)
        _installed.callback(register_optimizer_step_pre_hook(_before_step).remove)
        _installed.callback(register_optimizer_step_post_hook(_after_step).remove)
        _replace(torch.autograd, "backward", _backward)
        _replace(torch, "compile", _compile)
        _replace(scaler, "scale", _scale)
        _replace(scaler, "step", _scaler_step)
        # the hooks tell a compiled module from its inner one, so this warning of torch about them is not for the user
        warnings.filterwarnings("ignore", message=_COMPILED, category=UserWarning)
        _installed.callback(_drop_filter, warnings.filters[0])
    except BaseException:
        _installed.close()
        raise


def _replace(owner: Any, name: str, make: Callable[[Callable], Callable]) -> None:
    original = getattr(owner, name)
    ours = make(original)
    setattr(owner, name, ours)

    def put_back() -> None:
        # if somebody wrapped ours meanwhile, taking it out would take theirs out too; it only passes calls through now
        if getattr(owner, name) is ours:
            setattr(owner, name, original)

    _installed.callback(put_back)


def _drop_filter(entry: tuple) -> None:
    if entry in warnings.filters:
        warnings.filters.remove(entry)  # type: ignore[attr-defined]  # a list, of which typeshed says less


def _backward(original: Callable) -> Callable:
    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
        if not open_watches() or in_backward():
            return original(tensors, *args, **kwargs)
        forget_interrupted()
        roots = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
        here.special = any(more is not None and more is not False for more in (*args[2:], *map(kwargs.get, _SPECIAL)))
        tell("backward_begins", roots, args[0] if args else kwargs.get("grad_tensors"))
        here.in_backward = True
        failed = True
        try:
            original(tensors if isinstance(tensors, Tensor) else roots, *args, **kwargs)
            failed = False
        finally:
            here.in_backward = False
            tell("backward_ends", failed)
        act()

    return backward


def _compile(original: Callable) -> Callable:
    @functools.wraps(original)
    def compile(*args: Any, **kwargs: Any) -> Any:
        tell("compiles")
        return original(*args, **kwargs)

    return compile


def _before_step(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    if here.root is not None and not here.outer:
        forget()  # a step inside a module call: the module is a trainer, not a model
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    tell("step_begins", optimizer, closure is not None)
    if not callable(closure) or not audience():
        return None

    @functools.wraps(closure)
    def heard(*inner: Any, **options: Any) -> Any:
        value = closure(*inner, **options)
        tell("closure_ends", optimizer)
        return value

    if "closure" in kwargs:
        return args, {**kwargs, "closure": heard}
    return (args[0], heard, *args[2:]), kwargs


def _after_step(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
    tell("step_ends", optimizer)
    act()


def _scale(original: Callable) -> Callable:
    @functools.wraps(original)
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        if self.is_enabled():
            tell("scaled", self, scaled)
        return scaled

    return scale


def _scaler_step(original: Callable) -> Callable:
    @functools.wraps(original)
    def step(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.is_enabled():
            return original(self, optimizer, *args, **kwargs)
        tell("scaler_begins", self, optimizer)
        result = original(self, optimizer, *args, **kwargs)
        tell("scaler_ends", self, optimizer)
        return result

    return step
