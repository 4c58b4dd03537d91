"""From findings to one HTML page; the page itself is in ``templates/``."""

from __future__ import annotations

import base64
import itertools
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata, resources
from typing import Any

from markupsafe import Markup

from kit.panel import Panel, page_module, stylesheet
from kit.plots import Evidence
from kit.report.data import NO_DIGEST, data_text, digest, page_data, policy_hash
from kit.report.tables import environment, render_table

_SHOWN_PACKAGES = ("torch", "numpy", "pandas", "matplotlib", "anywidget")
VERDICT_WORDS = {"confirmed": "confirmed", "refuted": "refuted", "partly": "holds partly", "open": "open"}
MEANING = {
    "confirmed": "Confirmed: what was measured here agrees with the claim.",
    "refuted": "Refuted: what was measured here contradicts the claim.",
    "partly": "Partly: some of the claim agrees with what was measured here, some does not.",
    "open": "Open: what was measured here does not settle the claim.",
}


@dataclass(frozen=True)
class Shown:
    """A finding as a page shows it: with the name, note, date and diagnosis it was kept under, where it was kept."""

    finding: Any
    name: str = ""
    note: str = ""
    kept: str = ""
    diagnosis: str = ""


def render_page(shown: Sequence[Shown], title: str, *, compared: Any = None) -> str:
    """The page with a digest of its data and of itself.

    compared: a ``Table`` of what differs; two findings then stand side by side below it.
    """
    data = data_text(page_data(shown, title, compared))
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
    numbers = {kind: itertools.count(1) for kind in ("figure", "table", "panel")}
    differs = None if compared is None else _block(compared, numbers)  # before the findings: it stands above them
    page = (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            findings=[_entry(item, numbers) for item in shown],
            lead=_lead(shown),
            compared=differs,
            words=VERDICT_WORDS,
            meaning=MEANING,
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


def _lead(shown: Sequence[Shown]) -> Any:
    """The finding whose summary stands above the contents: the only one that has a summary."""
    having = [item.finding for item in shown if item.finding.summary is not None]
    return having[0] if len(having) == 1 else None


def _entry(item: Shown, numbers: dict[str, Iterator[int]]) -> dict[str, Any]:
    evidence = [piece for piece in item.finding.evidence if not isinstance(piece, Panel)]
    return {
        "shown": item,
        "finding": item.finding,
        "evidence": [_block(piece, numbers) for piece in evidence],
        "panels": [_block(panel, numbers) for panel in item.finding.panels],
    }


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
    return {**block, "caption": piece.caption, "html": Markup(render_table(piece, page=True))}


def _template_text(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _SHOWN_PACKAGES:
        versions[package] = metadata.version(package)
    return versions
