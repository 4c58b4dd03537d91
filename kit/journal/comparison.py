"""Two kept findings side by side: what differs between them, their losses over each other, and both as they are."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kit import whatif
from kit.journal.kept import Kept
from kit.panel import Panel
from kit.plots import Evidence, overlaid_evidence
from kit.report import Finding, Table, Written
from kit.report.page import VERDICT_WORDS, render_page
from kit.report.writing import write_page

_NONE = "\u2013"
_ABSCISSAS = ("batch", "epoch")
_LOSSES = ("loss of the batch", "train loss", "validation loss")
_LONGEST = 160


@dataclass(frozen=True)
class Comparison:
    """``table``: one row a quantity that differs, one column an entry, and the difference where both are numbers.

    ``curves``: the losses of both in one figure; None where one of them has none.
    """

    first: Kept
    second: Kept
    table: pd.DataFrame = field(repr=False)
    curves: Evidence | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        return f"{self.first.name} | {self.second.name}"

    def to_html(self) -> str:
        """One page: what differs, then both findings side by side, their panels live."""
        caption = (
            f"What differs between \u201c{self.first.name}\u201d and \u201c{self.second.name}\u201d, as they were kept."
        )
        pieces = [Table(self.table, caption), *([] if self.curves is None else [self.curves])]
        return render_page([self.first.shown, self.second.shown], self.title, compared=pieces)

    def write(self, path: str | os.PathLike) -> Written:
        """Write ``to_html``; see ``kit.write_html``."""
        return write_page(path, self.to_html)

    def _repr_html_(self) -> str:
        columns = "".join(_column(kept) for kept in (self.first, self.second))
        curves = "" if self.curves is None else self.curves._repr_html_()
        return (
            f"{Table(self.table, 'What differs')._repr_html_()}{curves}"
            f'<div style="display: flex; flex-wrap: wrap; gap: 24px">{columns}</div>'
        )


def compare(first: Kept, second: Kept) -> Comparison:
    """ValueError for one entry twice."""
    if first.key == second.key:
        raise ValueError(f"compare should get two entries. Found {first.name!r} twice.")
    both = (first, second)
    findings = [kept.finding for kept in both]
    panels = [row for row in _panels(*findings) if row[1] != row[2]]
    named = {row[0] for row in panels}  # as numbers, with their difference
    rows = [["claim", *(VERDICT_WORDS[finding.verdict] for finding in findings), ""]]
    rows += [[what, *values, ""] for what, *values in _settings(*findings) if what not in named]
    rows.append(["diagnosis", *(_short(kept.diagnosis) for kept in both), ""])
    rows = [row for row in rows if row[1] != row[2]] + panels
    names = [first.name, second.name if second.name != first.name else f"{second.name} (second)"]
    if not rows:
        rows = [["everything compared here", "the same", "the same", ""]]
    table = pd.DataFrame(rows, columns=["quantity", *names, "difference"], dtype=object)
    return Comparison(first, second, table, _curves(dict(zip(names, findings, strict=True))))


def _settings(first: Finding, second: Finding) -> list[list[Any]]:
    """Tables of two columns that both have, name and value: what was set, what was counted."""
    a, b = _two_columns(first), _two_columns(second)
    return [
        [name, a[caption].get(name, _NONE), b[caption].get(name, _NONE)]
        for caption in a
        if caption in b
        for name in dict.fromkeys([*a[caption], *b[caption]])
    ]


def _two_columns(finding: Finding) -> dict[str, dict[str, Any]]:
    found = [item for item in finding.evidence if isinstance(item, Table) and item.frame.shape[1] == 2]
    return {item.caption: {str(name): value for name, value in item.frame.itertuples(index=False)} for item in found}


def _panels(first: Finding, second: Finding) -> list[list[Any]]:
    panels = [finding.panels for finding in (first, second)]
    count = max(map(len, panels))
    rows = []
    for place in range(count):
        here = [of[place] if place < len(of) else None for of in panels]
        several = f" (panel {place + 1})" if count > 1 else ""
        rows += [[f"{what}{several}", *values] for what, *values in _panel_rows(*here)]
    return rows


def _panel_rows(first: Panel | None, second: Panel | None) -> list[list[Any]]:
    a, b = _numbers(first), _numbers(second)
    rows: list[list[Any]] = [
        ["probed state", *(_NONE if panel is None else panel.case for panel in (first, second)), ""]
    ]
    for what in dict.fromkeys([*a, *b]):
        x, y = a.get(what), b.get(what)
        difference = y - x if x is not None and y is not None else _NONE
        rows.append([what, *(_NONE if value is None else value for value in (x, y)), difference])
    return rows


def _numbers(panel: Panel | None) -> dict[str, float]:
    if panel is None:
        return {}
    report, w = panel.report, panel.weights
    found = {name: float(value) for name, value in w.items()}
    found |= {"total": whatif.total(report, w), "gradient norm": whatif.grad_norm(report, w)}
    return found | {
        f"weighted {name}": float(value) for name, value in zip(report.names, whatif.weighted(report, w), strict=True)
    }


def _curves(findings: Mapping[str, Finding]) -> Evidence | None:
    """The losses that both have over the same abscissa, over each other."""
    for along in _ABSCISSAS:
        runs = {name: _losses(finding, along) for name, finding in findings.items()}
        shared = [loss for loss in _LOSSES if all(loss in lines for lines in runs.values())]
        if shared:
            return overlaid_evidence({name: {loss: of[loss] for loss in shared} for name, of in runs.items()}, along)
    return None


def _losses(finding: Finding, along: str) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """From the first figure that has them: loss -> where it was measured, and what it was."""
    for item in finding.evidence:
        if not isinstance(item, Evidence) or along not in item.numbers:
            continue
        lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
        for loss in _LOSSES:
            pairs = [
                (x, y) for x, y in zip(item.numbers[along], item.numbers.get(loss, ()), strict=False) if y is not None
            ]
            if pairs:
                places, heights = zip(*pairs, strict=True)
                lines[loss] = (places, heights)
        if lines:
            return lines
    return {}


def _short(text: str) -> str:
    """The first line, cut between words."""
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST].rsplit(' ', 1)[0]} \u2026"


def _column(kept: Kept) -> str:
    record = kept.record
    figures = "".join(item._repr_html_() for item in kept.finding.evidence if isinstance(item, Evidence))
    note = f"<p><bdi>{html.escape(kept.note)}</bdi></p>" if kept.note else ""
    return (
        f'<section style="flex: 1 1 20em; min-width: 0"><h4><bdi>{html.escape(kept.name)}</bdi></h4>'
        f"<p><strong>claim {VERDICT_WORDS[record['verdict']]}.</strong> <bdi>{html.escape(record['answer'])}</bdi></p>"
        f"{note}{figures}</section>"
    )
