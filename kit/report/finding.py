"""A finding: a question, what was claimed, what was seen, and the verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kit.panel import Panel
from kit.plots import Evidence
from kit.report.answer import Answer
from kit.report.tables import render_table

VERDICTS = ("confirmed", "refuted", "partly", "open")


@dataclass(frozen=True)
class Table:
    """A small table with the sentence that says why one looks at it."""

    frame: pd.DataFrame
    caption: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.frame, pd.DataFrame):
            raise ValueError(f"frame should be a pandas DataFrame. Found a {type(self.frame).__name__}.")

    def _repr_html_(self) -> str:
        return render_table(self)


@dataclass(frozen=True)
class Written:
    """Where a page was written; usable as a path."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return self.path.as_posix()

    def __repr__(self) -> str:
        return f"wrote {self} ({self.path.stat().st_size / 1024:.0f} KB)"


@dataclass(frozen=True)
class Finding:
    """What one investigation step found, ready to be sent to a colleague.

    Args:
        question: the title.
        claim: what was said.
        verdict: "confirmed", "refuted", "partly" or "open".
        answer: the verdict in words, with its numbers.
        evidence: figures (``kit.plots.Evidence``), ``Table``s, live ``Panel``s and paragraphs, in reading order; on the
            page the panels, to play with, come after the rest.
        fix: what to do.
        remains: what this does not show.
        seed, command: how to see it again.
        sure: how sure this is; without it the page says what the verdict means.
        why: what the verdict rests on, where the answer does not say it.
        summary: what was wrong, how that is known and what to do, for the box at the head of the page; see ``Answer``.
        badge: a word or two in place of "claim confirmed", for a finding that tests no claim.

    All texts are plain: they are escaped on the page.
    """

    question: str
    claim: str
    verdict: str
    answer: str
    evidence: Sequence[Evidence | Table | Panel | str] = ()
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
        if isinstance(self.evidence, (str, Evidence, Table, Panel)):
            raise ValueError(
                f"evidence should be a sequence. Found one {type(self.evidence).__name__}; put it in a list."
            )
        for number, item in enumerate(self.evidence):
            if not isinstance(item, (Evidence, Table, Panel, str)):
                raise ValueError(
                    "evidence should hold figures (kit.plots.Evidence), tables (kit.Table), panels (kit.Panel) and texts. "
                    f"Found a {type(item).__name__} at position {number}."
                )

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
