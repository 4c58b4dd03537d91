"""A trace as one .npz file: two tables of numbers, the columns with text and the facts as JSON. Never a pickle."""

from __future__ import annotations

import io
import json
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from kit.files import MOST_BYTES, check_origin, encoded, parsed_record, printable, write_atomically
from kit.stepgraph.report import ProbeReport

FORMAT, VERSION = "kit.Trace", 1
TERMS: Mapping[str, type] = {  # columns of the table of terms, see ``step_graphs``; a file of version 0.1 has none
    "step": np.int64, "backward": np.int64, "name": str, "value": np.float64, "weight": np.float64, "weight_name": str, "weight_kind": str,
    "effective_weight": np.float64, "attached": np.float64, "summands": np.float64, "reduction": str, "source": str, "text": str,
    "cut": str, "cut_by": str, "parameters": np.float64,
}  # fmt: skip
OPTIMIZERS = (
    *("kind", "source", "steps", "tensors", "looked", "fed", "without_gradient", "zero_gradient"),
    *("lr_first", "lr_last", "lr_lowest"),
)
_TEXTS = [name for name, kind in TERMS.items() if kind is str]
_NUMBERS = [name for name, kind in TERMS.items() if kind is not str]
TEXT, WHOLE = ("missing_keys",), ("epoch", "turn", "rank")
_PARTS = {"head": (np.dtype(np.uint8), 1), "steps": (np.dtype(np.float64), 2), "epochs": (np.dtype(np.float64), 2)}
_LATER = {  # not in a file of version 0.1; probes only where there are some
    "terms": (np.dtype(np.float64), 2),
    "probes": (np.dtype(np.uint8), 1),
}
_NAMED, _SAID = 5, 300  # members, and letters of another error, that a message holds
_LARGEST_NUMBER = 1e300
_WORDS = ("nan", "inf", "-inf")
_LARGEST = 2.0**53  # counts above are no whole numbers as floats
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the zip's earliest date: equal content gives equal bytes


def term_table(rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """One row a term and backward pass that was read."""
    table = pd.DataFrame(list(rows), columns=[*TERMS])
    return table.astype({name: object if kind is str else kind for name, kind in TERMS.items()})


def save(
    path: str | os.PathLike,
    steps: pd.DataFrame,
    epochs: pd.DataFrame,
    facts: Mapping[str, Any],
    terms: pd.DataFrame,
    probes: Mapping[int, ProbeReport],
) -> Path:
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
        "terms": {name: list(terms[name]) for name in _TEXTS},
    }
    arrays = {name: table.to_numpy(dtype=np.float64) for name, table in tables.items()}
    arrays["terms"] = terms[_NUMBERS].to_numpy(dtype=np.float64)
    if probes:
        arrays["probes"] = _said({str(step): report.to_dict() for step, report in probes.items()})
    return write_atomically(path, _packed({"head": _said(head), **arrays}))


def _said(record: Mapping[str, Any]) -> np.ndarray:
    """JSON as bytes."""
    return np.frombuffer(encoded(json.dumps(record, allow_nan=False, ensure_ascii=False, sort_keys=True)), np.uint8)


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


def load(
    path: str | os.PathLike,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], pd.DataFrame, dict[int, ProbeReport]]:
    """Steps, epochs, facts, terms and probes. Nothing is unpacked before its size is known, and nothing but the parts of a trace.

    Raises:
        ValueError: not a trace, damaged, larger than a trace can be, or written by a newer kit; names the file.
        OSError: the file cannot be read.
    """
    name = Path(path).name
    parts = _unpacked(path, name)
    head = parsed_record(parts.pop("head").tobytes(), name)
    check_origin(head, FORMAT, VERSION, name)
    try:
        terms = _terms(head.get("terms"), parts.get("terms"))
        return (*_tables(head, parts), _facts(head["facts"]), terms, _probes(parts.get("probes")))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{name} should hold the tables of a trace. Found: {type(error).__name__}: {error}."
        ) from error


