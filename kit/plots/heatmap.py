"""Which layer learns from which term?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from kit.plots.evidence import Evidence, evidence, new_axes


def layer_norms(report: Any) -> np.ndarray:
    """Unweighted gradient norm of each term in each layer group, ``[n, m]``; nan where it is not finite."""
    squares = np.diagonal(np.asarray(report.G_groups, dtype=np.float64), axis1=1, axis2=2)
    return np.sqrt(np.clip(squares, 0.0, None))


def layer_heatmap(report: Any, ax: Axes | None = None) -> Axes:
    """Gradient norm per layer group (rows) and term (columns). Empty: no path. 0: a path, but an exactly zero gradient."""
    norms, paths = layer_norms(report), np.asarray(report.paths, dtype=bool)
    n, m = norms.shape
    ax = new_axes(height=1.5 + 0.34 * n)[0] if ax is None else ax
    shown = np.where(paths & (norms > 0) & np.isfinite(norms), norms, np.nan)
    positive = shown[np.isfinite(shown)]
    limits = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
    image = ax.imshow(shown, aspect="auto", cmap="cividis", norm=LogNorm(limits[0] * 0.999, limits[1] * 1.001))
    middle = float(np.sqrt(limits[0] * limits[1]))
    for row in range(n):
        for column in range(m):
            value = norms[row, column]
            text = "" if not paths[row, column] else ("nan" if not np.isfinite(value) else f"{value:.2g}")
            dark = np.isfinite(shown[row, column]) and value < middle
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set_xticks(range(m), report.names, rotation=30, ha="right", fontsize=8, parse_math=False)
    ax.set_yticks(range(n), report.groups, fontsize=8, parse_math=False)
    ax.set_xticks(np.arange(m + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#cccccc", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    ax.get_figure().colorbar(image, ax=ax, label="gradient norm", shrink=0.85)
    return ax


def layer_heatmap_evidence(report: Any) -> Evidence:
    norms, paths = layer_norms(report), np.asarray(report.paths, dtype=bool)
    reached = {
        name: [g for g, path, norm in zip(report.groups, paths[:, i], norms[:, i], strict=True) if path and norm > 0]
        for i, name in enumerate(report.names)
    }
    parts = "; ".join(f"{name}: {', '.join(groups) or 'none'}" for name, groups in reached.items())
    sick = [name for i, name in enumerate(report.names) if (paths[:, i] & ~np.isfinite(norms[:, i])).any()]
    if sick:
        parts += f". Not finite: {', '.join(sick)}"
    caption = (
        "Which layer learns from which term? Unweighted gradient norms. Healthy: every layer has a number from some term. "
        "Empty: the term has no path to the layer. 0: it has a path, but pulls exactly nothing."
    )
    shown = np.where(paths, norms.astype(object), None)  # no path is no number, not a 0
    numbers = {"layer": list(report.groups), **{name: list(shown[:, i]) for i, name in enumerate(report.names)}}
    alt = f"Heat map of gradient norms. Layers with a non-zero gradient: {parts}."
    return evidence(layer_heatmap(report), alt, caption, numbers)
