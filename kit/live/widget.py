"""`LivePanel`: train while you drag. The widget is a skin over `Training`; all drawing happens in the front end."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from kit.live.session import Session
from kit.live.training import Training
from kit.panel.assets import live_source, live_stylesheet


class LivePanel(Training, anywidget.AnyWidget):
    """A running training with its weights as sliders, its faults as switches, its curves, and what it says so far.

    session: what is trained, see `kit.live.session.Session`
    upper:   right end of the sliders (raised where a weight is larger)

    A slider acts twice. At once, as what-if on the last probed step, in the browser; and on the batches that follow, which
    are trained with the new weights. Training runs in slices on the kernel's event loop: cells can be run meanwhile (training
    waits for them), and an interrupt pauses it after the batch in hand. It pauses, too, when a newer panel is made, and when no
    view has been heard of for half a minute; nothing is lost then. No curve is stored in the notebook: keep `evidence()`.

    Read: `session`, `curves`, `state` ("ready", "running", "paused", "finished" or "retired"), `error` (the exception that
    stopped the last batch, or None). Set: `weights`, `faults`.
    """

    _esm = live_source()
    _css = live_stylesheet()

    title = traitlets.Unicode().tag(sync=True)

    def __init__(self, session: Session, *, upper: float = 2.0) -> None:
        self.begin(session, upper)
        anywidget.AnyWidget.__init__(self, title=session.title)
        self.on_msg(self._receive)
        if self.comm is not None and hasattr(self.comm, "on_close"):
            reference = weakref.ref(self)

            def closed(_message: Any) -> None:
                if (panel := reference()) is not None:
                    panel._home.do(panel.pause)

            self.comm.on_close(closed)

    def send(self, message: Mapping[str, Any], buffers: Any = None) -> None:
        anywidget.AnyWidget.send(self, message, buffers)

    # What the views send, and what they get.

    def _receive(self, _widget: LivePanel, content: Any, _buffers: Any) -> None:
        if not isinstance(content, Mapping):
            return
        self._unheard = 0.0
        acts: dict[object, Callable[[], None]] = {
            "hello": self._greet,
            "start": self.start,
            "pause": self.pause,
            "step": self.steps,
            "reset": self.reset,
            "weights": lambda: self._weights_sent(content),
            "faults": lambda: self._faults_sent(content),
        }
        if (act := acts.get(content.get("type"))) is not None:
            self._home.do(lambda: self._acted(act))

    def _acted(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (TypeError, ValueError, RuntimeError) as error:  # a button shows no traceback
            self._say(self.state, f"That was not done: {error}")
        except KeyboardInterrupt:
            self._slices.stop()
            self._interrupted()

    def _greet(self) -> None:
        if self.report is None and self.state == "ready":
            self._look()
        self.send(self.everything())

    def _weights_sent(self, content: Mapping[str, Any]) -> None:
        self.seq = content.get("seq", self.seq)
        if not content.get("done"):
            self._last["drag"] = self.clock()
        weights = content.get("weights", {})
        if not isinstance(weights, Mapping):
            raise TypeError(f"weights should be a mapping name -> number. Found a {type(weights).__name__}.")
        self._set_weights(weights, done=bool(content.get("done", True)))

    def _faults_sent(self, content: Mapping[str, Any]) -> None:
        self.faults = content.get("keys", ())

    # Its life.

    def close(self) -> None:
        if "_slices" in vars(self):  # not where the session was refused
            self._slices.stop()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        # where no widget runs this is what a reader sees; the curves stay out of the file
        return {**data, "text/html": "<p>Training live, while the kernel runs: run this cell to see it.</p>"}, metadata

    def __repr__(self) -> str:
        return f"LivePanel(title={self.title!r}, state={self.state!r}, step={self.session.step})"

    def __str__(self) -> str:
        planned = "" if self.session.planned is None else f" of {self.session.planned}"
        what = "to see it, open in Jupyter; without one, .steps(n) trains and .evidence() is the picture"
        return f"{self.title}: {self.state}, batch {self.session.step}{planned}; {what}"
