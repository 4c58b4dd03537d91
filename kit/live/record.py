"""What was recorded since the last change, as the tables that a diagnosis reads, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

_COUNTED = ("batches", "forwards", "reached", "loss_calls", "backwards", "steps")
ROWS, EPOCHS = 600, 200


@dataclass(frozen=True)
class Evidence:
    """The tables of a trace: ``steps``, ``epochs``, ``facts``."""

    steps: pd.DataFrame
    epochs: pd.DataFrame
    facts: Mapping[str, Any]


@dataclass
class Record:
    """Rows since step ``since``, the newest of them. A change begins it anew: what was measured before it is not mixed in.

    Of an epoch in which something was changed the displayed numbers are left out, as they hold both.
    """

    since: int = 0
    rows: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=ROWS))
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    mixed: int | None = None

    def begin(self, step: int, epoch: int | None) -> None:
        """epoch: the one in which the change falls, None between two."""
        self.since, self.mixed = step, epoch
        self.rows.clear()
        self.epochs.clear()

    def add(self, epoch: int, row: Mapping[str, Any], batches: int) -> None:
        """One step of the loop, over so many batches, of which the loss saw one."""
        added = {"epoch": epoch, **row, "forwards": batches, "reached": 1}
        self.rows.append(added)
        counts = self.epochs.setdefault(epoch, dict.fromkeys(_COUNTED, 0))
        for name in _COUNTED:
            counts[name] += added.get("forwards" if name == "batches" else name, 0)
        if len(self.epochs) > EPOCHS:
            del self.epochs[next(iter(self.epochs))]

    def end_epoch(self, epoch: int, displayed: Mapping[str, float]) -> None:
        if epoch in self.epochs and epoch != self.mixed:
            self.epochs[epoch].update(displayed)

    @property
    def displayed(self) -> int:
        """Epochs whose displayed numbers count."""
        return sum("train_loss" in row for row in self.epochs.values())

    def evidence(self, facts: Mapping[str, Any]) -> Evidence:
        epochs = pd.DataFrame.from_dict(self.epochs, orient="index")
        return Evidence(pd.DataFrame(list(self.rows)), epochs, MappingProxyType(dict(facts)))
