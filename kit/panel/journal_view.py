"""`JournalView`: the list of kept findings as a widget. It knows neither files nor findings, only rows and actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from kit.files import sentence
from kit.panel.assets import journal_source, stylesheet
from kit.panel.exported import Exporting


class JournalView(Exporting, anywidget.AnyWidget):
    """A list to rename, order, annotate and prune.

    rows:    () -> one mapping an entry, in order: key, name, note, verdict, kept (texts)
    actions: name -> what a button does with its message, returning the sentence for `status`: keep, rename, note, move,
             remove, restore, compare, export, refresh. One that writes a page tells the view: `say_written`
    offers:  titles of what "Keep this" can keep; none: no such button

    Errors that an action can meet (OSError, TypeError, ValueError, LookupError, RuntimeError) end in `status`, because a notebook
    shows no exception of a button.
    """

    _esm = journal_source()
    _css = stylesheet()

    entries: traitlets.List[Any] = traitlets.List().tag(sync=True)
    offers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    removed = traitlets.Unicode().tag(sync=True)
    compared = traitlets.Unicode().tag(sync=True)  # two entries side by side, as escaped HTML

    def __init__(
        self,
        rows: Callable[[], Sequence[Mapping[str, str]]],
        actions: Mapping[str, Callable[[Mapping[str, Any]], str]],
        *,
        offers: Sequence[str] = (),
    ) -> None:
        self._rows, self._actions = rows, dict(actions)
        super().__init__(entries=[dict(row) for row in rows()], offers=list(offers))
        self.on_msg(self._receive)

    def act(self, message: Mapping[str, Any]) -> None:
        """What pressing a button does; `message` holds `action` and what it needs."""
        action = message.get("action")
        if action not in self._actions:
            self.say_nothing_written(f"could not act: unknown action {action!r}")
            return
        try:
            with self.hold_sync():  # one message: the view moves the focus by what is left
                self.say_nothing_written("")
                self.status = self._actions[action](message)
                rows = self._rows()
                self.removed = message["key"] if action == "remove" else ""
                self.entries = [dict(row) for row in rows]
        except (OSError, TypeError, ValueError, LookupError, RuntimeError) as error:
            self.say_nothing_written(f"could not {action}: {sentence(error, 'write')}")

    def _receive(self, _widget: JournalView, content: Any, _buffers: Any) -> None:
        if not self.hear_download(content) and isinstance(content, Mapping) and "action" in content:
            self.act(content)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        # where no widget runs this is what a reader sees; whatever was kept stays out of the notebook file
        return {
            **data,
            "text/html": "<p>Journal of findings: run the notebook to keep, compare and export.</p>",
        }, metadata

    def __repr__(self) -> str:
        return f"JournalView(findings={len(self.entries)})"
