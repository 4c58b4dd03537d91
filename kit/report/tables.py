"""Tables as HTML, and the template environment that escapes everything that is typed."""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import Any

import jinja2
from pandas.api.types import is_numeric_dtype


@functools.cache
def environment() -> jinja2.Environment:
    folder = resources.files(__package__).joinpath("templates")
    loader = jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["number"] = number
    return made


def number(value: Any) -> str:
    """Cells of a table: floats with four significant digits, everything else as text."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "not finite"
    return f"{value:.4g}"


def render_table(table: Any, *, page: bool = False) -> str:
    """An HTML table; the frame's index is its first column if it has a name.

    page: for the exported page, which has its own style sheet, forbids inline style and puts the caption outside.
    """
    frame = table.frame if table.frame.index.name is None else table.frame.reset_index(allow_duplicates=True)
    rows = [list(row) for row in frame.astype(object).itertuples(index=False)]
    numeric = {place for place, kind in enumerate(frame.dtypes) if is_numeric_dtype(kind) and place > 0}
    if page:
        template = environment().get_template("page_table.html.j2")
        return template.render(columns=list(frame.columns), rows=rows, numeric=numeric)
    template = environment().get_template("table.html.j2")
    return template.render(caption=table.caption, columns=list(frame.columns), rows=rows, numeric=numeric)
