"""Records in JSON: `trainer_state.json` of Hugging Face, lists of rows, columns by name, and one row a line (W&B, fairseq)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kit.files import parsed_record

_SUMMARY = "train_runtime"  # the last row of a Trainer: its train_loss is a mean over the run
_DEPTH = 4


def rows_of_record(content: bytes, name: str) -> tuple[Iterator[dict[str, Any]], str]:
    """The rows of one record, and what kind of record it is.

    Raises:
        ValueError: no complete JSON, or none that holds rows; names the file.
    """
    record = parsed_record(content, name)
    if isinstance(record, dict) and isinstance(record.get("log_history"), list):
        rows = [row for row in record["log_history"] if isinstance(row, dict) and _SUMMARY not in row]
        return iter(rows), "a trainer state of Hugging Face"
    if isinstance(record, list) and record and all(isinstance(row, dict) for row in record):
        return (_flat(row) for row in record), "a list of rows in JSON"
    if isinstance(record, dict):
        columns = {key: value for key, value in record.items() if isinstance(value, list)}
        if columns:
            longest = max(map(len, columns.values()))
            return (_across(columns, place) for place in range(longest)), "columns in JSON"
    raise ValueError(f"{name} should hold log_history, a list of rows, or lists by name. Found {_what(record)}.")


def rows_of_lines(lines: Iterable[str], name: str) -> Iterator[dict[str, Any]]:
    """One object a line; the last may be cut off.

    Raises:
        ValueError: no line is a complete object; names the file.
    """
    good = bad = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            good += 1
            if _SUMMARY not in row:
                yield _flat(row)
        else:
            bad += 1
    if not good:
        raise ValueError(f"{name} should hold one JSON object a line. Found {bad} lines that are none.")


def _flat(row: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, Any]:
    """{"train": {"loss": 1}} -> {"train/loss": 1}"""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}/", depth + 1) if depth < _DEPTH else {}
        elif not isinstance(value, list):
            found[f"{before}{key}"] = value
    return found


def _across(columns: Mapping[str, list[Any]], place: int) -> dict[str, Any]:
    return {name: values[place] for name, values in columns.items() if place < len(values)}


def _what(record: Any) -> str:
    if isinstance(record, dict):
        return f"an object with {', '.join(f'`{str(key)[:40]}`' for key in list(record)[:8]) or 'nothing'}"
    return f"a {type(record).__name__}"
