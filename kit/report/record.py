"""A finding as JSON and back: complete, without pickle, so that a kept finding is the finding again."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from kit.panel import Panel
from kit.plots import Evidence
from kit.report.answer import Answer
from kit.report.finding import Finding, PanelSetting, Table

FORMAT, VERSION = "kit.finding", 1
_TEXTS = ("question", "claim", "verdict", "answer", "sure", "why", "fix", "remains", "command")
_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT_DTYPES = ("float64", "float32", "int64", "int32", "bool", "str")


def finding_record(finding: Finding) -> dict[str, Any]:
    """Plain lists, numbers and texts, ready for ``json.dumps(..., allow_nan=False)``."""
    return {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(finding, name) for name in _TEXTS},
        "seed": None if finding.seed is None else int(finding.seed),
        "summary": None if finding.summary is None else finding.summary.to_record(),
        "badge": finding.badge,
        "evidence": [evidence_record(item) for item in finding.evidence],
    }


def finding_from_record(record: Mapping[str, Any]) -> Finding:
    """The finding of a record.

    Raises:
        ValueError: another format, a newer version, or a part that is missing or of another kind.
    """
    if not isinstance(record, Mapping) or record.get("format") != FORMAT:
        found = f"format = {record.get('format')!r}" if isinstance(record, Mapping) else f"a {type(record).__name__}"
        raise ValueError(f"record should be a finding, format = {FORMAT!r}. Found {found}.")
    if record.get("version") != VERSION:
        raise ValueError(
            f"record should have version {VERSION}. Found version = {record.get('version')!r}; use a matching kit."
        )
    try:
        evidence = tuple(evidence_from_record(item) for item in record["evidence"])
        summary = record.get("summary")  # findings of 0.1 have none
        return Finding(
            evidence=evidence,
            seed=record["seed"],
            summary=None if summary is None else Answer.from_record(summary),
            badge=_text(record, "badge") if "badge" in record else "",
            **{name: _text(record, name) for name in _TEXTS},
        )
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"record should hold every part of a finding. Found {error!r}.") from error


def evidence_record(item: Evidence | Table | Panel | PanelSetting | str) -> dict[str, Any]:
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


def evidence_from_record(record: Mapping[str, Any]) -> Evidence | Table | Panel | PanelSetting | str:
    """What ``evidence_record`` wrote. ValueError for anything else; KeyError or TypeError where a part is missing."""
    kind = record["kind"]
    if kind == "text":
        return _text(record, "text")
    if kind == "panel":
        return Panel.from_record(record)
    if kind == "table":
        answer = _text(record, "answer") if "answer" in record else ""  # tables of 0.1 have none
        return Table(frame_from_record(record["frame"]), _text(record, "caption"), answer)
    if kind == "setting":
        return PanelSetting(
            _text(record, "case"), {str(name): float(value) for name, value in record["weights"].items()}
        )
    if kind == "figure":
        return Evidence(
            _png(record["png"]),
            _text(record, "alt"),
            _text(record, "caption"),
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


def _text(record: Mapping[str, Any], name: str) -> str:
    if not isinstance(record[name], str):
        raise ValueError(f"{name} should be a text. Found a {type(record[name]).__name__}.")
    return record[name]


def _png(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"png should be base64. Found {str(text)[:20]!r}.") from error
    if not data.startswith(_PNG):
        raise ValueError(f"png should be a PNG picture. Found bytes that start with {data[:8]!r}.")
    return data
