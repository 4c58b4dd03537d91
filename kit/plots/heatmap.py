"""Which layer learns from which term?"""

from __future__ import annotations

import re
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch, Rectangle

from kit.plots.figures import Evidence, evidence, new_axes
from kit.whatif import Probed

_RED = "#B3261E"
_NO_PATH: dict[str, Any] = {"facecolor": "#e8eaed", "edgecolor": "#9aa0a6", "hatch": "////", "linewidth": 0.0}
_ZERO: dict[str, Any] = {"facecolor": "white", "edgecolor": _RED, "linewidth": 1.6}
_LOST: dict[str, Any] = {"facecolor": "#fbe3e1", "edgecolor": _RED, "linewidth": 1.6, "linestyle": (0, (2, 1.5))}


class Pathed(Probed, Protocol):
    """A probe that tells which term's graph reaches which layer group."""

    @property
    def paths(self) -> np.ndarray: ...  # [n, m]


def layer_norms(report: Probed) -> np.ndarray:
    """Unweighted gradient norm of each term in each layer group, ``[n, m]``; nan where it is not finite."""
    squares = np.diagonal(np.asarray(report.G_groups, dtype=np.float64), axis1=1, axis2=2)
    return np.sqrt(np.clip(squares, 0.0, None))


def layer_heatmap(report: Pathed, ax: Axes | None = None) -> Axes:
    """Gradient norm per layer group (rows) and term (columns). Faint: small. Hatched: no path. Framed 0: a path, but a gradient of 0."""
    norms, paths = layer_norms(report), np.asarray(report.paths, dtype=bool)
    n, m = norms.shape
    names = [in_lines(name) for name in report.names]
    lines = max(name.count("\n") + 1 for name in names)
    ax = new_axes(width=8.4, height=1.2 + 0.34 * n + 0.13 * lines)[0] if ax is None else ax
    shown = np.where(paths & (norms > 0) & np.isfinite(norms), norms, np.nan)
    positive = shown[np.isfinite(shown)]
    low, high = (positive.min() * 0.999, positive.max() * 1.001) if positive.size else (0.999, 1.001)
    scale = LogNorm(low, high)
    image = ax.imshow(shown, aspect="auto", cmap="YlGnBu", norm=scale)
    ax.set_facecolor("white")
    for row, column in np.ndindex(n, m):
        _cell(ax, row, column, float(norms[row, column]), bool(paths[row, column]), scale)
    ax.set_xticks(range(m), names, fontsize=8, parse_math=False)
    ax.xaxis.tick_top()
    ax.set_yticks(range(n), report.groups, fontsize=8, parse_math=False)
    ax.set_xticks(np.arange(m + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#cccccc", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    figure = ax.figure
    figure.colorbar(image, ax=ax, label="gradient norm", shrink=0.85)
    marks = {"no path": Patch(**_NO_PATH), "a path, but exactly 0": Patch(**_ZERO), "not finite": Patch(**_LOST)}
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return ax


def _cell(ax: Axes, row: int, column: int, value: float, path: bool, scale: LogNorm) -> None:
    """The number of one cell, or the mark of what is no positive number."""
    mark, text, ink = None, f"{float(f'{value:.2g}'):g}", "black"
    if not path:
        mark, text = _NO_PATH, ""
    elif not np.isfinite(value):
        mark, text = _LOST, "nan"
    elif value == 0:
        mark, text, ink = _ZERO, "0", _RED
    elif scale(value) > 0.55:
        ink = "white"
    if mark is not None:
        inset = 0.5 if mark is _NO_PATH else 0.44  # a frame stays inside its own cell
        ax.add_patch(Rectangle((column - inset, row - inset), 2 * inset, 2 * inset, **mark))
    ax.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)


def in_lines(name: str, width: int = 13) -> str:
    """The name in lines of about `width` letters, broken before an underscore, a dot or a blank: level text is read at once."""
    lines = [""]
    for part in re.findall(r"[_. ]?[^_. ]*", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def layer_heatmap_evidence(report: Pathed) -> Evidence:
    norms, paths = layer_norms(report), np.asarray(report.paths, dtype=bool)
    reached = {
        name: [g for g, path, norm in zip(report.groups, paths[:, i], norms[:, i], strict=True) if path and norm > 0]
        for i, name in enumerate(report.names)
    }
    parts = "; ".join(f"{name}: {', '.join(groups) or 'none'}" for name, groups in reached.items())
    faulty = [name for i, name in enumerate(report.names) if (paths[:, i] & ~np.isfinite(norms[:, i])).any()]
    if faulty:
        parts += f". Not finite: {', '.join(faulty)}"
    caption = (
        "Which layer learns from which term? Unweighted gradient norms. Healthy: every layer has a number from some term. "
        "Faint: small. Hatched: the term has no path to the layer. A framed 0: it has a path, but its gradient is exactly 0."
    )
    shown = np.where(paths, norms.astype(object), np.array(None))  # no path is no number, not a 0
    numbers = {"layer": list(report.groups), **{name: list(shown[:, i]) for i, name in enumerate(report.names)}}
    alt = f"Heat map of gradient norms. Layers with a non-zero gradient: {parts}."
    return evidence(layer_heatmap(report), alt, caption, numbers)
