"""From findings to one HTML page; the page itself is in ``templates/``."""

from __future__ import annotations

import base64
import functools
import itertools
import math
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata, resources
from typing import Any

import jinja2
from markupsafe import Markup
from pandas.api.types import is_numeric_dtype

from kit.panel import Panel, standalone_panels
from kit.plots import Evidence

_SHOWN_PACKAGES = ("torch", "numpy", "pandas", "matplotlib", "anywidget")


@functools.cache
def _environment() -> jinja2.Environment:
    folder = resources.files(__package__).joinpath("templates")
    loader = jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    return environment


def number(value: Any) -> str:
    """Cells of a table: floats with four significant digits, everything else as text."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "not finite"
    return f"{value:.4g}"


def render_table(table: Any, *, caption: bool = True) -> str:
    """An HTML table; the frame's index is its first column if it has a name."""
    frame = table.frame if table.frame.index.name is None else table.frame.reset_index()
    rows = [list(row) for row in frame.astype(object).itertuples(index=False)]
    template = _environment().get_template("table.html.j2")
    numeric = {place for place, kind in enumerate(frame.dtypes) if is_numeric_dtype(kind) and place > 0}
    shown = table.caption if caption else ""
    return template.render(caption=shown, columns=list(frame.columns), rows=rows, numeric=numeric)


def render_page(findings: Sequence[Any], title: str) -> str:
    panels = [panel for finding in findings for panel in finding.panels]
    states = [_panel_state(panel, f"panel-{number}") for number, panel in enumerate(panels, start=1)]
    fragments, tables = iter(standalone_panels(states)), itertools.count(1)

    def block(item: Any) -> dict[str, Any]:
        if isinstance(item, Panel):
            return {
                "kind": "panel",
                "html": Markup(next(fragments)),
                "weights": item.weights,
                "case": item.case,
                "note": item.note,
            }
        if isinstance(item, Evidence):
            return {"kind": "figure", "png": base64.b64encode(item.png).decode("ascii"), "figure": item}
        if isinstance(item, str):
            return {"kind": "text", "text": item}
        number = next(tables)
        return {
            "kind": "table",
            "html": Markup(render_table(item, caption=False)),
            "caption": item.caption,
            "id": f"table-{number}",
        }

    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            findings=[
                {"finding": finding, "blocks": [block(item) for item in finding.evidence]} for finding in findings
            ],
            style=Markup(resources.files(__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")),
            versions=_versions(),
            written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        )
    )


def _panel_state(panel: Panel, element_id: str) -> dict[str, Any]:
    return {
        "data": panel.data,
        "weights": panel.weights,
        "case": panel.case,
        "title": panel.title,
        "element_id": element_id,
        "still": panel.still_html(),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _SHOWN_PACKAGES:
        versions[package] = metadata.version(package)
    return versions
