"""Writing a page: the path is checked before anything is drawn, the file is complete or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kit.files import check_file, shown, write_atomically
from kit.panel.exported import WrittenView


@dataclass(frozen=True)
class Written:
    """Where a page was written; usable as a path."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return self.path.as_posix()

    def __repr__(self) -> str:
        return f"Written(path={self.path.as_posix()!r})"

    @property
    def sentence(self) -> str:
        """Where it was written, and how large it is."""
        return f"wrote {shown(self.path)} ({self.path.stat().st_size / 1024:.0f} KB)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """In a notebook: the same with a link that opens the page."""
        data, metadata = cast(tuple[dict, dict], WrittenView(self.path, self.sentence)._repr_mimebundle_(**kwargs))
        return {**data, "text/plain": self.sentence}, metadata


def write_page(path: str | os.PathLike, render: Callable[[], str]) -> Written:
    """Write the page that ``render`` makes; refuses and writes as ``write_html`` does."""
    check_path(path)
    return Written(write_atomically(path, render()))


def check_path(path: str | os.PathLike) -> None:
    """Where a page cannot be written: ValueError for another ending than .html, OSError for the rest."""
    check_file(path, ".html", ".htm")
