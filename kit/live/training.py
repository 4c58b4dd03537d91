"""A live training without its widget: what can be done with it, when it pauses, and what its views get."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from kit.live.curves import Curves
from kit.live.event_loop import Home, Slices
from kit.live.figure import live_evidence
from kit.live.finding import finding_of, name_of
from kit.live.marks import changed_weights, fault_marks
from kit.live.probe_points import probe_points
from kit.live.session import Session, StepResult
from kit.live.state import State
from kit.panel.data import ShownProbe, slider_end
from kit.plots import Evidence
from kit.report import Finding

SLICE = 0.03  # seconds of training before the kernel listens again; a single batch may take longer
REST = 0.004
YIELD, DRAGGED = (
    0.03,
    0.4,
)  # a longer rest while somebody drags: on a small machine the browser needs the processor, too
FLUSH = 0.1
UNHEARD = 30.0  # seconds without a sign of life from any view, after which training pauses
SPEAK = 2.0

_trainings: weakref.WeakSet[Training] = weakref.WeakSet()


class Training(State):
    """What `LivePanel` can do; `send(message)` reaches its views. One of them at a time trains in a kernel."""

    clock: Callable[[], float] = staticmethod(time.monotonic)  # seconds

    def begin(self, session: Session, upper: float) -> None:
        if not isinstance(session, Session):
            raise TypeError(
                "session should be a kit.live.SystemSession or a kit.live.OwnSession, or have what Session lists. "
                f"Found a {type(session).__name__}; for an own training pass "
                "kit.live.OwnSession.of(model, loss, optimizer, batches)."
            )
        self.session = session
        self.curves = Curves()
        self.state = "ready"
        self.error = None
        self.status = self.line = ""
        self.weights_at_start = dict(session.weights)
        start = SimpleNamespace(weights=list(session.weights.values()), adjustable=[True] * len(session.weights))
        self.upper = slider_end({"": start}, (), upper)
        self.report = None
        self.probed_at = 0
        self._fresh = False  # nothing but weights has changed since the report
        self._look_due, self._look_cost = False, 0.0
        self._before: tuple[dict[str, float], int] | None = (
            None  # weights and part of the curves before the first change
        )
        self.seq = 0
        self.epoch = 0
        self._news: set[str] = set()
        self._dragged_from: dict[str, float] = {}
        self._last = dict.fromkeys(("flush", "tick", "drag", "line", "look"), -1e9)
        self._unheard = self._line_cost = 0.0
        self._slices = Slices(self._tick, self._interrupted)
        self._home = Home()
        for other in list(_trainings):
            if other.session is session:
                other.retire()
            else:
                other.pause("Paused: a newer panel was made. Start goes on.")
        _trainings.add(self)

    def send(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError

    # What a person does, from Python as from the panel.

    def start(self) -> None:
        """Train until paused or finished; a second start changes nothing. RuntimeError outside a notebook."""
        if self._home.loop is None:
            raise RuntimeError(
                "A training that goes on by itself should be made in a notebook, which has an event loop. Found none; "
                "call .steps(n) instead."
            )
        if self._may_train() and not self._slices.running:
            self._slices.start(self._home.loop)
            self._unheard, self._last["tick"] = 0.0, self.clock()
            self._say("running")

    def pause(self, why: str = "") -> None:
        """Stop after the batch in hand, look at the network as it is now, and weigh what was seen."""
        was_running = self._slices.running
        self._slices.stop()
        if was_running:
            self._rest(why)

    def steps(self, n: int = 1) -> None:
        """Train on `n` batches now, and pause. Stops early at the end, or at an error, which is in `error`."""
        self._slices.stop()
        for _ in range(n):
            if not (self._may_train() and self._one()):
                break
        else:
            self._rest("")

    def reset(self) -> None:
        """As at the very start: curves, marks, faults and weights set by hand are gone."""
        self._slices.stop()
        if self.state == "retired":
            return
        self.session.reset()
        self.curves, self.error, self.report, self.epoch = Curves(), None, None, 0
        self._dragged_from.clear()
        self._fresh, self._look_due, self._before = False, False, None
        self._last["line"] = -1e9
        self.line = ""
        self._look()
        self._say("ready", "Back at the very start.", everything=True)

    @property
    def weights(self) -> dict[str, float]:
        """The setting of the sliders: what was set by hand, and what is in force for the rest."""
        return self.setting

    @weights.setter
    def weights(self, weights: Mapping[str, float]) -> None:
        self._set_weights(weights, done=True)

    @property
    def faults(self) -> tuple[str, ...]:
        """Keys of the faults that are on."""
        return tuple(self.session.active)

    @faults.setter
    def faults(self, keys: Iterable[str]) -> None:
        before = self.faults
        self._refuse_if_retired()
        self.session.set_faults(tuple(keys))
        for mark in fault_marks(self.session, before):
            self.curves.mark(mark, goes_on=False)
        if self.faults != before:
            self.curves.change()
            self._before, self._fresh = None, False
        self._news.add("marks")
        self._look()
        self._say(self.state)

    def evidence(self) -> Evidence:
        """What was seen so far as a figure with its words and numbers, for a finding or the journal."""
        return live_evidence(self.curves, self.title, self.line)

    def finding(self) -> Finding:
        """What was seen so far, ready to be kept; its panel is new."""
        return finding_of(self, self.evidence())

    def finding_name(self) -> str:
        """What was set by hand and how far it came: "lam_aux 0 + NaN gradients, 50 batches"."""
        return name_of(self)

    # Training.

    def _refuse_if_retired(self) -> None:
        if self.state == "retired":
            raise ValueError("A training should be changed in its newest panel. Found one that was made later.")

    def _may_train(self) -> bool:
        if self.state == "retired":
            return False
        if self.session.finished:
            self._say("finished", "The run is over. Reset starts it again.")
        return not self.session.finished

    def _tick(self) -> float | None:
        now = self.clock()
        # time spent in a cell is no silence of the views: they could not be heard
        self._unheard += min(now - self._last["tick"], 0.5)
        self._last["tick"] = now
        while self._one():
            if self.clock() - now > SLICE:
                break
        else:
            return None
        after = self.clock()
        if self._unheard > UNHEARD:
            self._slices.stop()
            self._rest(f"Paused: no view of this panel has answered for {UNHEARD:.0f} s.")
            return None
        if after - self._last["flush"] > FLUSH:
            self._speak(after)
            self._flush()
        return YIELD if after - self._last["drag"] < DRAGGED else REST

    def _one(self) -> bool:
        """One batch; False if it was the last, or failed."""
        try:
            self._see_change()
            result = self.session.advance()
        except Exception as error:  # noqa: BLE001  a step of the user's own may raise anything
            self._slices.stop()
            self.error = error
            said = str(error).strip().partition("\n")[0].rstrip(".")
            self._rest(f"Stopped before batch {self.session.step + 1}: {type(error).__name__}{said and f': {said}'}.")
            return False
        self.error = None
        self._fresh = False
        self._add(result)
        if self.session.finished:
            self._slices.stop()
            self._rest("The run is over. Reset starts it again.", "finished")
            return False
        return True

    def _add(self, result: StepResult) -> None:
        add, step = self.curves.add, result.step
        self.epoch = result.epoch
        plain = {
            "batch": result.loss, "train": result.train_loss, "val": result.val_loss, "grad": result.grad_norm,
            "taken": result.steps_taken, "lr": result.lr,
        }  # fmt: skip
        for name, value in plain.items():
            add(name, step, value)
        for term, value in result.terms.items():
            add(f"term:{term}", step, value)
        if result.probed is not None:
            self._probed(result.probed)

    def _probed(self, report: ShownProbe) -> None:
        if report is self.report:
            return
        self.report, self.probed_at = report, self.session.step
        self._fresh, self._look_due = True, False
        self._news.add("probe")
        if self._before is not None:  # the same network under the weights before: the other side of the change
            self._points(*self._before)
            self._before = None
        self._points()

    def _points(self, weights: Mapping[str, float] | None = None, part: int | None = None) -> None:
        assert self.report is not None  # points are of a probe that was just taken
        for name, value in probe_points(self.report, weights):
            self.curves.add(name, self.session.step, value, part)

    def _rest(self, why: str, state: str = "paused") -> None:
        self._look()
        self._speak(None)
        self._say(state, why)

    def _look(self) -> None:
        started = self.clock()
        report = self.session.look()
        self._last["look"] = self.clock()
        self._look_cost = self._last["look"] - started
        if report is not None:
            self._probed(report)

    def _see_change(self) -> None:
        """Before the next batch: what was changed since the last one becomes points, at the batch where it was changed.

        By algebra where the network was probed just now; else by a probe, as often as a third of the time allows.
        """
        if self._look_due and self._fresh:
            self._points(self.session.weights)
            self._look_due = False
        elif self._look_due and self.clock() - self._last["look"] >= 2 * self._look_cost:
            self._look()
            self._look_due = False
        self._before = None

    def _speak(self, now: float | None) -> None:
        """The diagnosis line; while running seldom enough to cost a twentieth of the time at most. None: now."""
        if now is not None and now - self._last["line"] < max(SPEAK, 20 * self._line_cost):
            return
        before = self.clock()
        self.line = self.session.diagnosis()
        self._last["line"] = self.clock()
        self._line_cost = self._last["line"] - before

    def _interrupted(self) -> None:
        self._rest("Paused: the kernel was interrupted.")

    def retire(self) -> None:
        """Another panel has taken over the session."""
        self._slices.stop()
        self._say("retired", "This training has moved to a newer panel.")

    # What the views are told.

    def _set_weights(self, weights: Mapping[str, float], done: bool) -> None:
        before, in_force, dragged = self.weights, dict(self.session.weights), bool(self._dragged_from)
        self._refuse_if_retired()
        self.session.set_weights(weights)
        mark, goes_on = changed_weights(self.session.step, before, self.weights, self._dragged_from)
        if mark is not None:
            self.curves.mark(mark, goes_on=goes_on)
            self._news.add("marks")
            self._before = self._before or (in_force, self.curves.part)
            self.curves.change()
        if done:
            self._look_due |= mark is not None or dragged
            self._dragged_from.clear()
        self._say(self.state)

    def _say(self, state: str, status: str = "", *, everything: bool = False) -> None:
        self.state, self.status = state, status
        if everything:
            self.curves.take()
            self._news.clear()
            self.send(self.everything())
        else:
            self._flush()

    def _flush(self) -> None:
        self._last["flush"] = self.clock()
        self.send(self.changed(self._news))
        self._news.clear()
