"""How often is the diagnosis right, and does it know when it is not?"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from kit.plots.figures import Evidence, evidence, new_axes
from kit.plots.looks import look


class Scored(Protocol):
    """What is drawn of a score of the fault bench."""

    @property
    def runs(self) -> pd.DataFrame: ...
    @property
    def confusion(self) -> pd.DataFrame: ...
    @property
    def reliability(self) -> pd.DataFrame: ...


def confusion(score: Scored, ax: Axes | None = None) -> Axes:
    """True cause (rows) against what was said (columns), in runs. Healthy: numbers on the diagonal alone."""
    table = score.confusion
    n, m = table.shape
    ax = new_axes(width=8.6, height=1.9 + 0.27 * n)[0] if ax is None else ax
    values = table.to_numpy(dtype=float)
    shown = np.where(values > 0, values, np.nan)
    ax.imshow(shown, aspect="auto", cmap="cividis", norm=LogNorm(0.9, max(2.0, values.max())))
    middle = np.sqrt(0.9 * max(2.0, values.max()))
    for row, column in zip(*np.nonzero(values), strict=True):
        count = values[row, column]
        ax.text(
            column,
            row,
            f"{count:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if count < middle else "black",
        )
    ax.set_xticks(range(m), table.columns, rotation=45, ha="right", fontsize=8, parse_math=False)
    ax.set_yticks(range(n), table.index, fontsize=8, parse_math=False)
    ax.set_xlabel("diagnosis")
    ax.set_ylabel("fault")
    ax.set_xticks(np.arange(m + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#cccccc", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    return ax


def reliability(score: Scored, ax: Axes | None = None) -> Axes:
    """The probability given to the first cause against how often it was right. Healthy: points on the diagonal."""
    ax = new_axes(width=4.6, height=3.6)[0] if ax is None else ax
    table = score.reliability
    ax.plot([0, 1], [0, 1], color="#888888", linestyle=":", linewidth=1.2)
    sizes = 20 + 180 * table["runs"] / table["runs"].max()
    ax.scatter(table["probability"], table["right"], s=sizes, color=look(0)["color"], zorder=3)
    for row in table.itertuples():
        ax.annotate(
            f"{row.runs}",
            (row.probability, row.right),
            textcoords="offset points",
            xytext=(-8, -12),
            fontsize=8,
            ha="right",
        )
    ax.set_xlim(0, 1.05)
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("probability of the first cause")
    ax.set_ylabel("share that was right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def confusion_evidence(score: Scored) -> Evidence:
    table = score.confusion
    wrong = [
        f"{truth} called {said}: {int(table.loc[truth, said])}"
        for truth in table.index
        for said in table.columns
        if truth != said and table.loc[truth, said]
    ]
    alt = (
        f"Confusion matrix of {len(score.runs)} evaluation runs, {len(table.index)} causes. Off the diagonal: "
        f"{'; '.join(wrong) or 'nothing'}."
    )
    caption = (
        "Is the fault of a run the one that is named? Runs of the evaluation half of the fault bench. Healthy: numbers on the "
        "diagonal alone."
    )
    numbers = {"fault": list(table.index), **{name: [int(v) for v in table[name]] for name in table.columns}}
    return evidence(confusion(score), alt, caption, numbers)


def reliability_evidence(score: Scored) -> Evidence:
    table = score.reliability
    parts = "; ".join(f"{row.probability:.2f}: {row.right:.2f} of {row.runs} runs" for row in table.itertuples())
    caption = (
        "Does the diagnosis know how sure it may be? Probability of the first cause against the share that was right; the number of runs "
        "beside each point. Healthy: points on the diagonal. Below it: too sure."
    )
    numbers = {name: list(table[name]) for name in table.columns}
    return evidence(
        reliability(score), f"Reliability diagram, probability and share that was right: {parts}.", caption, numbers
    )
