"""A finding: a question, what was claimed, what was seen, and the verdict; as JSON and back, and as one HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.files import check_origin
from kit.panel import Panel
from kit.plots import Evidence, own_evidence
from kit.report.answer import Answer
from kit.report.page import PageEntry, render_page
from kit.report.pieces import PanelSetting, Piece, Table, evidence_from_record, evidence_record, text_of
from kit.report.writing import Written, write_page

FORMAT, VERSION = "kit.finding", 1
_TEXTS = ("question", "claim", "verdict", "answer", "sure", "why", "fix", "remains", "command")
VERDICTS = ("confirmed", "refuted", "partly", "open")


def _piece(item: Any, place: int) -> Piece:
    """A piece of evidence as the page shows it."""
    if isinstance(item, (Evidence, Table, Panel, PanelSetting, str)):
        return item
    if isinstance(item, (Figure, Axes)):
        return own_evidence(item)
    if isinstance(item, pd.DataFrame):
        return Table(item)
    raise TypeError(
        "evidence should hold figures (of matplotlib, or kit.plots.evidence(figure, alt=..., caption=...)), tables "
        "(kit.report.Table or a DataFrame), panels (kit.Panel) and texts. "
        f"Found a {type(item).__name__} at position {place}."
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
            raise TypeError(f"summary should be a kit.report.Answer. Found a {type(self.summary).__name__}.")
        if not isinstance(self.evidence, Sequence) or isinstance(self.evidence, str):
            raise TypeError(
                f"evidence should be a sequence. Found one {type(self.evidence).__name__}; put it in a list."
            )
        pieces = tuple(_piece(item, place) for place, item in enumerate(self.evidence))
        object.__setattr__(self, "evidence", pieces)

    @property
    def panels(self) -> list[Panel]:
        return [item for item in self.evidence if isinstance(item, Panel)]

    def to_record(self) -> dict[str, Any]:
        """Plain lists, numbers and texts, ready for ``json.dumps(..., allow_nan=False)``."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **{name: getattr(self, name) for name in _TEXTS},
            "seed": None if self.seed is None else int(self.seed),
            "summary": None if self.summary is None else self.summary.to_record(),
            "badge": self.badge,
            "evidence": [evidence_record(item) for item in cast(Sequence[Piece], self.evidence)],  # by __post_init__
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finding:
        """The finding of a record.

        Raises:
            ValueError: another format, a newer version, or a part that is missing or of another kind.
        """
        check_origin(record, FORMAT, VERSION, "record")
        try:
            evidence = tuple(evidence_from_record(item) for item in record["evidence"])
            summary = record.get("summary")  # findings of 0.1 have none
            return cls(
                evidence=evidence,
                seed=record["seed"],
                summary=None if summary is None else Answer.from_record(summary),
                badge=text_of(record, "badge") if "badge" in record else "",
                **{name: text_of(record, name) for name in _TEXTS},
            )
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(f"record should hold every part of a finding. Found {error!r}.") from error

    def write(self, path: str | os.PathLike) -> Written:
        """Write one self-contained HTML page; panels keep the setting they have now. See ``write_html``."""
        return write_html(path, self)

    def offer(self, path: str | os.PathLike) -> Written:
        """Write the page now, and give this finding's panels a button that writes it again as the reader leaves them."""
        for panel in self.panels:
            panel.on_export(lambda _: self.write(path))
        return self.write(path)


def to_html(*findings: Finding, title: str | None = None) -> str:
    """One page for one or several findings: works from a file, without a kernel, without a network.

    Raises:
        ValueError: no finding.
    """
    if not findings:
        raise ValueError("to_html should get at least one Finding. Found none.")
    return render_page([PageEntry(finding) for finding in findings], title or findings[0].question)


def write_html(path: str | os.PathLike, *findings: Finding, title: str | None = None) -> Written:
    """Write ``to_html(...)``: the file is complete or not there. The path is checked before anything is drawn.

    Raises:
        ValueError: no finding, or a path that does not end in .html. OSError: the file cannot be written.
    """
    return write_page(path, lambda: to_html(*findings, title=title))
