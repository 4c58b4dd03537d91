"""The overfit protocol: can the network fit 512 scenes? If not, no fix has worked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from torch import nn

from kit.covariance import Batch
from kit.loss import UltimateHybridLoss
from kit.training.config import TrainingConfig
from kit.training.history import TrainingHistory
from kit.training.loop import TrainingLoop

START_RANGE = (0.5, 2.0)  # the report's expected start, which holds for the covariance term alone
MAX_LAST = 0.5
MIN_DROP = 0.5


@dataclass(frozen=True)
class OverfitResult:
    """The run and its checks: ``checks`` maps what was asked to (measured, expected, met)."""

    history: TrainingHistory
    checks: dict[str, tuple[str, str, bool]]

    @property
    def passed(self) -> bool:
        return all(met for _, _, met in self.checks.values())

    @property
    def table(self) -> pd.DataFrame:
        rows = [
            (name, measured, expected, "yes" if met else "NO")
            for name, (measured, expected, met) in self.checks.items()
        ]
        return pd.DataFrame(rows, columns=["check", "measured", "expected", "met"]).set_index("check")

    def __repr__(self) -> str:
        return f"OverfitResult(passed={self.passed}, epochs={len(self.history.epoch_records)})"

    def __str__(self) -> str:
        return f"{self!r}\n{self.table.to_string()}"


def overfit_test(
    model: nn.Module,
    loss: UltimateHybridLoss,
    data: Batch,
    *,
    epochs: int = 30,
    batch_size: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> OverfitResult:
    """Train on ``data`` and validate on the same ``data``: no blend, no schedule, no weight decay, no average.

    The thresholds are those of the protocol (512 samples, 30 epochs, covariance-only weights): first epoch in [0.5, 2.0],
    last < 0.5, a drop of more than half, every step taken, validation falling with the training loss.
    """
    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        weight_decay=0.0,
        ema_decay=None,
        blend=0.0,
        structure_schedule=False,
        require_steps=False,
        seed=seed,
    )
    history = TrainingLoop(model, loss, data, config).run(progress)
    return OverfitResult(history, _checks(history))


def _checks(history: TrainingHistory) -> dict[str, tuple[str, str, bool]]:
    first, last = history.train_loss[0], history.train_loss[-1]
    val_first, val_last = history.val_loss[0], history.val_loss[-1]
    drop = 1 - last / first if first > 0 else 0.0
    taken = sum(record["steps_taken"] for record in history.epoch_records)
    planned = sum(record["batches"] for record in history.epoch_records)
    gap = abs(val_last - last) / last if last > 0 else float("inf")
    low, high = START_RANGE
    return {
        "first epoch": (f"{first:.3f}", f"{low} to {high}", low <= first <= high),
        "last epoch": (f"{last:.3f}", f"< {MAX_LAST}", last < MAX_LAST),
        "drop": (f"{100 * drop:.0f} %", f"> {100 * MIN_DROP:.0f} %", drop > MIN_DROP),
        "steps taken": (f"{taken}", f"{planned}", taken == planned),
        "validation falls": (f"{val_first:.3f} to {val_last:.3f}", "last < first", val_last < val_first),
        "validation follows training": (f"{100 * gap:.1f} % apart", "< 10 %", gap < 0.10),
    }
