"""What the method `components` of a loss returns to the loss, listened to while the loss runs.

The method is replaced on the class, for the time of the call: a copy or a pickle of the loss that is made meanwhile holds nothing
of the kit.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.compiler import is_compiling

from kit.recording.listeners import here

_NAME = "components"
_lock = threading.Lock()
_replaced: dict[type, tuple[types.FunctionType | None, int]] = {}


def listen_to(module: nn.Module) -> None:
    """Keep what this module's method returns in `here.overheard`, until `stop_listening`."""
    if here.overheard is not None or not _can_be_replaced(module):
        return
    with _lock:
        kind = type(module)
        original, calls = _replaced.get(kind, (vars(kind).get(_NAME), 0))
        if not calls:
            type.__setattr__(kind, _NAME, _passing_on(getattr(kind, _NAME)))
        _replaced[kind] = original, calls + 1
        here.overheard, here.offering = [], module


def stop_listening() -> None:
    """In this thread; the class is as it was once no thread listens."""
    if here.overheard is None:
        return
    kind = type(here.offering)
    here.overheard = here.offering = None
    with _lock:
        original, calls = _replaced.get(kind, (None, 0))
        if calls > 1:
            _replaced[kind] = original, calls - 1
        elif calls:
            _put_back(kind)


def stop_all() -> None:
    """Also what a thread left that was ended inside a call."""
    with _lock:
        for kind in list(_replaced):
            _put_back(kind)


def _put_back(kind: type) -> None:
    original, _ = _replaced.pop(kind)
    if not getattr(vars(kind).get(_NAME), "_passes_on", False):
        return  # somebody replaced ours meanwhile
    if original is None:
        type.__delattr__(kind, _NAME)  # it is inherited
    else:
        type.__setattr__(kind, _NAME, original)


def _can_be_replaced(module: nn.Module) -> bool:
    """A plain method of an eager module: what is compiled would have to be compiled anew."""
    compiled = getattr(module, "_compiled_call_impl", None) is not None
    if compiled or _NAME in vars(module) or hasattr(module.forward, "_torchdynamo_orig_callable"):
        return False
    return isinstance(getattr(type(module), _NAME, None), types.FunctionType)


def _passing_on(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def components(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        found = method(self, *args, **kwargs)
        if not is_compiling() and self is here.offering and here.overheard is not None:
            here.overheard.append(found)
        return found

    vars(components)["_passes_on"] = True
    return components
