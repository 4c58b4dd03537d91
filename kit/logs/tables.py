"""From the rows of a log to the tables that the checks read. What a log does not hold is missing, and so not observed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kit.hypotheses import POLICY
from kit.logs.rows import Rows
from kit.recording.names import chosen

TERM = "logged:"  # before the name of a part of the loss: weighted or not, a log does not say
_LARGEST = 2.0**53
_ROUNDED = 5  # decimals up to which two equal numbers need not be equal


@dataclass(frozen=True)
class Series:
    """The numbers of one role as they were written, NaN among them.

    Attributes:
        name: of the column.
        at: [n], the step, epoch or row of each.
        values: [n].
        count: how many there were; of a long log not all of them are kept.
        decimals: how many were written, if always as many; None if the numbers are written in full.
    """

    name: str
    at: np.ndarray
    values: np.ndarray
    count: int
    decimals: int | None

    @property
    def rounded(self) -> bool:
        """Whether a 0 may be a small number."""
        return self.decimals is not None and self.decimals <= _ROUNDED


@dataclass(frozen=True)
class Tables:
    """steps and epochs as in a trace; series by role; what `at` counts ("step", "epoch" or "row"); what a row of epochs is."""

    steps: pd.DataFrame
    epochs: pd.DataFrame
    series: Mapping[str, Series]
    unit: str
    by: str


def tables_of(rows: Rows, *, by_tag: bool = False, last: bool = False) -> Tables:
    """The tables of a log.

    Args:
        rows: as they were read.
        by_tag: all of one name came before the next, so the step says what belongs together.
        last: the train loss of an epoch is the last number that was shown of it; else the mean.
    """
    picks = chosen(rows.names, rows.held)
    names = _by_role(rows, picks)
    entries = [_Entry.of(row, names) for _, row in rows.rows()]
    if by_tag:
        entries.sort(key=lambda entry: (entry.step, "val_loss" in entry.values))
    unit = _place(entries, by_tag)
    by = _group(entries, last)
    series = _series(rows, names, entries)
    return Tables(_steps(entries, series), _epochs(entries, series, last), series, unit, by)


@dataclass
class _Entry:
    values: dict[str, float]  # role -> value
    step: float = math.nan
    epoch: float = math.nan
    at: float = math.nan
    group: int = 0

    @property
    def trains(self) -> bool:
        """Whether it holds a train loss."""
        return bool({"train_loss", "train_epoch"} & {*self.values})

    @classmethod
    def of(cls, row: Mapping[str, float], names: Mapping[str, tuple[str, ...]]) -> _Entry:
        values = {}
        for role, own in names.items():
            found = [row[name] for name in own if name in row]
            if found:
                values[role] = max(found)  # of several groups of parameters, the largest rate
        return cls(values, _count(values.pop("step", math.nan)), _count(values.pop("epoch", math.nan)))


def _count(value: float) -> float:
    """A step or an epoch; NaN for what is none."""
    return value if abs(value) < _LARGEST else math.nan


def _by_role(rows: Rows, picks: Mapping[tuple[str, str], str]) -> dict[str, tuple[str, ...]]:
    """Role -> the columns that are read for it; "train_epoch" is a train loss that was averaged over the epoch."""
    orders = {"train_loss": ("", "step", "epoch"), "val_loss": ("", "epoch", "step")}
    names: dict[str, tuple[str, ...]] = {}
    for role in ("epoch", "step", "grad_norm", "train_loss", "val_loss"):
        held = [picks[role, per] for per in orders.get(role, ("",)) if (role, per) in picks]
        if held:
            names[role] = (held[0],)
    if ("train_loss", "epoch") in picks and ("train_loss", "") not in picks:
        names["train_epoch"] = (picks["train_loss", "epoch"],)
    if total := rows.as_total():
        names["train_loss"] = (total,)
    if rates := tuple(name for name, found in rows.names.items() if found.role == "lr"):
        names["lr"] = rates
    terms = [(name, found.term) for name, found in rows.names.items() if found.role == "term" and name != total]
    return names | {TERM + term: (name,) for name, term in terms}


def _place(entries: list[_Entry], by_tag: bool) -> str:
    """Set where each entry stands; the unit of that."""
    known = {entry.step: entry.epoch for entry in entries if entry.step == entry.step and entry.epoch == entry.epoch}
    for entry in entries:
        if entry.epoch != entry.epoch:
            entry.epoch = known.get(entry.step, math.nan)
    steps = pd.Series([entry.step for entry in entries], dtype=float).ffill().fillna(0.0)
    epochs = pd.Series([entry.epoch for entry in entries], dtype=float).ffill().bfill()
    for entry, epoch in zip(entries, epochs, strict=True):
        entry.epoch = epoch
    trained = [entry.epoch for entry in entries if entry.trains]
    if steps.any() and (by_tag or steps.is_monotonic_increasing):
        unit, at = "step", steps.tolist()
    elif epochs.notna().all() and epochs.is_monotonic_increasing and len({*trained}) == len(trained):
        unit, at = "epoch", epochs.tolist()
    else:
        unit, at = "row", [float(place) for place in range(1, len(entries) + 1)]
    for entry, place in zip(entries, at, strict=True):
        entry.at = place
    return unit


def _group(entries: list[_Entry], last: bool) -> str:
    """Set the row of epochs that each entry belongs to; what such a row is."""
    epochs = [entry.epoch for entry in entries]
    known = not np.isnan(epochs).any()
    part = known and any(epoch % 1 for epoch in epochs)
    labels = [math.ceil(epoch) if part else int(epoch) for epoch in epochs] if known else []
    many, evaluations = len({*labels}), sum("val_loss" in entry.values for entry in entries)
    trained = sum(entry.trains for entry in entries)
    if max(many, evaluations) < POLICY.enough_steps and trained > max(many, evaluations):
        begun = np.cumsum([entry.trains for entry in entries])  # each begins with a train loss
        groups, by = np.maximum(begun - 1, 0).tolist(), "row"
    elif many >= evaluations or (last and many >= POLICY.enough_steps):
        places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        groups, by = [places[label] for label in labels], "epoch"
    else:
        ended = np.cumsum(["val_loss" in entry.values for entry in entries])  # each ends with an evaluation
        groups, by = [0, *ended[:-1].tolist()], "evaluation"
    for entry, group in zip(entries, groups, strict=True):
        entry.group = group
    return by


def _series(rows: Rows, names: Mapping[str, tuple[str, ...]], entries: list[_Entry]) -> dict[str, Series]:
    found = {}
    for role, own in names.items():
        held = [entry for entry in entries if role in entry.values]
        if role not in ("epoch", "step") and held:
            decimals = [rows.decimals(name) for name in own]
            found[role] = Series(
                own[0],
                np.array([entry.at for entry in held]),
                np.array([entry.values[role] for entry in held]),
                max(rows.held[name] for name in own),
                None if None in decimals else max(d for d in decimals if d is not None),
            )
    return found


def _steps(entries: list[_Entry], series: Mapping[str, Series]) -> pd.DataFrame:
    roles = [role for role in series if role not in ("val_loss", "train_epoch")]
    held = [entry for entry in entries if {*roles} & {*entry.values}]
    whole = all(float(entry.at).is_integer() for entry in held)
    turns = [entry.at if whole else place for place, entry in enumerate(held, start=1)]
    table = pd.DataFrame(
        [
            {"epoch": e.group + 1, "turn": turn, **{r: e.values[r] for r in roles if r in e.values}}
            for e, turn in zip(held, turns, strict=True)
        ],
        columns=["epoch", "turn", *roles],
    ).astype({"epoch": np.int64, "turn": np.int64})
    if "lr" in series and series["lr"].decimals is not None:  # 0.0000 may be 1e-5
        table["lr"] = table["lr"].where(table["lr"] != 0)
    if "grad_norm" in series:
        table["grad_nonfinite"] = [_nonfinite(e.values.get("grad_norm")) for e in held]
        table["grad_nonfinite"] = _lasting(table["grad_nonfinite"])
        table["grad_norm"] = table["grad_norm"].where(np.isfinite(table["grad_norm"]))
    merged = table.groupby("turn", sort=False).first().reset_index()  # of every column the first that is there
    return merged.dropna(axis="columns", how="all") if len(merged) else merged


def _nonfinite(norm: float | None) -> float:
    """How many tensors are not finite, at least."""
    return math.nan if norm is None else float(not math.isfinite(norm))


def _lasting(flags: pd.Series) -> pd.Series:
    """A gradient scaler overflows now and then while it looks for its scale: what passes by itself says nothing."""
    known = flags.dropna()
    finite = known.index[known == 0]
    lasts = known.mean() >= POLICY.overflow_share if len(known) else False
    after = known.index[known.index > finite[-1]] if len(finite) else known.index
    kept = flags.copy()
    if not lasts:
        bad = known.index[known > 0]
        kept.loc[[place for place in bad if place not in {*after}]] = math.nan
    return kept


def _epochs(entries: list[_Entry], series: Mapping[str, Series], last: bool) -> pd.DataFrame:
    count = max((entry.group for entry in entries), default=-1) + 1
    table = pd.DataFrame(
        math.nan, index=pd.RangeIndex(1, count + 1, name="epoch"), columns=["train_loss", "val_loss", "lr"]
    )
    grouped: dict[str, dict[int, list[float]]] = {}
    for entry in entries:
        for role, value in entry.values.items():
            if math.isfinite(value):
                grouped.setdefault(role, {}).setdefault(entry.group + 1, []).append(value)
    train = grouped.get("train_epoch") or grouped.get("train_loss") or {}
    for row, values in train.items():
        table.loc[row, "train_loss"] = (
            values[-1] if last or "train_epoch" in grouped else math.fsum(values) / len(values)
        )
    for row, values in grouped.get("val_loss", {}).items():
        table.loc[row, "val_loss"] = values[-1]
    for row, values in grouped.get("lr", {}).items():
        table.loc[row, "lr"] = max(values)
    validation = series.get("val_loss")
    if validation is not None and validation.rounded and len(validation.values) < POLICY.enough_steps:
        table["val_loss"] = math.nan if not np.ptp(validation.values) else table["val_loss"]  # two equal roundings
    return table.dropna(how="all", subset=["train_loss", "val_loss"])
