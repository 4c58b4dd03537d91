"""A trace as one .npz file: two tables of numbers, the columns with text and the facts as JSON. Never a pickle."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.files import encoded, write_atomically

FORMAT, VERSION = "kit.Trace", 1
TEXT, WHOLE = ("missing_keys",), ("epoch", "turn", "rank")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the zip's earliest date: equal content gives equal bytes


def save(path: str | os.PathLike, steps: pd.DataFrame, epochs: pd.DataFrame, facts: Mapping[str, Any]) -> Path:
    epochs = epochs.reset_index()
    text = {name: [None if pd.isna(value) else value for value in steps[name]] for name in TEXT if name in steps}
    tables = {"steps": steps.drop(columns=[*text]), "epochs": epochs}
    head = {
        "format": FORMAT,
        "version": VERSION,
        "columns": {name: list(table.columns) for name, table in tables.items()},
        "order": list(steps.columns),
        "text": text,
        "facts": facts,
    }
    arrays = {name: table.to_numpy(dtype=np.float64) for name, table in tables.items()}
    said = encoded(json.dumps(head, allow_nan=False, ensure_ascii=False, sort_keys=True))
    return write_atomically(path, _packed({"head": np.frombuffer(said, dtype=np.uint8), **arrays}))


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """As numpy.savez_compressed lays it out, with a fixed date."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, part.getvalue())
    return whole.getvalue()


def load(path: str | os.PathLike) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Steps, epochs and facts.

    Raises:
        ValueError: not a trace, not complete, or written by a newer kit.
    """
    name = Path(path).name
    head, arrays = _read(path, name)
    if head.get("format") != FORMAT:
        raise ValueError(f"{name} should be a saved {FORMAT}. Found format = {head.get('format')!r}.")
    version = head.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        advice = "update the kit to read it" if newer else "record the run again"
        raise ValueError(f"{name} should have version {VERSION}. Found version = {version!r}; {advice}.")
    try:
        tables = {key: pd.DataFrame(arrays[key], columns=head["columns"][key]) for key in ("steps", "epochs")}
        for column, values in head["text"].items():
            tables["steps"][column] = pd.Series([np.nan if v is None else v for v in values], dtype=object)
        steps, epochs, facts = tables["steps"][head["order"]], tables["epochs"], head["facts"]
        for table in (steps, epochs):
            for column in set(WHOLE) & set(table.columns):
                table[column] = table[column].astype(np.int64)
        return steps, epochs.set_index("epoch"), dict(facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{name} should hold the tables of a trace. Found: {type(error).__name__}: {error}."
        ) from error


def _read(path: str | os.PathLike, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise ValueError(f"{name} should be a saved {FORMAT}, an .npz file. Found another kind of file.")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as content:
                arrays = {key: content[key] for key in content.files}
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{name} should be a complete {FORMAT}. Found a damaged file ({error}).") from error
    if "head" not in arrays:
        raise ValueError(f"{name} should be a saved {FORMAT}. Found an .npz file with {sorted(arrays)}.")
    try:
        head = json.loads(arrays.pop("head").tobytes().decode("utf-8"))
    except ValueError as error:  # JSON and encoding errors are ValueErrors
        raise ValueError(f"{name} should be a complete {FORMAT}. Found a head that is no JSON ({error}).") from error
    if not isinstance(head, dict):
        raise ValueError(f"{name} should be a saved {FORMAT}. Found format = None.")
    return head, arrays
