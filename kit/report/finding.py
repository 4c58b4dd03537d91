"""A finding: a question, what was claimed, what was seen, and the verdict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.files import shown
from kit.panel import Panel
from kit.panel.exported import WrittenView
from kit.plots import Evidence, own_evidence
from kit.report.answer import Answer
from kit.report.tables import answer_second, render_table

VERDICTS = ("confirmed", "refuted", "partly", "open")


@dataclass(frozen=True)
class Table:
    """A small table with the sentence that says why one looks at it.

    Args:
        frame: one row a thing; the first column, or an index that has a name, says which.
        caption: the question that the table answers.
        answer: the column with the answer; it comes second. In a wide table, other columns of numbers that are the same in
            every row are drawn as a sentence of the caption.
    """

    frame: pd.DataFrame
    caption: str = ""
    answer: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pd.DataFrame):
            raise ValueError(f"frame should be a pandas DataFrame. Found a {type(self.frame).__name__}.")
        if self.answer:
            object.__setattr__(self, "frame", answer_second(self.frame, self.answer))

    def _repr_html_(self) -> str:
        return render_table(self)


@dataclass(frozen=True)
class PanelSetting:
    """A setting of a panel that another finding of the same page has: on the page, a link that sets it.

    Args:
        case: title of the probed state.
        weights: name -> value; weights that are left out take their probed value.
    """

    case: str
    weights: Mapping[str, float] = field(default_factory=dict)

    def fits(self, panel: Panel) -> bool:
        """Whether this panel has the state and a slider for each of the weights."""
        data = panel.data
        cases = {case["title"] for case in data["cases"]}
        sliders = {name for name, can in zip(data["weight_names"], data["adjustable"], strict=True) if can}
        return self.case in cases and set(self.weights) <= sliders


@dataclass(frozen=True)
class Written:
    """Where a page was written; usable as a path."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return self.path.as_posix()

    def __repr__(self) -> str:
        return f"wrote {shown(self.path)} ({self.path.stat().st_size / 1024:.0f} KB)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """In a notebook: the same with a link that opens the page."""
        data, metadata = WrittenView(self.path, repr(self))._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)}, metadata


def _piece(item: Any, place: int) -> Evidence | Table | Panel | PanelSetting | str:
    """A piece of evidence as the page shows it."""
    if isinstance(item, (Evidence, Table, Panel, PanelSetting, str)):
        return item
    if isinstance(item, (Figure, Axes)):
        return own_evidence(item)
    if isinstance(item, pd.DataFrame):
        return Table(item)
    raise ValueError(
        "evidence should hold figures (of matplotlib, or kit.plots.evidence(figure, alt=..., caption=...)), tables "
        f"(kit.Table or a DataFrame), panels (kit.Panel) and texts. Found a {type(item).__name__} at position {place}."
    )


@dataclass(frozen=True)
class Finding:
    """What one investigation step found, ready to be sent to a colleague.

    Args:
        question: the title.
        claim: what was said.
        verdict: "confirmed", "refuted", "partly" or "open".
        answer: the verdict in words, with its numbers.
        evidence: figures (of matplotlib, or ``kit.plots.evidence`` with words of its own), ``Table``s, data frames,
            live ``Panel``s and paragraphs, in reading order; on the page the panels, to play with, come after the rest. A ``PanelSetting``
            refers to a panel of the page.
        fix: what to do.
        remains: what this does not show.
        seed, command: how to see it again; a command that works in a shell.
        sure: how sure this is.
        why: what the verdict rests on, where the answer does not say it.
        summary: what was wrong, how that is known and what to do, for the box at the head of the page; see ``Answer``.
        badge: a word or two in place of "claim confirmed", for a finding that tests no claim.

    All texts are plain: they are escaped on the page.
    """

    question: str
    claim: str
    verdict: str
    answer: str
    evidence: Sequence[Evidence | Figure | Axes | Table | pd.DataFrame | Panel | PanelSetting | str] = ()
    fix: str = ""
    remains: str = ""
    seed: int | None = None
    command: str = ""
    sure: str = ""
    why: str = ""
    summary: Answer | None = None
    badge: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict should be one of {', '.join(VERDICTS)}. Found verdict = {self.verdict!r}.")
        if not isinstance(self.summary, (Answer, type(None))):
            raise ValueError(f"summary should be a kit.report.Answer. Found a {type(self.summary).__name__}.")
        if not isinstance(self.evidence, Sequence) or isinstance(self.evidence, str):
            raise ValueError(
                f"evidence should be a sequence. Found one {type(self.evidence).__name__}; put it in a list."
            )
        pieces = tuple(_piece(item, place) for place, item in enumerate(self.evidence))
        object.__setattr__(self, "evidence", pieces)

    @property
    def panels(self) -> list[Panel]:
        return [item for item in self.evidence if isinstance(item, Panel)]

    def write(self, path: str | os.PathLike) -> Written:
        """Write one self-contained HTML page; panels keep the setting they have now. See ``write_html``."""
        from kit.report.writing import write_html  # writing knows findings, not the other way round

        return write_html(path, self)

    def offer(self, path: str | os.PathLike) -> Written:
        """Write the page now, and give this finding's panels a button that writes it again as the reader leaves them."""
        for panel in self.panels:
            panel.on_export(lambda _: self.write(path))
        return self.write(path)
