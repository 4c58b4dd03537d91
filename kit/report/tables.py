"""Tables as HTML, and the template environment that escapes everything that is typed.

The column that answers the caption's question comes second, and in a wide table the columns of numbers that are the same in
every row are said in the caption instead: what is left fits a sheet of paper and, with its answer, a telephone.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

_WIDE = 6  # columns; from more than these, those that say nothing are said in the caption


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


def answer_second(frame: pd.DataFrame, answer: str) -> pd.DataFrame:
    """The frame with this column right after the first, which names the rows; a named index counts as the first.

    Raises:
        ValueError: the frame has no such column, or several.
    """
    names = [str(name) for name in frame.columns]
    if names.count(answer) != 1:
        known = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"answer should be the name of one column. Found answer = {answer!r}; columns are {known}.")
    place = names.index(answer)
    rest = [other for other in range(len(names)) if other != place]
    second = 0 if frame.index.name is not None or place == 0 else 1
    return frame.iloc[:, [*rest[:second], place, *rest[second:]]]


@dataclass(frozen=True)
class _View:
    """What is drawn of a table; ``same`` are the columns that the caption says: name and the one number."""

    columns: list[Any]
    rows: list[list[Any]]
    numeric: set[int]
    asked: int | None
    same: list[tuple[Any, str]]


def _view(table: Any) -> _View:
    frame = table.frame if table.frame.index.name is None else table.frame.reset_index(allow_duplicates=True)
    columns = list(frame.columns)
    asked = [str(name) for name in columns].index(table.answer) if table.answer else None
    numbers = {place for place, kind in enumerate(frame.dtypes) if is_numeric_dtype(kind) and not is_bool_dtype(kind)}
    numbers.discard(0)
    same = {}
    if len(columns) > _WIDE and len(frame) > 1:
        for place in sorted(numbers - {asked}):
            shown = {number(value) for value in frame.iloc[:, place].astype(object)}
            if len(shown) == 1:
                same[place] = shown.pop()
    left = [place for place in range(len(columns)) if place not in same]
    rows = frame.iloc[:, left].astype(object)
    return _View(
        [columns[place] for place in left],
        [list(row) for row in rows.itertuples(index=False)],
        {new for new, place in enumerate(left) if place in numbers},
        None if asked is None else left.index(asked),
        [(columns[place], text) for place, text in same.items()],
    )


def caption_of(table: Any) -> str:
    """The caption, with what is the same in every row and has no column of its own."""
    same = ", ".join(f"{name} {text}" for name, text in _view(table).same)
    return " ".join(part for part in (table.caption, f"In every row: {same}." if same else "") if part)


def render_table(table: Any, *, page: bool = False) -> str:
    """An HTML table; the frame's index is its first column if it has a name.

    page: for the exported page, which has its own style sheet, forbids inline style and puts the caption outside.
    """
    view = _view(table)
    parts = {"columns": view.columns, "rows": view.rows, "numeric": view.numeric, "asked": view.asked}
    if page:
        return environment().get_template("page_table.html.j2").render(**parts)
    return environment().get_template("table.html.j2").render(caption=caption_of(table), **parts)
