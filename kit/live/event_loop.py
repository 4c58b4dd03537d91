"""Work in slices on the event loop of the kernel: no thread, nothing left behind."""

from __future__ import annotations

import asyncio
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType


class Home:
    """The event loop of the cell that made it. Everything that touches the training happens there, one thing after another.

    A kernel may handle the messages of widgets on another thread, with a loop of its own (JupyterLab's subshells).
    """

    def __init__(self) -> None:
        try:
            self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None
        self._thread = threading.get_ident()

    def do(self, act: Callable[[], None]) -> None:
        """Now, if this is home; else as soon as home is free."""
        if self.loop is None or self.loop.is_closed() or threading.get_ident() == self._thread:
            act()
        else:
            self.loop.call_soon_threadsafe(act)


class Slices:
    """Calls a method again and again, each time after the delay in seconds that it returned, until it returns None.

    The method's owner is held weakly: when nobody else holds it, the calls end. An interrupt of the kernel between two cells,
    which Jupyter would ignore, ends them, too, and calls `interrupted` of the owner, never in the middle of a call.
    """

    def __init__(self, method: Callable[[], float | None], interrupted: Callable[[], None]) -> None:
        self._method = weakref.WeakMethod(method)
        self._interrupted = weakref.WeakMethod(interrupted)
        self._handle: asyncio.Handle | None = None
        self._asked_to_stop = False

    @property
    def running(self) -> bool:
        return self._handle is not None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """A second start changes nothing. To be called on the loop's own thread."""
        if self.running:
            return
        self._asked_to_stop = False
        self._handle = loop.call_soon(_call, weakref.ref(self), loop)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if _in_main_thread() and getattr(signal.getsignal(signal.SIGINT), "slices", None) is self:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _listen(self) -> None:
        # Between cells ipykernel ignores SIGINT; that is the only handler replaced here, and what slices left that were stopped
        # inside a cell: ipykernel puts it back after the cell. While a cell runs, the interrupt is the cell's.
        if not _in_main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if handler is signal.SIG_IGN or (isinstance(handler, _Listener) and handler.idle):
            signal.signal(signal.SIGINT, _Listener(self))

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        method = self._method()
        if method is None:
            self.stop()
            return
        self._listen()
        try:
            delay = method()
        except KeyboardInterrupt:
            self._asked_to_stop = True
            delay = 0.0
        if self._handle is None:  # stopped meanwhile
            return
        if self._asked_to_stop or delay is None:
            self.stop()
            if self._asked_to_stop and (told := self._interrupted()) is not None:
                told()
            return
        self._handle = loop.call_later(delay, _call, weakref.ref(self), loop)


class _Listener:
    """A handler of SIGINT that does what ignoring it does, once its slices are gone or have stopped."""

    def __init__(self, slices: Slices) -> None:
        self._slices = weakref.ref(slices)

    @property
    def slices(self) -> Slices | None:
        return self._slices()

    @property
    def idle(self) -> bool:
        slices = self._slices()
        return slices is None or not slices.running

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        slices = self._slices()
        if slices is not None and slices.running:
            slices._asked_to_stop = True


def _call(reference: weakref.ref[Slices], loop: asyncio.AbstractEventLoop) -> None:
    slices = reference()
    if slices is not None:
        slices._call(loop)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
