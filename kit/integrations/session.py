"""What every callback does: open a watch, hand numbers over and on, close it, say what was found."""

from __future__ import annotations

import builtins
import functools
import importlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from kit.diagnosis import Diagnosis, diagnose
from kit.integrations.displayed import Displayed
from kit.integrations.frames import when_over
from kit.recording import Trace, watch
from kit.recording.watching import Watch

_log = logging.getLogger("kit")  # a warning that is an error would stop the training
Event = TypeVar("Event", bound=Callable[..., Any])


class Unfinished(Exception):
    """Stands in ``trace.facts["ended"]`` for an exception that the trainer did not tell its callbacks of."""


class Session:
    """One callback's watch, of one training after the other.

    Raises:
        TypeError, ValueError: an option that ``kit.watch`` does not take.
    """

    def __init__(self, name: str, print: bool, options: Mapping[str, Any]) -> None:
        watch(**options)
        self._name, self._print, self._options = name, print, dict(options)
        self._run: Watch | None = None
        self._trace: Trace | None = None
        self._diagnosis: Diagnosis | None = None
        self._written, self._noted = 0, set[str]()
        self._call_off: Callable[[], None] = _nothing
        self.displayed = Displayed()
        self.speaks = True
        self.asked: Exception | None = None  # what on_finding= had the watch raise at its end

    def open(self, passing_on: Collection[str] | None, speaks: bool = True) -> None:
        """The training begins. `passing_on`: see ``frames.when_over``; `speaks`: of several processes, one."""
        self.close()
        self._trace = self._diagnosis = None
        self._written, self.speaks = 0, speaks
        run = watch(**self._options)
        run.__enter__()
        self._run, self.displayed = run, Displayed(run)
        self._call_off = when_over(passing_on, self._is_over)

    def close(self, error: type[BaseException] | None = None) -> None:
        """The training is over; the second time nothing happens."""
        run, self._run = self._run, None
        if run is None:
            return
        self._call_off()
        self._call_off, self.displayed = _nothing, Displayed()
        try:
            run.__exit__(error, None, None)
        except Exception as asked:
            self.asked = asked
            raise
        finally:
            self._trace = run.trace
            if self._print and self.speaks:
                builtins.print(self.diagnosis)

    def _is_over(self) -> None:
        try:
            self.close(Unfinished)
        except Exception as error:  # noqa: BLE001 - it runs where the trainer's frame is taken down, between lines of the program
            self.note(error)

    def new_scalars(self) -> dict[str, float]:
        """What a step that was read meanwhile adds to the trainer's own log; empty if there was none."""
        run = self._run
        if run is None or run.scalars_step <= self._written:
            return {}
        self._written = run.scalars_step
        return run.scalars

    @property
    def scalars(self) -> dict[str, float]:
        return {} if self._run is None else self._run.scalars

    def note(self, error: Exception) -> None:
        """Said once, and the training goes on."""
        said = f"{type(error).__name__}: {str(error)[:200]}"
        if said not in self._noted:
            self._noted.add(said)
            _log.warning("kit.integrations.%s could not do its part, and the training goes on: %s", self._name, said)

    @property
    def trace(self) -> Trace:
        if self._trace is not None:
            return self._trace
        if self._run is not None:
            return self._run.trace
        raise RuntimeError(
            f"callback.trace and callback.diagnosis should be asked for after a training. Found none that {self._name} watched."
        )

    @property
    def diagnosis(self) -> Diagnosis:
        if self._diagnosis is not None:
            return self._diagnosis
        found = diagnose(self.trace)
        if self._run is None:
            self._diagnosis = found
        return found


class Watching:
    """What the callbacks have in common.

    Args:
        print: whether the first lines of the diagnosis are printed when the training ends.
        options: those of ``kit.watch``: ``loss=``, ``weights=``, ``probe_every=``, ``every=``, ...
    """

    session_: Session  # skorch takes what ends otherwise for an argument

    def __init__(self, *, print: bool = True, **options: Any) -> None:
        super().__init__()
        self.session_ = Session(type(self).__name__, print, options)

    @property
    def trace(self) -> Trace:
        """What was recorded, of the last training. RuntimeError: there was none."""
        return self.session_.trace

    @property
    def diagnosis(self) -> Diagnosis:
        """What ``kit.diagnose`` says of it. RuntimeError: there was no training."""
        return self.session_.diagnosis

    @property
    def scalars(self) -> dict[str, float]:
        """``term/<name>``, ``weight/<name>`` and ``grad_norm/<name>`` of the last step that was read; empty before and after."""
        return self.session_.scalars

    def close(self) -> None:
        """End the watch now, where a trainer was left by an exception that somebody keeps. The training itself goes on."""
        self.session_.close(Unfinished)


def guarded(event: Event) -> Event:
    """An event of a trainer: what goes wrong in it is noted, and not raised into the training, unless that was asked for."""

    @functools.wraps(event)
    def heard(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return event(self, *args, **kwargs)
        except Exception as error:  # the trainer of somebody else, of any version: its run is worth more
            if error is self.session_.asked:
                raise
            self.session_.note(error)
            return None

    return heard  # type: ignore[return-value]


def part_of(module: str, name: str, for_what: str, package: str = "") -> Any:
    """A class of another package. ImportError: it is not installed."""
    package = package or module.partition(".")[0]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"kit.integrations.{for_what} should find the package {package}. Found none; install it: "
            f"python -m pip install {package}"
        ) from error


def _nothing() -> None:
    pass
