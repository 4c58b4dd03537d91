"""The pieces of evidence on a page, and each of them as JSON and back: complete, without pickle."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kit.panel import Panel
from kit.plots import Evidence
from kit.report.tables import answer_second, render_table

_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT_DTYPES = ("float64", "float32", "int64", "int32", "bool", "str")


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
            raise TypeError(f"frame should be a pandas DataFrame. Found a {type(self.frame).__name__}.")
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


Piece = Evidence | Table | Panel | PanelSetting | str


def evidence_record(item: Piece) -> dict[str, Any]:
    """One piece of evidence with its kind."""
    if isinstance(item, str):
        return {"kind": "text", "text": item}
    if isinstance(item, Panel):
        return {"kind": "panel", **item.to_record()}
    if isinstance(item, Table):
        return {"kind": "table", "caption": item.caption, "frame": frame_record(item.frame), "answer": item.answer}
    if isinstance(item, PanelSetting):
        weights = {str(name): float(value) for name, value in item.weights.items()}
        return {"kind": "setting", "case": item.case, "weights": weights}
    return {
        "kind": "figure",
        "png": base64.b64encode(item.png).decode("ascii"),
        "alt": item.alt,
        "caption": item.caption,
        "width": item.width,
        "numbers": {str(name): [_cell(value) for value in values] for name, values in item.numbers.items()},
    }


def evidence_from_record(record: Mapping[str, Any]) -> Piece:
    """What ``evidence_record`` wrote. ValueError for anything else; KeyError or TypeError where a part is missing."""
    kind = record["kind"]
    if kind == "text":
        return text_of(record, "text")
    if kind == "panel":
        return Panel.from_record(record)
    if kind == "table":
        answer = text_of(record, "answer") if "answer" in record else ""  # tables of 0.1 have none
        return Table(frame_from_record(record["frame"]), text_of(record, "caption"), answer)
    if kind == "setting":
        return PanelSetting(
            text_of(record, "case"), {str(name): float(value) for name, value in record["weights"].items()}
        )
    if kind == "figure":
        return Evidence(
            _png(record["png"]),
            text_of(record, "alt"),
            text_of(record, "caption"),
            int(record["width"]),
            {name: [_from_cell(value) for value in values] for name, values in record["numbers"].items()},
        )
    raise ValueError(f"kind of evidence should be text, figure, table, panel or setting. Found kind = {kind!r}.")


def frame_record(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns, index, cells by row, and the dtypes that decide how a table is shown."""
    index = frame.index
    return {
        "columns": [_cell(name) for name in frame.columns],
        "dtypes": [str(kind) for kind in frame.dtypes],
        "index": None if isinstance(index, pd.RangeIndex) and index.name is None else [_cell(key) for key in index],
        "index_names": [_cell(name) for name in index.names],
        "data": [[_cell(value) for value in row] for row in frame.astype(object).itertuples(index=False, name=None)],
    }


def frame_from_record(record: Mapping[str, Any]) -> pd.DataFrame:
    """The table again. Cells that are no numbers, flags or texts (dates, say) come back as the text that was shown."""
    columns, dtypes, rows = record["columns"], record["dtypes"], record["data"]
    if any(len(row) != len(columns) for row in rows) or len(dtypes) != len(columns):
        raise ValueError(f"rows of a table should have {len(columns)} cells, one a column. Found another length.")
    parts = []
    for place, dtype in enumerate(dtypes):
        column = pd.Series([_from_cell(row[place]) for row in rows], dtype=object)
        parts.append(column.astype(dtype) if dtype in _KEPT_DTYPES else column)
    frame = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(len(rows)))
    frame.columns = pd.Index([_from_cell(name) for name in columns], dtype=None if columns else object)
    if record["index"] is not None:
        frame.index = pd.Index([_from_cell(key) for key in record["index"]])
        frame.index.names = [_from_cell(name) for name in record["index_names"]]
    return frame


def _cell(value: Any) -> Any:
    """A number, flag, text or None as JSON has it; what JSON has no word for is tagged; the rest is text."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if isinstance(value, tuple):
        return {"tuple": [_cell(part) for part in value]}
    return str(value)


def _from_cell(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if "float" in value else tuple(_from_cell(part) for part in value["tuple"])
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(f"cells should be numbers, flags, texts or null. Found a {type(value).__name__}.")
    return value


def text_of(record: Mapping[str, Any], name: str) -> str:
    """A part of a record that is a text. ValueError for another kind, KeyError where it is missing."""
    if not isinstance(record[name], str):
        raise ValueError(f"{name} should be a text. Found a {type(record[name]).__name__}.")  # noqa: TRY004 - a damaged page
    return record[name]


def _png(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"png should be base64. Found {str(text)[:20]!r}.") from error
    if not data.startswith(_PNG):
        raise ValueError(f"png should be a PNG picture. Found bytes that start with {data[:8]!r}.")
    return data
