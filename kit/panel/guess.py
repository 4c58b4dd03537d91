"""`Guess`: a question with its possible answers as buttons, asked before something is measured and judged after it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from kit.panel.assets import guess_source, stylesheet


class Guess(anywidget.AnyWidget):
    """Which answer do you expect?

        guess = Guess("What does train read?", ["0", "above 0"])
        guess                                                      # buttons
        guess.judge({"0": False, "above 0": True}, "3.43 in every epoch")
        guess                                                      # "You guessed “0”: refuted. Measured: 3.43 in every epoch."

    question: what is asked.
    options:  the answers, at least two different ones.

    Read: `made`, the answer that was pressed, "" before. A guess may be made, and changed, after it was judged, too.

    Raises:
        ValueError: fewer than two answers, or one of them twice.
    """

    _esm = guess_source()
    _css = stylesheet()

    question = traitlets.Unicode().tag(sync=True)
    options: traitlets.List[Any] = traitlets.List().tag(sync=True)
    made = traitlets.Unicode().tag(sync=True)
    replies: traitlets.Dict[Any, Any] = traitlets.Dict().tag(sync=True)  # answer -> what is replied to it

    def __init__(self, question: str, options: Sequence[str]) -> None:
        options = list(options)
        if len(options) < 2 or len(set(options)) < len(options):
            raise ValueError(f"options should be two or more different answers. Found {options}.")
        self._verdicts: Mapping[str, str] = {}
        self._measured = ""
        super().__init__(question=question, options=options)

    def judge(self, holds: Mapping[str, bool], measured: str) -> None:
        """Say which answers hold, and of what was measured.

        Raises:
            ValueError: other answers than those that were offered.
        """
        if set(holds) != set(self.options):
            raise ValueError(f"holds should name the answers {self.options}. Found {list(holds)}.")
        self._verdicts = {answer: "confirmed" if holds[answer] else "refuted" for answer in self.options}
        self._measured = measured
        self.replies = {
            answer: f"You guessed \u201c{answer}\u201d: {verdict}. Measured: {measured}"
            for answer, verdict in self._verdicts.items()
        }

    def static_html(self) -> str:
        """The question and its answers for a reader where no widget runs; each with its verdict once it is judged."""
        said = {answer: f": {verdict}" for answer, verdict in self._verdicts.items()}
        rows = "".join(f"<li>{html.escape(answer)}{said.get(answer, '')}</li>" for answer in self.options)
        measured = f"<p>Measured: {html.escape(self._measured)}</p>" if self._measured else ""
        return f"<p>Your guess: <strong>{html.escape(self.question)}</strong></p><ul>{rows}</ul>{measured}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, "text/html": self.static_html()}, metadata

    def __repr__(self) -> str:
        return f"Guess(question={self.question!r}, made={self.made!r})"

    def __str__(self) -> str:
        return self.replies.get(self.made, f"{self.question} {' / '.join(self.options)}")
