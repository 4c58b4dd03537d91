"""Tables with a header: Lightning's metrics.csv, Keras' CSVLogger, exports of W&B, MLflow and TensorBoard, and any other."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kit.recording.names import meaning

_DELIMITERS = ",;\t|"
_OF_A_RUN = " - "  # W&B: "run name - metric"
_EDGES = ("__MIN", "__MAX")  # W&B writes them beside each metric
_LONG = ("key", "metric", "metric_name", "tag", "name")  # one row a number: MLflow
_MOST_COLUMNS = 2000


def rows_of_csv(lines: Iterable[str], name: str) -> tuple[Iterator[dict[str, Any]], list[str]]:
    """The rows, and what is to be said of the file. ``lines``: with their ends, the header first.

    Raises:
        ValueError: no header with a loss; lists the columns that are there.
    """
    lines = iter(lines)
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    header = [column.strip() for column in header[:_MOST_COLUMNS]]
    table = csv.reader(_without_nulls(lines), delimiter=delimiter)
    low = [column.lower() for column in header]
    if {"wall time", "step", "value"} <= {*low}:  # TensorBoard names the metric in the name of the file
        header = [_tag(name) if column == "value" else own for column, own in zip(low, header, strict=True)]
        return _wide(header, header, table), []
    key = next((low.index(column) for column in _LONG if column in low), None)
    if key is not None and "value" in low:
        return _long(table, key, low.index("value"), low.index("step") if "step" in low else None), []
    names, notes = _of_one_run(header)
    if not any(_is_loss(column) for column in names if column):
        listed = ", ".join(f"`{column[:40]}`" for column in header[:12])
        raise ValueError(
            f"{name} should have a column with a loss (train_loss, loss, val_loss, ...). Found the columns {listed or 'none'}."
        )
    return _wide(header, names, table), notes


def _is_loss(column: str) -> bool:
    found = meaning(column)
    return found is not None and found.role in ("train_loss", "val_loss", "term")


def _wide(header: Sequence[str], names: Sequence[str], table: Iterable[list[str]]) -> Iterator[dict[str, Any]]:
    for row in table:
        if row[: len(header)] == [*header]:
            continue  # an appended run begins with its header again
        yield {name: cell for name, cell in zip(names, row, strict=False) if name and cell}


def _long(table: Iterable[list[str]], key: int, value: int, step: int | None) -> Iterator[dict[str, Any]]:
    for row in table:
        if len(row) > max(key, value, step or 0):
            yield {row[key]: row[value], **({} if step is None else {"step": row[step]})}


def _of_one_run(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """Columns without the run's name before them; empty where they are of another run, or the edge of a band."""
    split = [column.rsplit(_OF_A_RUN, 1) for column in header]
    runs = Counter(parts[0] for parts in split if len(parts) == 2 and _is_loss(parts[1]) and not _is_edge(parts[1]))
    if not runs:
        return ["" if _is_edge(column) else column for column in header], []
    run = runs.most_common(1)[0][0]
    others = [name for name in runs if name != run]
    names = ["" if _is_edge(parts[-1]) or (len(parts) == 2 and parts[0] != run) else parts[-1] for parts in split]
    return names, [f"{len(runs)} runs are in it; read: {run}. Not read: {', '.join(others[:3])}"] if others else []


def _is_edge(column: str) -> bool:
    return column.endswith(_EDGES)


def _tag(name: str) -> str:
    """run-version_0-tag-train_loss.csv -> train_loss"""
    return name.rsplit(".", 1)[0].rsplit("tag-", 1)[-1]


def _without_nulls(lines: Iterable[str]) -> Iterator[str]:
    return (line.replace("\0", "") for line in lines)
