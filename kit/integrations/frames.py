"""Who called a callback, and when the call that trains is over: not every trainer tells its callbacks of an exception."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any

from kit.stepgraph.source import KEPT, scope_of

_NEAR = 8  # looking into a call keeps its values until it ends, up to Python 3.12


class _Mark:
    """Lives as long as the frame that holds it."""


def caller(kind: type) -> Any:
    """The nearest ``self`` of this class among the last calls that run; None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_NEAR):
        if frame is None:
            break
        found = frame.f_locals.get("self")
        if isinstance(found, kind):
            return found
        frame = frame.f_back
    return None


def when_over(own: Collection[str] | None, act: Callable[[], None]) -> Callable[[], None]:
    """Call `act` once when the call that trains is gone, at the latest when Python ends. Returns what calls this off.

    own: names of functions that pass an event on to the callback; the call that trains is the first behind them. None: it is the
    program's own call, to which nothing is tied.

    A call that an exception ended is gone when the exception is: after its `except` block. A notebook keeps the last exception, so
    there it is the end of the cell.
    """
    mark = _Mark()
    marks = [] if own is not None and _tied(mark, own) else [mark]
    over = weakref.finalize(mark, act)
    shell, leave = _notebook(), _Leave(over)
    if shell is not None:
        shell.events.register("post_run_cell", leave)

    def call_off() -> None:
        over.detach()
        marks.clear()
        if shell is not None and leave in shell.events.callbacks["post_run_cell"]:
            shell.events.unregister("post_run_cell", leave)

    return call_off


def _tied(mark: _Mark, own: Collection[str]) -> bool:
    """Whether the mark could be made a thing of the call that trains."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_code.co_name in own or frame.f_globals.get("__name__", "").startswith("kit.")):
        frame = frame.f_back
    if (
        frame is None or not frame.f_code.co_flags & inspect.CO_NEWLOCALS
    ):  # of a script's own line: its names are the script's
        return False
    frame.f_locals[KEPT] = mark
    with scope_of(frame):
        pass  # up to Python 3.12, empties the copy of its other variables
    return True


class _Leave:
    """What IPython calls after a cell."""

    def __init__(self, over: weakref.finalize) -> None:
        self._over = over

    def __call__(self, *_: Any) -> None:
        self._over()


def _notebook() -> Any:
    """The shell of this process, if IPython runs it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
