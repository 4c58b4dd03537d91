"""One kept finding with what was said of it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import Any

from kit.report import Finding, Written
from kit.report.page import PageEntry, render_page
from kit.report.writing import write_page


@dataclass(frozen=True)
class Kept:
    """An entry of the journal. `kept` is date and time, ISO 8601; `record` the finding as it was stored."""

    key: str
    name: str
    note: str
    kept: str
    record: dict[str, Any] = field(repr=False)
    diagnosis: str = field(default="", repr=False)

    @functools.cached_property
    def finding(self) -> Finding:
        """The finding again, its panels live; made when first asked for, as every panel is a widget of the notebook."""
        return Finding.from_record(self.record)

    @property
    def shown(self) -> PageEntry:
        """As the page shows it."""
        return PageEntry(self.finding, name=self.name, note=self.note, kept=self.kept, diagnosis=self.diagnosis)

    def to_html(self) -> str:
        """One page with this entry."""
        return render_page([self.shown], self.name)

    def write(self, path: str | os.PathLike) -> Written:
        """Write ``to_html``; see ``kit.write_html``."""
        return write_page(path, self.to_html)
