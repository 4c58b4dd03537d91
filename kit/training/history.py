"""TrainingHistory: what a run did, frozen, as tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from kit.files import load_record, save_record

_FORMAT, _VERSION = "kit.TrainingHistory", 1
_LARGEST = 2**63  # of whole numbers: a table holds no larger ones


@dataclass(frozen=True)
class TrainingHistory:
    """Per epoch and per step records of one run.

    Attributes:
        epoch_records: one mapping per epoch: ``epoch`` (from 1), ``train_loss, val_loss, batches, forward_passes,
            loss_calls, backward_calls, steps_taken, steps_skipped,
            nan_replaced, grad_norm`` (median over the batches, after NaN entries were replaced), ``lr, beta``, the seven ``lam_*``,
            and the validation value of each measured term.
        step_records: one mapping per batch: ``epoch, batch, loss, grad_norm, nan_replaced, stepped, lr, beta``.
        settings: the configuration, versions and what else tells the run apart.
    """

    epoch_records: Sequence[Mapping[str, Any]]
    step_records: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def epochs(self) -> pd.DataFrame:
        return pd.DataFrame(list(self.epoch_records)).set_index("epoch")

    @property
    def steps(self) -> pd.DataFrame:
        return pd.DataFrame(list(self.step_records))

    @property
    def train_loss(self) -> list[float]:
        return [record["train_loss"] for record in self.epoch_records]

    @property
    def val_loss(self) -> list[float]:
        return [record["val_loss"] for record in self.epoch_records]

    @property
    def lines(self) -> str:
        """What a trainer prints: one line per epoch."""
        return "\n".join(
            f"epoch {record['epoch']:3d}  train {record['train_loss']:.6f}  val {record['val_loss']:.6f}"
            for record in self.epoch_records
        )

    def __repr__(self) -> str:
        if not self.epoch_records:
            return "TrainingHistory(epochs=0)"
        last, steps = self.epoch_records[-1], sum(record["steps_taken"] for record in self.epoch_records)
        losses = f"train_loss={last['train_loss']:.6g}, val_loss={last['val_loss']:.6g}"
        return f"TrainingHistory(epochs={len(self.epoch_records)}, {losses}, steps_taken={steps})"

    def __str__(self) -> str:
        if not self.epoch_records:
            return repr(self)
        first, last = self.epoch_records[0], self.epoch_records[-1]
        return (
            f"TrainingHistory({len(self.epoch_records)} epochs, train {first['train_loss']:.4f} -> {last['train_loss']:.4f}, "
            f"val {first['val_loss']:.4f} -> {last['val_loss']:.4f}, {sum(r['steps_taken'] for r in self.epoch_records)} steps taken)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # a mapping proxy cannot be pickled
        return _unpickled, (self.epoch_records, self.step_records, dict(self.settings))

    def save(self, path: str | os.PathLike) -> Path:
        """Write as JSON, atomically."""
        content = {"settings": self.settings, "epochs": self.epoch_records, "steps": self.step_records}
        return save_record(path, _FORMAT, _VERSION, content)

    @classmethod
    def load(cls, path: str | os.PathLike) -> TrainingHistory:
        """Read a saved history. Raises ValueError for another kind of file, a damaged one or another version."""
        data = load_record(path, _FORMAT, _VERSION, ("settings", "epochs", "steps"))
        name = Path(path).name
        if not isinstance(data["settings"], dict):
            raise ValueError(f"{name} should hold settings by name. Found a {type(data['settings']).__name__}.")  # noqa: TRY004 - a damaged file
        if data["epochs"] == []:
            raise ValueError(f"{name} should hold at least one epoch. Found none.")
        epochs = _records(data["epochs"], f"{name}: epochs", ("epoch", "train_loss", "val_loss", "steps_taken"))
        steps = _records(data["steps"], f"{name}: steps", ("epoch", "loss"))
        return cls(epochs, steps, MappingProxyType(data["settings"]))


def _unpickled(epochs: Any, steps: Any, settings: dict[str, Any]) -> TrainingHistory:
    return TrainingHistory(epochs, steps, MappingProxyType(settings))


def _records(rows: Any, name: str, needed: Sequence[str]) -> tuple[Mapping[str, float], ...]:
    """Rows of one table: the same columns in each, every cell a number."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} should be a list of rows. Found {str(rows)[:60]}.")
    if missing := [column for column in needed if not all(column in row for row in rows)]:
        raise ValueError(
            f"{name} should have {', '.join(needed)} in every row. Found rows without {', '.join(missing)}."
        )
    for place, row in enumerate(rows):
        for column, value in row.items():
            if not isinstance(value, float) and not (isinstance(value, int) and abs(value) < _LARGEST):
                raise ValueError(f"{name} should hold numbers. Found {column} = {str(value)[:40]!r} in row {place}.")
    return tuple(rows)
