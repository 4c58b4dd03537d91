"""What one probe saw: values, weights and the Gram matrices of the per-term gradients. Frozen numbers, no network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.files import check_ending, check_origin, parsed_record, printable, readable, spelled, write_atomically

FORMAT, VERSION = "kit.ProbeReport", 1
_EARLIER = ("float_subclass", "tiny_probe", "zero_one_probe")  # in files of earlier versions
DECOMPOSITIONS = ("given", "exposed", "step_graph", *_EARLIER)
GRADIENT_WAYS = ("two_stage", "one_stage", "fresh_forward")
_SHAPES = {
    "L": "m", "weights": "m", "adjustable": "m", "G": "mm", "G_groups": "nmm", "n_parameters": "n",
    "paths": "nm", "nonfinite": "nm",
}  # fmt: skip
_DTYPES = {"adjustable": np.bool_, "paths": np.bool_, "n_parameters": np.int64, "nonfinite": np.int64}
_FLOATS = ("total", "grad_norm", "residual")
_TUPLES = ("names", "weight_names", "groups", "notes")


@dataclass(frozen=True, repr=False, eq=False)
class ProbeReport:
    """m terms of a loss at one step, n layer groups. `kit.whatif` answers every setting of the weights from it.

    names, weight_names [m]     terms and the attributes that weigh them ("" for a fixed one)
    L, weights [m]              unweighted values (may be nan) and the weights at the probed step
    adjustable [m]              False for a term without a weight (fixed at 1)
    G [m, m], G_groups [n, m, m]   Gram matrix of the per-term gradients, whole network and per group; nan where a
                                term's gradient is not finite
    groups, n_parameters [n]    layer groups and their real numbers (a complex weight counts as two)
    paths [n, m]                True: the term's graph reaches a parameter of the group
    no_path                     term -> parameters it has no path to
    nonfinite [n, m]            non-finite entries of the term's gradient
    total, grad_norm            what the loss returned, and the norm of its real gradient
    residual                    disagreement of sqrt(lam' G lam) with the real gradient, relative to its norm (worst of
                                network and groups); nan when it cannot be checked, then `notes` say why
    decomposition, gradient_way how the terms and their gradients were obtained
    """

    names: tuple[str, ...]
    weight_names: tuple[str, ...]
    L: np.ndarray
    weights: np.ndarray
    adjustable: np.ndarray
    G: np.ndarray
    groups: tuple[str, ...]
    G_groups: np.ndarray
    n_parameters: np.ndarray
    paths: np.ndarray
    no_path: dict[str, tuple[str, ...]]
    nonfinite: np.ndarray
    total: float
    grad_norm: float
    residual: float
    decomposition: str
    gradient_way: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen for everybody else
        for key in _TUPLES:
            put(self, key, tuple(readable(str(item)) for item in getattr(self, key)))
        for key in _FLOATS:
            put(self, key, float(getattr(self, key)))
        size = {"m": len(self.names), "n": len(self.groups)}
        for key, axes in _SHAPES.items():
            array: np.ndarray = np.array(getattr(self, key), dtype=_DTYPES.get(key, np.float64))
            shape = tuple(size[axis] for axis in axes)
            if array.shape != shape:
                raise ValueError(f"{key} should have shape {shape}. Found {key}.shape = {array.shape}.")
            array.setflags(write=False)
            put(self, key, array)
        if len(self.weight_names) != len(self.names):
            raise ValueError(f"weight_names should have {len(self.names)} entries. Found {len(self.weight_names)}.")
        put(
            self,
            "no_path",
            {readable(str(term)): tuple(readable(str(p)) for p in found) for term, found in self.no_path.items()},
        )
        for key, known in (("decomposition", DECOMPOSITIONS), ("gradient_way", GRADIENT_WAYS)):
            if getattr(self, key) not in known:
                raise ValueError(f"{key} should be one of {', '.join(known)}. Found {key} = {getattr(self, key)!r}.")

    @property
    def norms(self) -> np.ndarray:
        """|g_i| [m] of the unweighted terms, whole network."""
        return np.sqrt(np.maximum(np.diag(self.G), 0.0))

    @property
    def table(self) -> pd.DataFrame:
        """One row a term."""
        weighted = np.where(self.weights == 0, 0.0, self.weights * self.L)
        return pd.DataFrame(
            {
                "term": list(self.names),
                "weight_name": list(self.weight_names),
                "weight": self.weights,
                "value": self.L,
                "weighted_value": weighted,
                "grad_norm": self.norms,
                "no_path_to": [_shortened(self.no_path.get(name, ())) for name in self.names],
            }
        )

    def __eq__(self, other: object) -> bool:  # and so without a hash: it holds arrays
        return self.to_dict() == other.to_dict() if isinstance(other, ProbeReport) else NotImplemented

    def __repr__(self) -> str:
        size = f"terms={len(self.names)}, groups={len(self.groups)}, decomposition={self.decomposition!r}"
        return f"ProbeReport(total={self.total:.6g}, grad_norm={self.grad_norm:.6g}, {size})"

    def __str__(self) -> str:
        how = f"({self.decomposition}, {self.gradient_way}, residual {self.residual:.1e})"
        size = f"{len(self.names)} terms, {len(self.groups)} layer groups"
        lines = [f"ProbeReport: total {self.total:.6g}, gradient norm {self.grad_norm:.6g}, {size} {how}"]
        wide = max((len(name) for name in self.names), default=0)
        for name, weight, value, norm in zip(self.names, self.weights, self.L, self.norms, strict=True):
            lines.append(f"  {name:<{wide}}  weight {weight:<8.4g} value {value:<12.6g} gradient norm {norm:.4g}")
        return printable("\n".join(lines + [f"  note: {note}" for note in self.notes]))

    def _repr_html_(self) -> str:
        shown = self.table.rename(columns=lambda name: name.replace("_", " "))
        table = shown.to_html(index=False, escape=True, border=0, float_format=lambda x: f"{x:.4g}")
        head = html.escape(str(self).partition("\n")[0])
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<div><p>{head}</p>{table}{f'<ul>{notes}</ul>' if notes else ''}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; non-finite numbers as "nan", "inf", "-inf"."""
        plain: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        for field in fields(self):
            value = getattr(self, field.name)
            plain[field.name] = spelled(value.tolist() if isinstance(value, np.ndarray) else value)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ProbeReport:
        check_origin(plain, FORMAT, VERSION, "plain")
        known = [field.name for field in fields(cls)]
        if missing := [key for key in known if key not in plain]:
            raise ValueError(f"plain should have every field of a report. Found no {missing}, only {sorted(plain)}.")
        try:
            return cls(**{key: _read(key, plain[key]) for key in known})
        except (TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"plain should hold the numbers of a report. Found {error}.") from error

    def save(self, path: str | Path) -> Path:
        """Write as .json; a reader sees the old file or the new one, never half of it."""
        return write_atomically(check_ending(path, ".json"), json.dumps(self.to_dict(), allow_nan=False))

    @classmethod
    def load(cls, path: str | Path) -> ProbeReport:
        path = check_ending(path, ".json")
        try:
            return cls.from_dict(parsed_record(path.read_bytes(), path.name))
        except ValueError as error:
            raise ValueError(f"{path.name} should be a file saved by ProbeReport.save. Found: {error}") from error


