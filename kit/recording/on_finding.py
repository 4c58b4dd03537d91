"""While the run goes on: is something broken that stays broken? Said once, in the way that was asked for."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

from kit.recording.trace import Trace

BUDGET, FREE_LOOKS = 0.05, 2  # share of the run's time that looks may take, after the first two
FIRST_LOOK, LATER_BY = 20, 1.25  # looks at step 20, 26, 33, 42, ...: 28 in 10,000 steps

Act = Literal["print", "warn", "raise"] | Callable[[Any], Any]
WAYS = ("print", "warn", "raise")


class FindingError(RuntimeError):
    """A watched run was ended by what was found; ``diagnosis`` says all of it."""

    def __init__(self, diagnosis: Any, step: int) -> None:
        super().__init__(f"in step {step}:\n{diagnosis}")
        self.diagnosis, self.step = diagnosis, step


class FindingWarning(UserWarning):
    """What was found in a watched run that goes on."""


# how a run is judged: a trace, and whether it has ended -> the diagnosis, if it names something that is broken for certain
Judge = Callable[[Trace, bool], Any]
_judges: list[Judge] = []


def judged_by(judge: Judge) -> Judge:
    """Said by ``kit.diagnosis``, which knows the causes; this package only records."""
    _judges[:] = [judge]
    return judge


class Lookout:
    """Judges the run at a few steps, and acts when two looks in a row name the same cause.

    Args:
        act: what to do.
        trace: the run so far.
        clock: seconds.
    """

    def __init__(self, act: Act, trace: Callable[[], Trace], clock: Callable[[], float] = time.perf_counter) -> None:
        self._act, self._trace, self._clock = act, trace, clock
        self._began, self._spent = clock(), 0.0
        self._next, self.looks = FIRST_LOOK, 0
        self._suspect: str | None = None
        self._said: set[str] = set()
        self._due: tuple[Any, int] | None = None

    def step_ended(self, number: int) -> None:
        """After each step of the loop; a look costs what a diagnosis costs, a tenth of a second."""
        if number < self._next:
            return
        began = self._clock()
        if self.looks >= FREE_LOOKS and self._spent > BUDGET * (began - self._began):
            return  # later, when the run has taken longer
        self._next = int(number * LATER_BY) + 1
        try:
            self._look(number, ended=False)
        finally:
            self._spent += self._clock() - began

    def run_ended(self, number: int) -> None:
        self._look(number, ended=True)

    def _look(self, number: int, ended: bool) -> None:
        self.looks += 1
        found = _judges[0](self._trace(), ended)
        key = None if found is None else found.top.key
        again, self._suspect = ended or key == self._suspect, key
        if key is not None and again and key not in self._said:
            self._said.add(key)
            self._due = found, number

    def act(self) -> None:
        """Do what was asked for; the one place of a watch from which something reaches the program."""
        if self._due is None:
            return
        (found, step), self._due = self._due, None
        if self._act == "raise":
            raise FindingError(found, step)
        if self._act == "warn":
            warnings.warn(f"kit.watch, step {step}: {found}", FindingWarning, stacklevel=2)
        elif self._act == "print":
            print(f"kit.watch, step {step}: {found}", flush=True)
        elif callable(self._act):
            self._act(found)


def check_act(act: Any) -> None:
    if act is not None and act not in WAYS and not callable(act):
        raise ValueError(
            f"on_finding should be {', '.join(map(repr, WAYS))}, a function of the diagnosis, or None. Found {act!r}."
        )
    if act is not None and not _judges:
        raise RuntimeError(
            "on_finding needs what judges a run. Found only kit.recording; import kit.diagnosis, or use kit.watch."
        )
