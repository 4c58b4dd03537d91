"""Displayed and computed: does a loop show the losses it computes, and does validation move?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kit.plots.figures import Evidence, evidence, new_axes
from kit.plots.looks import role

_CAPTION = (
    "Which number of the symptom does each fault make? Left, train: the filled square is displayed, the ring is the mean of what was "
    "computed; healthy: one inside the other. Right: how far validation moved from the first epoch to the last; healthy: not 0."
)


def displayed(counts: pd.DataFrame, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """One row per fault, the first on top; a loss that is not a number has no ring."""
    left, right = axes = new_axes(2, width=9.2, height=3.5) if axes is None else list(axes)
    rows = np.arange(len(counts))[::-1]
    train, batch, validation = (role(name)["color"] for name in ("train", "batch", "validation"))
    computed, shown, moved = _drawn(counts)
    left.hlines(rows, 0, np.nan_to_num(np.fmax(computed, shown)), color="0.85", linewidth=1)
    left.scatter(computed, rows, s=90, facecolors="none", edgecolors=batch, linewidths=1.6, label="computed")
    left.scatter(shown, rows, s=22, marker="s", color=train, label="displayed", zorder=3)
    left.set_yticks(rows, counts.index, fontsize=8)
    left.set_title("train loss, last epoch", fontsize=10, loc="left")
    left.legend(frameon=False, fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.07))
    right.axvline(0, color="0.6", linewidth=1)
    right.scatter(moved, rows, s=26, marker="D", color=validation)
    right.set_yticks(rows, [])
    right.xaxis.set_major_locator(MaxNLocator(3))  # small differences have long labels
    right.set_title("validation loss, last minus first", fontsize=10, loc="left")
    for ax in axes:
        ax.set_ylim(-0.6, len(counts) - 0.4)
        ax.tick_params(axis="x", labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    return axes


def displayed_evidence(counts: pd.DataFrame) -> Evidence:
    """Of a table with the columns ``train_computed``, ``train_displayed``, ``val_first`` and ``val_last``."""
    computed, shown, moved = _drawn(counts)
    each = zip(counts.index, computed, shown, moved, strict=True)
    parts = "; ".join(f"{name}: computed {c:.4f}, displayed {s:.4f}, validation {m:+.6f}" for name, c, s, m in each)
    numbers = {
        "fault": list(counts.index),
        "train, computed": [None if np.isnan(value) else float(value) for value in computed],
        "train, displayed": shown.tolist(),
        "validation, last minus first": moved.tolist(),
    }
    alt = f"Two dot charts with a row per fault: train loss computed and displayed, and how far validation moved. {parts}."
    return evidence(displayed(counts)[0], alt, _CAPTION, numbers)


def _drawn(counts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    moved = counts["val_last"] - counts["val_first"]
    computed, shown = counts["train_computed"], counts["train_displayed"]
    return computed.to_numpy(dtype=float), shown.to_numpy(dtype=float), moved.to_numpy(dtype=float)