def _unpacked(path: str | os.PathLike, name: str) -> dict[str, np.ndarray]:
    """The arrays head [bytes], steps and epochs [rows, columns], each with the kind and shape that a trace has."""
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise ValueError(f"{name} should be a saved {FORMAT}, an .npz file. Found another kind of file.")
        try:
            with zipfile.ZipFile(file) as archive:
                entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
                if not {*_PARTS} <= set(entries):
                    raise ValueError(f"Found an .npz file with {sorted(entries)[:_NAMED]}.")
                kept = [part for part in (*_PARTS, *_LATER) if part in entries]
                large = [part for part in kept if entries[part].file_size > MOST_BYTES]
                if large:
                    raise ValueError(f"Found a part {large[0]} of more than {MOST_BYTES >> 20} MiB.")
                return {part: _array(archive.open(entries[part]), entries[part].file_size, part) for part in kept}
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            why = printable(str(error)[:_SAID])
            raise ValueError(f"{name} should be a complete {FORMAT}. Found a damaged file ({why}).") from error
        except (ValueError, SyntaxError, tokenize.TokenError) as error:  # of numpy: a header that is none
            raise ValueError(f"{name} should be a saved {FORMAT}. {printable(str(error)[:_SAID])}") from error


def _array(file: IO[bytes], size: int, part: str) -> np.ndarray:
    with file:
        content = io.BytesIO(file.read(size))
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(content)
    expected, dimensions = (_PARTS | _LATER)[part]
    data = content.read()
    if dtype != expected or len(shape) != dimensions or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"Found a part {part} of {dtype}, shape {shape}, in {len(data)} bytes.")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _tables(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = {key: pd.DataFrame(arrays[key], columns=_names(head["columns"][key])) for key in ("steps", "epochs")}
    steps, epochs = tables["steps"], tables["epochs"]
    for column, values in head["text"].items():
        if column not in TEXT or len(values) != len(steps):
            raise ValueError(f"the column of text {column!r} has {len(values)} rows of {len(steps)}")
        steps[column] = pd.Series([np.nan if v is None else _text(v) for v in values], dtype=object)
    steps = steps[_names(head["order"])]
    for table in (steps, epochs):
        for column in set(WHOLE) & set(table.columns):
            if not (np.isfinite(table[column]).all() and (np.abs(table[column]) < _LARGEST).all()):
                raise ValueError(f"the column {column!r} is no count")
            table[column] = table[column].astype(np.int64)
    for needed, table, which in ((_NEEDED_STEPS, steps, "steps"), (_NEEDED_EPOCHS, epochs, "epochs")):
        if missing := [name for name in needed if name not in table]:
            raise ValueError(f"{which} have no {', '.join(missing)}")
    return steps, epochs.set_index("epoch")


def _terms(texts: Any, numbers: np.ndarray | None) -> pd.DataFrame:
    if texts is None and numbers is None:
        return term_table()
    if not isinstance(texts, dict) or numbers is None or numbers.shape[1] != len(_NUMBERS):
        raise ValueError("the table of terms is incomplete")
    columns = dict(zip(_NUMBERS, numbers.T, strict=True)) | {name: [*map(_text, texts[name])] for name in _TEXTS}
    if {len(column) for column in columns.values()} != {len(numbers)}:
        raise ValueError("the columns of the terms are of different lengths")
    counts = numbers[:, [_NUMBERS.index("step"), _NUMBERS.index("backward")]]
    if not (np.isfinite(counts).all() and (np.abs(counts) < _LARGEST).all()):
        raise ValueError("a term is of no step")
    return term_table(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _probes(content: np.ndarray | None) -> dict[int, ProbeReport]:
    if content is None:
        return {}
    record = parsed_record(content.tobytes(), "the part probes")
    steps = {step: int(step) for step in record if step.isdecimal() and str(int(step)) == step}
    if not (len(record) == len(steps) and 0 not in steps.values()):
        raise ValueError("a probe is of no step")
    return {step: ProbeReport.from_dict(record[key]) for key, step in sorted(steps.items(), key=lambda item: item[1])}


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or len({*map(_text, value)}) != len(value):
        raise ValueError("columns are no list of different names")
    return value


def _facts(facts: Any) -> dict[str, Any]:
    """What every reader of a trace relies on: facts of the kinds that `watch` writes; of unknown ones, plain values."""
    if not isinstance(facts, dict):
        raise TypeError(f"facts are a {type(facts).__name__}")
    for key, value in facts.items():
        kind = _KINDS.get(key)
        if kind is not None and not (value is None or kind(value)):
            raise ValueError(f"the fact {key!r} is {str(value)[:60]!r}")
    if missing := [key for key in _NEEDED if key not in facts]:
        raise KeyError(", ".join(missing))
    for each in facts.get("ranks") or ():
        _facts(each)
    return facts


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:60]!r} is no text")
    return value


