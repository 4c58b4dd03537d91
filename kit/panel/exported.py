"""Where a page was written, in one form wherever it is said: the path once, a link that opens it, a copy to download."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from kit.files import sentence, shown
from kit.panel.assets import stylesheet, written_source


class Exporting(traitlets.HasTraits):
    """Part of a widget that writes a page.

    `status` is what to read. `written` is for the front end: `name` of the file, and `path` from the folder of the
    notebook, of which the front end makes an address where the notebook server serves files.
    """

    status = traitlets.Unicode().tag(sync=True)
    written = traitlets.Dict().tag(sync=True)
    _page: Path | None = None
    send: Callable[..., None]  # of the widget

    def say_written(self, path: object, said: str = "") -> None:
        """`path` is there now; None (or what is no path) leads nowhere."""
        try:
            self._page = Path(os.fspath(path))  # type: ignore[call-overload]  # of anything: the TypeError is asked for
        except TypeError:
            self._page, self.written = None, {}
        else:
            self.written = {"name": self._page.name, "path": _from_notebook(self._page)}
        self.status = said or f"wrote {path if self._page is None else shown(self._page)}"

    def say_nothing_written(self, said: str) -> None:
        """`said` stands where an earlier page was named."""
        self._page, self.written, self.status = None, {}, said

    def hear_download(self, content: Any) -> bool:
        """True for a request of the front end for the page itself, which is sent or refused in `status`."""
        if not isinstance(content, Mapping) or content.get("type") != "download":
            return False
        if self._page is not None:
            try:
                self.send({"type": "page", "name": self._page.name, "html": self._page.read_text(encoding="utf-8")})
            except (OSError, ValueError) as error:
                self.say_nothing_written(f"could not download: {sentence(error)}")
        return True


class WrittenView(Exporting, anywidget.AnyWidget):
    """The same as a line of its own, below a cell that wrote a page."""

    _esm = written_source()
    _css = stylesheet()

    def __init__(self, path: Path, said: str) -> None:
        super().__init__()
        self.say_written(path, said)
        self.on_msg(lambda _widget, content, _buffers: self.hear_download(content))

    def __repr__(self) -> str:
        return f"WrittenView(status={self.status!r})"


def _from_notebook(path: Path) -> str:
    """Relative to the folder of the notebook with slashes; "" if there is no way from there."""
    notebook = os.environ.get("JPY_SESSION_NAME", "")  # a notebook server says so; the working folder may have changed
    folder = os.path.dirname(notebook) if os.path.isabs(notebook) else os.getcwd()
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return ""
