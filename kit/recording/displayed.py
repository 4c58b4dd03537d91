"""The numbers that the program displayed, and which of the recorded epochs they belong to."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from kit.files import spelled
from kit.recording.names import chosen

NAMES = ("train_loss", "val_loss")
_LOGGED = ("epoch", *NAMES)
MOST_LOGGED, MOST_OTHERS = 2000, 200  # numbers of one other name, and such names


class Shown:
    """Displayed numbers by row (epoch 1, 2, ...); `labels` keeps how the program itself counts its epochs."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        self.labels: dict[int, int] = {}  # the program's number of an epoch -> row
        self.listed = 0
        self.logged: dict[str, list[tuple[int, float]]] = {}  # under other names: row and value, as they came

    def add(self, row: int, train_loss: float | None, val_loss: float | None) -> None:
        values = {"train_loss": train_loss, "val_loss": val_loss}
        self.rows.setdefault(row, {}).update({name: value for name, value in values.items() if value is not None})

    def add_others(self, row: int, values: Mapping[str, float]) -> None:
        """Numbers under other names; of many of one name, every second of the earlier ones goes."""
        for name, value in values.items():
            if name in self.logged or len(self.logged) < MOST_OTHERS:
                held = self.logged.setdefault(name, [])
                held.append((row, value))
                if len(held) > MOST_LOGGED:
                    del held[1:-1:2]

    @property
    def facts(self) -> dict[str, Any]:
        """``logged``: name -> [row, value] of each number; NaN and infinity are spelled."""
        return {"logged": spelled(self.logged)} if self.logged else {}

    def row_of(self, label: int) -> int:
        """The row of the program's epoch `label`: as noted, else counted on from the nearest that is known."""
        if label in self.labels:
            return self.labels[label]
        if not self.labels:
            self.labels[label] = 1
            return 1
        near = min(self.labels, key=lambda known: abs(known - label))
        row = self.labels[near] + label - near
        if row < 1:
            raise ValueError(
                f"epoch should not be before the first that was logged, {min(self.labels)}. Found {label}."
            )
        self.labels[label] = row
        return row

    def add_list(
        self,
        epoch: list | None,
        train_loss: list | None,
        val_loss: list | None,
        others: Mapping[str, list] | None = None,
    ) -> None:
        given = (epoch, train_loss, val_loss, *(others or {}).values())
        count = len(next(values for values in given if values is not None))
        labels = range(1, count + 1) if epoch is None else [whole(value) for value in epoch]
        rows = list(labels) if epoch is None else [self.row_of(label) for label in labels]
        if epoch is None and not self.labels:
            self.labels = {row: row for row in rows}
        for place, row in enumerate(rows):
            at = {name: values[place] for name, values in (others or {}).items() if values[place] is not None}
            self.add_others(row, at)
            self.add(row, *(None if values is None else values[place] for values in (train_loss, val_loss)))
        self.listed = max([self.listed, *rows])


def check_names(more: tuple[Any, ...]) -> None:
    """TypeError for what was given without a name, with what was probably meant."""
    if not more:
        return
    head = f"run.log should be given {', '.join(f'{name}=' for name in _LOGGED[:-1])} or {_LOGGED[-1]}=."
    if len(more) == 1 and isinstance(more[0], Mapping):
        raise TypeError(f"{head} Found a {type(more[0]).__name__}; did you mean run.log(**values)?")
    names = ", ".join(f"{name}={value}" for name, value in zip(_LOGGED, more, strict=False))
    raise TypeError(f"{head} Found {len(more)} without a name; did you mean run.log({names})?")


def by_role(given: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The epoch and the two losses, also under other names; and what else was given. A name of its own comes first."""
    values = {name: value for name, value in given.items() if value is not None}
    rest = {name: value for name, value in other.items() if value is not None}
    picks = chosen(rest)
    for role in _LOGGED:
        held = [picks[role, per] for per in ("", "epoch", "step") if (role, per) in picks]
        if held and role not in values:
            values[role] = rest.pop(held[0])
    return values, rest


def read(name: str, value: Any) -> float | list[float | None] | None:
    """A number, a list of numbers (None in it: nothing was displayed), or None.

    Raises:
        TypeError: something else.
    """
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    if isinstance(value, pd.Series):
        value = value.tolist()
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [None if item is None else _number(name, item) for item in value]
    return _number(name, value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        kind = type(value).__name__
        raise TypeError(f"{name} should be a number, or a list of numbers. Found {name} = {value!r} ({kind}).")
    return float(value)


def whole(value: float | None) -> int:
    if value is None or not math.isfinite(value) or value != int(value):
        raise ValueError(f"epoch should be a whole number. Found epoch = {value!r}.")
    return int(value)


def split(steps: pd.DataFrame, epochs: int) -> np.ndarray | None:
    """Epoch [turns] when `epochs` were displayed and fewer were recognised: as many turns in each, or None.

    A program that evaluates every other epoch shows only every other boundary. Even parts are believed only if all turns
    are there and every boundary that was recognised is one of theirs.
    """
    turns = len(steps)
    if not turns or epochs < 2 or turns % epochs or steps["turn"].iloc[-1] != turns:
        return None
    even = np.repeat(np.arange(1, epochs + 1), turns // epochs)
    seen = steps["epoch"].to_numpy()
    boundaries = np.flatnonzero(np.diff(seen)) + 1
    return even if not (boundaries % (turns // epochs)).any() else None