def _is_number(value: Any) -> bool:
    """One that arithmetic can take: an integer of JSON may be larger than any float."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and not _LARGEST_NUMBER < abs(value) < math.inf
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(item is None or _is_number(item) for item in value.values())


def _are_pairs(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _are_logged(value: Any) -> bool:
    """Pairs of a row and a number, or a word for one that is not finite."""
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and _is_number(pair[0])
        and (isinstance(pair[1], float) or pair[1] in _WORDS)
        for pair in value
    )


def _is_optimizer(value: Any) -> bool:
    return _is_record(value) and {*value} == {*OPTIMIZERS} and all(_is_number(value[name]) for name in OPTIMIZERS[2:8])


def _is_origin(value: Any) -> bool:
    texts = {"pass", "what", "operation", "source", "text"}
    return _is_record(value) and {*value} == {*texts, "step"} and all(isinstance(value[name], str) for name in texts)


def _is_operation(value: Any) -> bool:
    if not isinstance(value, dict) or not {"kind", "found", "source"} <= {*value} <= {
        "kind",
        "found",
        "source",
        "steps",
        "of",
    }:
        return False
    return all(_is_number(item) if name in ("steps", "of") else isinstance(item, str) for name, item in value.items())


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and all(
        item is None or isinstance(item, str) or _is_number(item) for item in value.values()
    )


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        (
            *("version", "rank", "world", "every", "turns", "turns_kept", "parameters", "trainable", "frozen_count"),
            *(
                "elements",
                "not_in_optimizer_count",
                "foreign_in_optimizer_count",
                "classes_configured",
                "total_factor",
                "loss_margin",
                "epochs_displayed",
            ),
        ),
        _is_number,
    ),
    **dict.fromkeys(
        ("torch", "ended", "model", "loss", "loss_reduction", "model_given", "model_ran"),
        lambda value: isinstance(value, str),
    ),
    **dict.fromkeys(("model_given_ran", "loss_given", "loss_called"), lambda value: isinstance(value, bool)),
    **dict.fromkeys(
        (
            *(
                "optimizers",
                "not_in_optimizer",
                "idle_optimizers",
                "unregistered",
                "unregistered_left_out",
                "never_cleared",
                "cut_off",
                "terms_unreached",
                "terms",
            ),
            *("weights_known", "weights_unknown", "terms_without_graph", "ignored_weights", "terms_without_weight"),
            *("not_seen", "displayed", "unreached_parameters", "nonfinite_gradients", "zero_gradients"),
            *(
                "terms_read",
                "terms_always_zero",
                "terms_of_the_same",
                "terms_weighed_zero",
                "terms_cut",
                "unread_weights",
                "ranks_differ",
            ),
        ),
        _are_texts,
    ),
    **dict.fromkeys(("weights_at_entry", "weights_asked", "weights_default"), _are_numbers),
    "term_weights": _are_pairs,
    "first_nonfinite": _is_origin,
    "optimizer_records": lambda value: isinstance(value, list) and all(map(_is_optimizer, value)),
    "suspicious_operations": lambda value: isinstance(value, list) and all(map(_is_operation, value)),
    "lines": lambda value: isinstance(value, dict) and all(map(_are_texts, value.values())),
    "logged": lambda value: isinstance(value, dict) and all(map(_are_logged, value.values())),
    "ranks": lambda value: isinstance(value, list),
}
_NEEDED = ("version", "ended", "not_seen")
_NEEDED_STEPS = ("epoch", "turn")
_NEEDED_EPOCHS = ("epoch", "train_loss", "val_loss", "batches", "eval_forwards", "backwards", "steps", "loss_mean")
