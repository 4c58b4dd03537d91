"""A panel's data -> the probed states it was made of, so that a stored panel is live again without a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.files import check_origin
from kit.panel.data import FORMAT, VERSION
from kit.panel.presets import Preset


@dataclass(frozen=True, eq=False)
class RecordedCase:
    """The fields of a ProbeReport that a panel shows. m terms, n layer groups; what was not finite is nan."""

    names: tuple[str, ...]
    weight_names: tuple[str, ...]
    L: np.ndarray  # [m]
    weights: np.ndarray  # [m]
    adjustable: np.ndarray  # [m]
    G: np.ndarray  # [m, m]
    groups: tuple[str, ...]
    G_groups: np.ndarray  # [n, m, m]
    n_parameters: np.ndarray  # [n]
    total: float
    grad_norm: float
    residual: float
    notes: tuple[str, ...]


def cases_of(data: Mapping[str, Any]) -> dict[str, RecordedCase]:
    """Title -> state, from what ``panel_data`` gave. ValueError for anything else."""
    check_origin(data, FORMAT, VERSION, "data")
    try:
        # a weight probed below 0 has no slider, but it is a weight: the flag is told apart again
        own = [bool(can or below) for can, below in zip(data["adjustable"], data["negative"], strict=True)]
        return {case["title"]: _case(data, case, own) for case in data["cases"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"data should hold names and cases of a panel. Found {error!r}.") from error


def presets_in(data: Mapping[str, Any]) -> tuple[Preset, ...]:
    """The presets, with the titles of their cases. ValueError for data that is not a panel's."""
    check_origin(data, FORMAT, VERSION, "data")
    try:
        titles = [case["title"] for case in data["cases"]]
        return tuple(
            Preset(
                key=preset["key"],
                title=preset["title"],
                weights=dict(preset["weights"]),
                hypothesis=preset["hypothesis"],
                case=None if preset["case"] is None else titles[preset["case"]],
                what=preset["what"],
            )
            for preset in data["presets"]
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"data should hold the presets of a panel. Found {error!r}.") from error


def _case(data: Mapping[str, Any], case: Mapping[str, Any], own: list[bool]) -> RecordedCase:
    m, n = len(data["names"]), len(case["groups"])
    return RecordedCase(
        names=tuple(data["names"]),
        weight_names=tuple(data["weight_names"]),
        L=_array(case["L"], (m,)),
        weights=_array(case["weights"], (m,)),
        adjustable=np.array(own, dtype=bool),
        G=_array(case["G"], (m, m)),
        groups=tuple(case["groups"]),
        G_groups=_array(case["G_groups"], (n, m, m)),
        n_parameters=np.array(case["n_parameters"], dtype=np.int64),
        total=_number(case["total"]),
        grad_norm=_number(case["grad_norm"]),
        residual=_number(case["residual"]),
        notes=(case["note"],) if case["note"] else (),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(shape)  # numpy reads None as nan