def _read(key: str, value: Any) -> Any:
    """Only what `to_dict` writes: names are strings, numbers are numbers or the three words."""
    if key in _TUPLES:
        return tuple(_text(key, item) for item in _list(key, value))
    if key == "no_path":
        if not isinstance(value, dict):
            raise ValueError(f"no_path should be a dict. Found a {type(value).__name__}.")
        return {term: tuple(_text(key, name) for name in _list(key, found)) for term, found in value.items()}
    if key in _SHAPES:
        return _numbers(key, _list(key, value))
    return _number(key, value) if key in _FLOATS else _text(key, value)


def _numbers(key: str, value: Any) -> Any:
    return [_numbers(key, item) for item in value] if isinstance(value, list) else _number(key, value)


def _number(key: str, value: Any) -> float | int | bool:
    flag = _DTYPES.get(key) is np.bool_
    if isinstance(value, bool) == flag and isinstance(value, bool | int if key in _DTYPES else int | float):
        return value
    if key not in _DTYPES and value in ("nan", "inf", "-inf"):
        return float(value)
    raise ValueError(f"{key} should hold {'flags' if flag else 'numbers'}. Found {str(value)[:40]!r}.")


def _list(key: str, value: Any) -> list:
    if not isinstance(value, list):
        raise ValueError(f"{key} should be a list. Found a {type(value).__name__}.")  # noqa: TRY004 - a damaged file
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} should be text. Found {str(value)[:40]!r}.")  # noqa: TRY004 - a damaged file
    return value


def _shortened(names: tuple[str, ...], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
