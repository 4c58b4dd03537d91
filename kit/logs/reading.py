"""`kit.read_log(path)`: which kind of log a file is, and the log that it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kit.diagnosis import Diagnosis
from kit.files import MOST_BYTES, shown
from kit.logs import csv_files, json_files, plain_text
from kit.logs.event_files import event_folders, is_event_file, rows_of_events
from kit.logs.mlflow_runs import metrics_folder, rows_of_run
from kit.logs.result import Log
from kit.logs.rows import Rows
from kit.logs.search import candidates
from kit.logs.story import story_of
from kit.logs.tables import Tables, tables_of
from kit.logs.text_files import head_of, lines_of, opened
from kit.recording import Trace

_TRIED, _LISTED = 20, 3
_RECORD = re.compile(rb'\s*\{\s*"format":\s*"(kit\.\w+)"')
_LINE_OF_CSV = re.compile(r"^[^{\[]*[,;\t|][^{\[]*$")


def read_log(path: str | os.PathLike) -> Log:
    """Read what another tool wrote of a run.

    Hugging Face ``trainer_state.json``; CSV of Lightning, of Keras, or any with names like train_loss, loss, val/loss; event files of
    TensorBoard; exports of W&B (CSV or JSON lines); runs of MLflow's file store; JSON lines; printed lines. A folder is searched.

        log = kit.read_log("outputs/")
        print(log.explain())

    Raises:
        ValueError: no log, or none with a loss: names the file, what was found and what was expected.
        OSError: it cannot be read. ImportError: an event file, and the package tensorboard is not installed.
    """
    path = Path(path)
    if path.is_dir() and metrics_folder(path) is None:
        return _of_folder(path)
    return _of_file(path, "")


def load_run(path: str | os.PathLike, records: Mapping[str, Callable[[Path], Any]]) -> Any:
    """A saved run of the kit, or the log of another tool.

    Args:
        path: a trace (.npz), a record (.json) or whatever ``read_log`` reads.
        records: format of a record -> what loads it.
    Raises:
        ValueError, OSError, ImportError: as of these.
    """
    path = Path(path)
    if not path.is_dir():
        head = head_of(path)
        if path.suffix == ".npz" or head[:2] == b"PK":
            return Trace.load(path)
        record = _RECORD.match(head)
        if record is not None:
            return records.get(record[1].decode(), next(iter(records.values())))(path)
    return read_log(path)


def explained(run: Any, diagnosis: Diagnosis) -> str:
    """The diagnosis in sentences; of a log, with what it tells."""
    return run.explain(diagnosis) if isinstance(run, Log) else diagnosis.explain()


def _of_folder(folder: Path) -> Log:
    found, refused = candidates(folder), []
    for place, candidate in enumerate(found[:_TRIED]):
        others = [other.path.relative_to(folder).as_posix() for other in [*found[:place], *found[place + 1 :]]]
        more = f", and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        note = f"; the newest of the best kind among {len(found)} in {folder.name}, not read: {', '.join(others[:_LISTED])}{more}"
        try:
            return _of_file(candidate.path, note if others else "")
        except (ValueError, ImportError) as error:
            refused.append(str(error))
    said = f" {refused[0]}" if refused else ""
    raise ValueError(
        f"{folder.name or folder} should hold a log with losses: trainer_state.json, a CSV file, event files, JSON lines or printed "
        f"lines. Found {len(found)} files that could be one.{said}"
    )


def _of_file(path: Path, note: str) -> Log:
    rows, notes = Rows(), [note.removeprefix("; ")] if note else []
    kind, trainer, more, options = _fill(rows, path)
    if not rows.losses():
        there = ", ".join(f"`{name[:40]}`" for name in [*rows.names, *rows.unknown][:12]) or "no named number"
        raise ValueError(f"{path.name} should hold a loss (train_loss, loss, val_loss, ...). Found {there}.")
    tables = tables_of(rows, **options)
    told = story_of(tables)
    since = next((each.since for each in told if each.since is not None), None)
    facts: dict[str, Any] = {"log": path.name, "log_row": tables.by, "log_story": [each.sentence for each in told]}
    facts |= {"log_symptoms": [each.sentence for each in told if each.trouble]}
    source = f"{shown(path)}, {kind}" + "".join(f"; {each}" for each in [*more, *notes])
    names = _names(rows, tables)

    def log(steps: pd.DataFrame, epochs: pd.DataFrame, dead: Log | None = None) -> Log:
        return Log(steps, epochs, facts, names, source, told, rows.count, trainer, dead)

    return log(tables.steps, tables.epochs, None if since is None else log(*_since(tables, since)))


def _fill(rows: Rows, path: Path) -> tuple[str, str, list[str], dict[str, bool]]:
    """Read the file; what kind it is, of which trainer, what is to be said of it, and how its rows belong together."""
    by_tag = {"by_tag": True}
    run = metrics_folder(path)
    if run is not None:
        _add(rows, rows_of_run(run, path if path.is_file() else None))
        return "a run of MLflow", "", [], by_tag
    if path.is_dir() or is_event_file(path):
        _add(rows, rows_of_events(event_folders(path)))
        return "event files of TensorBoard", "", [], by_tag
    with opened(path) as file:
        first = next((line for line in lines_of(file) if line.strip()), "")
    of_lines = path.suffix.lower() in (".jsonl", ".ndjson")
    if path.suffix.lower() == ".json" or (first.lstrip()[:1] in ("[", "{") and not _is_line(first) and not of_lines):
        with open(path, "rb") as record:
            found, kind = json_files.rows_of_record(record.read(MOST_BYTES + 1), path.name)
        _add(rows, found)
        return kind, "huggingface" if "Hugging Face" in kind else "", [], {}
    with opened(path) as file:
        if of_lines or first.lstrip().startswith('{"'):
            _add(rows, json_files.rows_of_lines(lines_of(file), path.name))
            return "JSON lines", "", [], {}
        if path.suffix.lower() in (".csv", ".tsv") or _is_header(first):
            found, notes = csv_files.rows_of_csv(lines_of(file), path.name)
            _add(rows, found)
            long = first.lower()
            return (
                "a CSV file",
                _trainer_of(path.name, first),
                notes,
                by_tag if "value" in long and "key" in long else {},
            )
        _add(rows, plain_text.rows_of_text(lines_of(file)))
        return "printed lines", "", [], {"last": True}


def _add(rows: Rows, found: Iterable[Mapping[str, Any]]) -> None:
    for row in found:
        rows.add(row)


def _is_line(first: str) -> bool:
    """Whether the first line is an object of its own, as of JSON lines or of a printed dict."""
    text = first.strip()
    return text.startswith("{") and text.endswith("}") and len(text) > 2


def _is_header(first: str) -> bool:
    """Names with commas and no number: the header of a table, whatever the file is called."""
    return (
        bool(_LINE_OF_CSV.match(first.strip())) and not plain_text.pairs(first) and not re.search(r"\d\.\d|: ", first)
    )


def _trainer_of(name: str, header: str) -> str:
    columns = {column.strip() for column in header.split(",")}
    if name == "metrics.csv" and {"epoch", "step"} <= columns:
        return "lightning"
    return "keras" if "epoch" in columns and "loss" in columns else ""


def _names(rows: Rows, tables: Tables) -> dict[str, str]:
    used = {each.name for each in tables.series.values()}
    names = {
        name: found.said if name in used or found.role in ("epoch", "step", "lr") else ""
        for name, found in rows.names.items()
    }
    total = rows.as_total()
    return {**names, **({total: "train_loss"} if total else {}), **dict.fromkeys(rows.unknown, "")}


def _since(tables: Tables, since: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables from there on, where the train loss reads 0."""
    steps, epochs = tables.steps, tables.epochs
    steps = steps[steps["turn"] >= since] if tables.unit == "step" else steps.iloc[0:0]
    return steps.reset_index(drop=True), epochs[epochs["train_loss"].eq(0)]
