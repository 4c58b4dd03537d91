"""Recorded runs made by hand: only what a test needs was observed."""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from kit.hypotheses import Observed


def observed(steps=None, epochs=None, **facts) -> Observed:
    return Observed(pd.DataFrame(steps or {}), pd.DataFrame(epochs or {}), MappingProxyType(facts))


def healthy(**changes) -> Observed:
    """Twelve batches in three epochs that learn; ``changes`` replaces columns (None takes one away)."""
    steps = {
        "epoch": [1] * 4 + [2] * 4 + [3] * 4,
        "loss": [3.0 - 0.1 * i for i in range(12)],
        "backwards": [1] * 12,
        "steps": [1] * 12,
        "grad_norm": [1.0] * 12,
        "grad_nonfinite": [0] * 12,
        "grad_zero": [0] * 12,
        "grad_none": [0] * 12,
        "grad_tensors": [4] * 12,
        "seen_zero": [0] * 12,
        "seen_none": [0] * 12,
        "seen_tensors": [4] * 12,
        "lr": [1e-3] * 12,
    }
    epochs = {
        "train_loss": [2.85, 2.45, 2.05],
        "val_loss": [3.0, 2.6, 2.2],
        "batches": [4, 4, 4],
        "reached": [4, 4, 4],
        "backwards": [4, 4, 4],
        "steps": [4, 4, 4],
        "eval_forwards": [2, 2, 2],
        "drift": [0.1, 0.1, 0.1],
        "eval_drift": [float("nan"), 0.1, 0.1],
    }
    for name, value in changes.items():
        long = value is None and name in steps or value is not None and len(value) == 12
        table = steps if long else epochs
        if value is None:
            table.pop(name)
        else:
            table[name] = value
    return observed(steps, epochs)
