"""The panel as a static figure: a figure with alt text and a table, for readers where no widget runs.

Inline SVG and frames are dropped there; a PNG inside an HTML figure and a plain table are kept.
"""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kit import whatif
from kit.panel.data import as_set
from kit.plots import figure_html, look, palette, png_of
from kit.whatif import Probed

_LONGEST_NAME = 26
_NEXT = "next step, for 1\u2009% less of the total (first order)"
_CANCELLED = 1e-12  # of the sum of norms: a change below it is rounding of terms that cancel


def number(x: float) -> str:
    """Four significant digits; "not finite" in words."""
    if not math.isfinite(x):
        return "not finite"
    return "0" if x == 0 else f"{x:.4g}"


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "\u2026"


def _bars(ax: Axes, names: list[str], values: np.ndarray, last: str, last_value: float, heading: str) -> None:
    """Horizontal bars of the terms, then the heavier one of the sum; the number stands beside each bar."""
    shown = np.append(values, last_value)
    finite = np.where(np.isfinite(shown), shown, 0.0)
    hues = [look(i)["color"] for i in range(len(names))] + [palette()["total"]]
    ax.barh(range(len(shown)), finite, color=hues, edgecolor="#00000080", linewidth=0.6, height=0.62)
    low, high = min(0.0, finite.min()), max(0.0, finite.max())
    span = (high - low) or 1.0
    for i, (value, length) in enumerate(zip(shown, finite, strict=True)):
        ax.text(max(length, 0.0) + 0.02 * span, i, number(value), va="center", fontsize=8)
    labels = [f"{i + 1}  {_cut(name)}" for i, name in enumerate(names)] + [last]
    ax.set_yticks(range(len(shown)), labels, fontsize=8, parse_math=False)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlim(low - (0.05 * span if low < 0 else 0.0), high + 0.22 * span)
    ax.axhline(len(names) - 0.5, color="#00000080", linewidth=0.6)
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(heading, fontsize=9, loc="left", fontweight="bold")


def bar_figure(report: Probed, weights: Mapping[str, float]) -> Figure:
    """Two bar plots: weighted value per term and total; weighted gradient norm per term and norm of their sum."""
    shown = as_set(report, weights)
    height = 1.1 + 0.27 * (len(report.names) + 1)  # inches: the heading, then one line a bar
    figure = Figure(figsize=(9.0, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    names = list(report.names)
    _bars(left, names, whatif.weighted(shown), "total", whatif.total(shown), "Which term makes the total?")
    _bars(
        right,
        names,
        whatif.term_grad_norms(shown),
        "total gradient",
        whatif.grad_norm(shown),
        "How large is the gradient of each term?",
    )
    return figure


def _png(figure: Figure) -> bytes:
    with warnings.catch_warnings():
        # A name in a script the font lacks is drawn as boxes; the table beside the picture has it in full.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        return png_of(figure)


def alt_text(report: Probed, weights: Mapping[str, float]) -> str:
    """What the picture shows, in words and numbers."""
    shown = as_set(report, weights)
    parts = ", ".join(f"{name} {number(x)}" for name, x in zip(report.names, whatif.weighted(shown), strict=True))
    gradients = ", ".join(
        f"{name} {number(x)}" for name, x in zip(report.names, whatif.term_grad_norms(shown), strict=True)
    )
    return (
        f"Two bar charts. Weighted value of each term: {parts}; total {number(whatif.total(shown))}. "
        f"Weighted gradient norm of each term: {gradients}; norm of their sum {number(whatif.grad_norm(shown))}."
    )


def next_changes(shown: Probed) -> list[str]:
    """What the next plain gradient step does to each term, to first order, as the live panel says it.

    In % of the term's value, for the step that takes 1 % off the total; without an amount where the total or the value is 0.
    """
    slopes = whatif.next_step(shown, 1.0)
    reach = np.sqrt(np.maximum(np.diag(shown.G), 0.0)) * np.abs(whatif.term_grad_norms(shown)).sum()
    total, norm = whatif.total(shown), whatif.grad_norm(shown)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        percents = slopes * (abs(total) / norm**2) / np.abs(shown.L) if total and norm else slopes * np.nan
    return [_change(*numbers) for numbers in zip(slopes.tolist(), reach.tolist(), percents.tolist(), strict=True)]


def _change(slope: float, reach: float, percent: float) -> str:
    if not math.isfinite(slope):
        return "not known"
    if abs(slope) <= _CANCELLED * (reach if math.isfinite(reach) else 0.0):
        return "unchanged"
    way, size = "falls" if slope < 0 else "rises", abs(percent)
    if not math.isfinite(size):
        return way
    if 0.01 <= size < 1000:
        return f"{way}, {float(f'{size:.3g}'):g}\u2009%"
    return f"{way}, {'<0.01' if size < 0.01 else '>999'}\u2009%"


def _table(report: Probed, weights: Mapping[str, float]) -> str:
    shown = as_set(report, weights)
    columns = zip(
        report.names,
        report.weight_names,
        shown.weights,
        report.L,
        whatif.weighted(shown),
        whatif.term_grad_norms(shown),
        next_changes(shown),
        strict=True,
    )
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(weight_name)}</td>'
        + "".join(f"<td>{number(float(x))}</td>" for x in numbers)
        + f"<td>{change}</td></tr>"
        for name, weight_name, *numbers, change in columns
    )
    head = "".join(
        f'<th scope="col">{text}</th>'
        for text in ("term", "weight name", "weight", "value", "weighted value", "gradient norm (weighted)", _NEXT)
    )
    foot = (
        f'<tr><th scope="row">total</th><td></td><td></td><td></td><td>{number(whatif.total(shown))}</td>'
        f"<td>{number(whatif.grad_norm(shown))}</td><td></td></tr>"
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}{foot}</tbody></table>"


def _sentence(text: str) -> str:
    """The text, closed: a full stop where it does not end in a mark of its own."""
    return text if text.endswith((".", "?", "!", "\u2026")) else f"{text}."


def static_html(
    report: Probed,
    weights: Mapping[str, float],
    *,
    title: str = "",
    case: str = "",
    live: str = "live while the kernel runs: run this cell",
) -> str:
    """HTML figure (PNG with alt text, caption) and table of one setting, escaped; no script, no address.

    live: where the reader finds it with sliders, the end of the caption.
    """
    texts = (title.strip(), case.strip() and f"State: {case.strip()}", f"Static figure; {live.strip()}")
    caption = " ".join(html.escape(_sentence(text)) for text in texts if text)
    picture = figure_html(_png(bar_figure(report, weights)), alt_text(report, weights), caption)
    return f"{picture}\n{_table(report, weights)}"
