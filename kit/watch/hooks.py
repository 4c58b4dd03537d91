"""Where training passes by: hooks that torch offers globally, and three functions that are replaced while somebody watches.

Installed when the first watch opens and taken out when the last one closes, whatever the order. What a hook hears goes to
every watch that is open for the thread; what a watch cannot cope with never reaches the training.
"""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from kit.watch import audience as state
from kit.watch.audience import Call, Listener, audience, here, open_watches, set_open, tell

_COMPILED = r"Using `torch\.compile\(module\)` when there are global hooks"

_lock = threading.RLock()
_installed = ExitStack()


def listen(listener: Listener) -> None:
    with _lock:
        if not open_watches():
            _install()
        set_open((*open_watches(), listener))


def leave(listener: Listener) -> None:
    with _lock:
        was = open_watches()
        set_open(tuple(other for other in was if other is not listener))
        if was and not open_watches():
            _installed.close()
    if here.root is not None and not _runs(here.frame):
        _forget()


def _install() -> None:
    scaler = torch.amp.GradScaler
    try:
        for handle in (
            register_module_forward_pre_hook(_before_call),
            register_module_forward_hook(_after_call, with_kwargs=True, always_call=True),
            register_optimizer_step_pre_hook(_before_step),
            register_optimizer_step_post_hook(_after_step),
        ):
            _installed.callback(_remove, handle)
        _replace(torch.autograd, "backward", _backward)
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


def _remove(handle: RemovableHandle) -> None:
    handle.remove()
    # torch 2.13 leaves the note behind that this hook takes keywords; the table is not public, and may go
    getattr(torch.nn.modules.module, "_global_forward_hooks_with_kwargs", {}).pop(handle.id, None)


def _drop_filter(entry: tuple) -> None:
    if entry in warnings.filters:
        warnings.filters.remove(entry)


def _in_backward() -> bool:
    """Recomputation of checkpoints calls modules inside a backward pass, on CUDA from another thread.

    Not public; torch.utils.checkpoint asks the same way, and there is no public question for it.
    """
    return here.in_backward or torch._C._current_graph_task_id() != -1


def _before_call(module: nn.Module, args: tuple) -> None:
    if is_compiling():
        return
    if here.root is not None:
        if module is here.root:
            if _runs(here.frame):
                here.depth += 1
                return
            _forget()  # its call was ended by something like KeyboardInterrupt, of which hooks are not told
        elif id(module) not in state.given:
            if here.inside is not None:
                here.inside.append(module)
            if here.flow is not None and torch.is_grad_enabled():
                here.flow.append((module, args, None))
            return
        else:  # the given model inside a call of something larger: the model is what is watched
            here.outer = (here.root, here.frame, here.depth, here.nested, here.inside, here.flow, here.outer)
            _stop_overhearing()
    if here.muted or _in_backward() or getattr(module, "_is_replica", False):
        return
    here.root, here.frame, here.depth = module, sys._getframe(1), 0
    here.grad, here.training = torch.is_grad_enabled(), module.training
    here.nested, here.around = [], False
    watches = open_watches()
    here.inside = None if all(watch.knows(module) for watch in watches) else []
    here.flow = [] if here.grad and any(watch.wants_flow() for watch in watches) else None
    if "components" not in vars(module) and any(watch.wants_terms(module) for watch in watches):
        _overhear(module)


def _after_call(module: nn.Module, args: tuple, *rest: Any) -> None:
    """`rest` is (kwargs, output), or (output,) when the call raised."""
    if is_compiling():
        return
    if module is not here.root:
        output = rest[-1]
        if here.flow is not None:
            here.flow.append((module, None, output))
        if here.nested is not None and type(output) is Tensor and output.ndim == 0 and len(rest) == 2:
            here.nested.append(Call(module, args, rest[0], output, torch.is_grad_enabled(), module.training))
        return
    if here.depth:
        here.depth -= 1
        return
    failed = len(rest) == 1
    kwargs = {} if failed else rest[0]
    nested = [] if failed else here.nested
    call = Call(module, args, kwargs, rest[-1], here.grad, here.training, failed, nested, here.inside or [])
    call.flow = [] if failed else here.flow or []
    if here.overheard is not None:
        call.offered = here.overheard[-1] if here.overheard else None
    around = here.around
    if here.outer:
        here.root, here.frame, here.depth, here.nested, here.inside, here.flow, here.outer = here.outer
        here.around = True
    else:
        _forget()
    if not around:
        tell("called", call)
        return
    for inner in nested:  # what stands around the given model is no network of its own, but may call the loss
        tell("called", inner)


def _runs(frame: Any) -> bool:
    now = sys._getframe(1)
    while now is not None and now is not frame:
        now = now.f_back
    return now is not None


def _overhear(module: nn.Module) -> None:
    """While the loss runs, an attribute of its own stands before its method `components`: the terms need not be made twice."""
    method = module.components
    heard = here.overheard = []

    @functools.wraps(method)
    def components(*args: Any, **kwargs: Any) -> Any:
        found = method(*args, **kwargs)
        heard.append(found)
        return found

    vars(module)["components"] = components


def _stop_overhearing() -> None:
    if here.overheard is not None:
        vars(here.root).pop("components", None)
        here.overheard = None


def _forget() -> None:
    _stop_overhearing()
    here.root = here.frame = here.nested = here.inside = here.flow = None
    here.depth, here.outer, here.around = 0, (), False


def _backward(original: Callable) -> Callable:
    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
        if not open_watches() or _in_backward():
            return original(tensors, *args, **kwargs)
        roots = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
        tell("backward_begins", roots, args[0] if args else kwargs.get("grad_tensors"))
        here.in_backward = True
        failed = True
        try:
            original(tensors if isinstance(tensors, Tensor) else roots, *args, **kwargs)
            failed = False
        finally:
            here.in_backward = False
            tell("backward_ends", failed)

    return backward


def _before_step(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    if here.root is not None and not here.outer:
        _forget()  # a step inside a module call: the module is a trainer, not a model
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
