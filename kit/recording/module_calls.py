"""Calls of modules, as torch's global hooks hear them: the outermost of each is told to the watches.

No module carries a hook of ours: one that is copied or saved inside its own call takes nothing along.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from kit.recording import listeners as state
from kit.recording.listeners import Call, here, open_watches, tell
from kit.recording.offered import listen_to, stop_all, stop_listening
from kit.stepgraph.plain import is_tracing

_lock = threading.RLock()
_global: dict[RemovableHandle, Callable[..., None]] = {}


def hear_calls() -> None:
    """Of all modules, as long as somebody watches."""
    with _lock:
        if not _global and open_watches():
            _global[register_module_forward_pre_hook(_before_call)] = _before_call
            heard = register_module_forward_hook(_after_call, with_kwargs=True, always_call=True)
            _global[heard] = _after_call


def stop_hearing_calls() -> None:
    stop_all()
    with _lock:
        while _global:
            handle, _ = _global.popitem()
            handle.remove()
            # torch 2.13 leaves the note behind that this hook takes keywords; the table is not public, and may go
            getattr(torch.nn.modules.module, "_global_forward_hooks_with_kwargs", {}).pop(handle.id, None)


def forget_interrupted() -> None:
    """A call whose end no hook was told of: after something like KeyboardInterrupt, or since nobody watched any more."""
    if here.root is not None and not _runs(here.frame):
        forget()


def in_backward() -> bool:
    """Recomputation of checkpoints calls modules inside a backward pass, on CUDA from another thread.

    Not public; torch.utils.checkpoint asks the same way, and there is no public question for it.
    """
    return here.in_backward or torch._C._current_graph_task_id() != -1


def _before_call(module: nn.Module, args: tuple) -> None:
    if is_compiling():  # the compiler follows this function no further than its own question
        return
    root = here.root
    inner = root is not None and module is not root and id(module) not in state.given
    if (inner and here.inside is None and here.flow is None) or is_tracing():
        return  # of most calls nothing is asked
    if root is not None:
        if module is root:
            if _runs(here.frame):
                here.depth += 1
                return
            forget()  # its call was ended by something like KeyboardInterrupt, of which hooks are not told
        elif inner:
            if here.inside is not None:
                here.inside.append(module)
            if here.flow is not None and torch.is_grad_enabled():
                here.flow.append((module, args, None))
            return
        else:  # the given model inside a call of something larger: the model is what is watched
            here.outer = (here.root, here.frame, here.depth, here.nested, here.inside, here.flow, here.outer)
            stop_listening()
    if in_backward() or vars(module).get("_is_replica", False):
        return
    here.root, here.frame, here.depth = module, sys._getframe(1), 0
    here.grad, here.training = torch.is_grad_enabled(), module.training
    here.nested, here.around = [], False
    watches = open_watches()
    known, flow, terms = True, False, False
    for watch in watches:
        known = known and watch.knows(module)
        flow = flow or (here.grad and watch.wants_flow())
        terms = terms or watch.wants_terms(module)
    here.inside, here.flow = None if known else [], [] if flow else None
    if terms:
        listen_to(module)


def _after_call(module: nn.Module, args: tuple, *rest: Any) -> None:
    """`rest` is (kwargs, output), or (output,) when the call raised."""
    if is_compiling() or (root := here.root) is None:
        return
    output = rest[-1]
    inside = module is not root
    if (inside and here.flow is None and (type(output) is not Tensor or output.ndim)) or is_tracing():
        return
    if inside:
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
    nested = [] if failed else here.nested or []
    call = Call(module, args, kwargs, output, here.grad, here.training, failed, nested, here.inside or [])
    call.flow = [] if failed else here.flow or []
    if here.overheard is not None:
        call.offered = here.overheard[-1] if here.overheard else None
    around = here.around
    if here.outer:
        here.root, here.frame, here.depth, here.nested, here.inside, here.flow, here.outer = here.outer
        here.around = True
    else:
        forget()
    if not around:
        tell("called", call)
        return
    for inner in nested:  # what stands around the given model is no network of its own, but may call the loss
        tell("called", inner)


def _runs(frame: Any) -> bool:
    now: FrameType | None = sys._getframe(1)
    while now is not None and now is not frame:
        now = now.f_back
    return now is not None


def forget() -> None:
    """No call runs in this thread, or none that is of interest."""
    stop_listening()
    here.root = here.frame = here.nested = here.inside = here.flow = None
    here.depth, here.outer, here.around = 0, (), False
