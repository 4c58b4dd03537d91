"""Two kept findings side by side: what differs in verdict and setting, and both as they are."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kit import whatif
from kit.journal.kept import Kept
from kit.panel import Panel
from kit.report import Table, Written
from kit.report.page import VERDICT_WORDS, render_page
from kit.report.writing import write_page

_NONE = "\u2013"


@dataclass(frozen=True)
class Comparison:
    """``table``: one row a quantity, one column an entry, and the difference where both are numbers."""

    first: Kept
    second: Kept
    table: pd.DataFrame = field(repr=False)

    @property
    def title(self) -> str:
        return f"{self.first.name} | {self.second.name}"

    def to_html(self) -> str:
        """One page: the table, then both findings side by side, their panels live."""
        caption = f"Verdict and setting of \u201c{self.first.name}\u201d and \u201c{self.second.name}\u201d, as they were kept."
        return render_page([self.first.shown, self.second.shown], self.title, compared=Table(self.table, caption))

    def write(self, path: str | os.PathLike) -> Written:
        """Write ``to_html``; see ``kit.write_html``."""
        return write_page(path, self.to_html)

    def _repr_html_(self) -> str:
        columns = "".join(_column(kept) for kept in (self.first, self.second))
        return (
            f'{Table(self.table, "What differs")._repr_html_()}<div style="display: flex; flex-wrap: wrap; gap: 24px">'
            f"{columns}</div>"
        )


def compare(first: Kept, second: Kept) -> Comparison:
    """ValueError for one entry twice."""
    if first.key == second.key:
        raise ValueError(f"compare should get two entries. Found {first.name!r} twice.")
    verdicts = (VERDICT_WORDS[kept.record["verdict"]] for kept in (first, second))
    rows: list[list[Any]] = [["claim", *verdicts, ""]]
    panels = [kept.finding.panels for kept in (first, second)]
    for place in range(max(map(len, panels))):
        here = [of[place] if place < len(of) else None for of in panels]
        several = f" (panel {place + 1})" if max(map(len, panels)) > 1 else ""
        rows += [[f"{what}{several}", *values] for what, *values in _panel_rows(*here)]
    names = [first.name, second.name if second.name != first.name else f"{second.name} (second)"]
    return Comparison(first, second, pd.DataFrame(rows, columns=["quantity", *names, "difference"], dtype=object))


def _panel_rows(first: Panel | None, second: Panel | None) -> list[list[Any]]:
    """State, total and gradient norm always; weights and terms where they differ."""
    a, b = _numbers(first), _numbers(second)
    rows = [["state", *("" if panel is None else panel.case for panel in (first, second)), ""]]
    for what in dict.fromkeys([*a, *b]):
        x, y = a.get(what), b.get(what)
        if x == y and what not in ("total", "gradient norm"):
            continue
        difference = y - x if x is not None and y is not None else _NONE
        rows.append([what, *(_NONE if value is None else value for value in (x, y)), difference])
    return rows


def _numbers(panel: Panel | None) -> dict[str, float]:
    if panel is None:
        return {}
    report, w = panel.report, panel.weights
    found = {"total": whatif.total(report, w), "gradient norm": whatif.grad_norm(report, w)}
    found |= {name: float(value) for name, value in w.items()}
    found |= {
        f"weighted {name}": float(value) for name, value in zip(report.names, whatif.weighted(report, w), strict=True)
    }
    return found


def _column(kept: Kept) -> str:
    record = kept.record
    figures = "".join(item._repr_html_() for item in kept.finding.evidence if hasattr(item, "png"))
    note = f"<p><bdi>{html.escape(kept.note)}</bdi></p>" if kept.note else ""
    return (
        f'<section style="flex: 1 1 20em; min-width: 0"><h4><bdi>{html.escape(kept.name)}</bdi></h4>'
        f"<p><strong>claim {VERDICT_WORDS[record['verdict']]}.</strong> <bdi>{html.escape(record['answer'])}</bdi></p>"
        f"{note}{figures}</section>"
    )
