"""From findings to one HTML page; the page itself is in ``templates/``."""

from __future__ import annotations

import base64
import itertools
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from typing import Any, Protocol

from markupsafe import Markup

from kit.panel import Panel, page_module, stylesheet
from kit.plots import Evidence
from kit.report.answer import Answer
from kit.report.data import NO_DIGEST, data_text, digest, page_data, policy_hash
from kit.report.pieces import PanelSetting, Table
from kit.report.tables import caption_of, environment, render_table

_SHOWN_PACKAGES = ("torch", "numpy", "pandas", "matplotlib", "anywidget")
VERDICT_WORDS = {
    "confirmed": "holds",
    "refuted": "does not hold",
    "partly": "holds in part",
    "open": "is not settled",
}


class PageFinding(Protocol):
    """What a page asks of a finding."""

    @property
    def question(self) -> str: ...
    @property
    def summary(self) -> Answer | None: ...
    @property
    def evidence(self) -> Sequence[object]: ...
    @property
    def panels(self) -> Sequence[Panel]: ...
    def to_record(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class PageEntry:
    """A finding as a page shows it: with the name, note, date and diagnosis it was kept under, where it was kept."""

    finding: PageFinding
    name: str = ""
    note: str = ""
    kept: str = ""
    diagnosis: str = ""


def render_page(entries: Sequence[PageEntry], title: str, *, compared: Sequence[Any] = ()) -> str:
    """The page with a digest of its data and of itself.

    compared: tables and figures of what differs; two findings then stand side by side below them.
    """
    data = data_text(page_data(entries, title, compared))
    style = "\n".join([_template_text("page.css"), stylesheet()])
    script = page_module()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {policy_hash(script)}",
            f"style-src {policy_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",  # no script of the page may turn text into markup
        ]
    )
    numbers: dict[str, Iterator[int]] = {kind: itertools.count(1) for kind in ("figure", "table", "panel", "setting")}
    panels = [panel for item in entries for panel in item.finding.panels]
    differs = [_block(piece, numbers) for piece in compared]  # before the findings: they stand above them
    page = (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            findings=[_entry(item, numbers, panels) for item in entries],
            lead=_lead(entries),
            compared=differs,
            words=VERDICT_WORDS,
            policy=Markup(policy),  # only our own digests: no quote but its own
            style=Markup(style),
            script=Markup(script),
            data=Markup(data),
            data_digest=digest(data),
            page_digest=NO_DIGEST,
            versions=_versions(),
            written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        )
    )
    # the digest is that of the page with zeros in its own place
    return page.replace(f'content="{NO_DIGEST}"', f'content="{digest(page)}"', 1)


def _lead(entries: Sequence[PageEntry]) -> dict[str, Any] | None:
    """The summary that stands above the contents: where only one finding of the page has any."""
    having = [(place, item.finding) for place, item in enumerate(entries, 1) if item.finding.summary is not None]
    if len(having) != 1:
        return None
    ((place, finding),) = having
    return {"summary": finding.summary, "place": place, "question": finding.question}


def _entry(item: PageEntry, numbers: dict[str, Iterator[int]], panels: Sequence[Panel]) -> dict[str, Any]:
    pieces = item.finding.evidence
    evidence = [piece for piece in pieces if not isinstance(piece, (Panel, PanelSetting))]
    kinds = [("figure", Evidence), ("table", Table)]
    counts = [(name, sum(isinstance(piece, kind) for piece in evidence)) for name, kind in kinds]
    return {
        "shown": item,
        "finding": item.finding,
        "evidence": [_block(piece, numbers) for piece in evidence],
        "holds": ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts if count),
        "panels": [_block(panel, numbers) for panel in item.finding.panels],
        "settings": [
            _setting(piece, next(numbers["setting"]), panels) for piece in pieces if isinstance(piece, PanelSetting)
        ],
    }


def _setting(piece: PanelSetting, place: int, panels: Sequence[Panel]) -> dict[str, Any]:
    """The panel that the link sets is the first of the page that can be set so; none: only the words are shown."""
    panel = next((number for number, panel in enumerate(panels, 1) if piece.fits(panel)), None)
    return {"id": f"setting-{place}", "panel": panel, "case": piece.case, "weights": piece.weights}


def _block(piece: Any, numbers: dict[str, Iterator[int]]) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"kind": "text", "text": piece}
    kind = "panel" if isinstance(piece, Panel) else "figure" if isinstance(piece, Evidence) else "table"
    place = next(numbers[kind])
    block = {"kind": kind, "id": f"{kind}-{place}", "number": place}
    if kind == "panel":
        return {**block, "panel": piece, "still": Markup(piece.still_html())}
    if kind == "figure":
        return {**block, "figure": piece, "png": base64.b64encode(piece.png).decode("ascii")}
    return {**block, "caption": caption_of(piece), "html": Markup(render_table(piece, page=True))}


def _template_text(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _SHOWN_PACKAGES:
        versions[package] = metadata.version(package)
    return versions
