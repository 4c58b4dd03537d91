"""What a live session has shown, as a figure with its words: the still picture of the curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kit.panel.live_curves import Curve, Curves
from kit.plots import Evidence, evidence, palette

ROWS = 400  # of the numbers; steps between are left out
_DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (8, 2, 2, 2)), (0, (4, 4)), (0, (6, 2, 1, 2, 1, 2)), (0, (10, 3)))
_NAMED_MARKS = 8


def live_evidence(curves: Curves, title: str, line: str) -> Evidence:
    """Losses, terms, gradient norms per term and per layer group; the changes as numbered lines."""
    figure = Figure(figsize=(9.0, 6.6), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    (losses, terms), (pulls, groups) = figure.subplots(2, 2)
    shown = {name: curves.curves[name] for name in ("batch", "train", "val") if name in curves.curves}
    labels = {"batch": "each batch", "train": "train", "val": "validation"}
    _draw(losses, {labels[name]: curve for name, curve in shown.items()}, "Do the displayed losses move?", "loss")
    _draw(terms, curves.named("term:"), "What becomes of each term?", "value, not weighted")
    _draw(pulls, curves.named("pull:"), "Which term pulls?", "weighted gradient norm")
    _draw(groups, curves.named("group:"), "Where does a gradient arrive?", "gradient norm")
    for ax in (losses, terms, pulls, groups):
        _mark(ax, [mark.step for mark in curves.marks])
    changes = "; ".join(f"{i}. after batch {m.step}: {m.text}" for i, m in enumerate(curves.marks, start=1))
    caption = (
        "Healthy: train and validation fall together, and every term and layer group has a gradient. Sick: a level "
        "line, a term or a group on 0, a gap where a number is not finite."
    )
    told = [title.rstrip("."), f"Changes: {changes}" if changes else "Nothing was changed", line.rstrip(".")]
    with warnings.catch_warnings():
        # a name in a script the font lacks is drawn as boxes; the alt text and the numbers have it in full
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        return evidence(losses, _alt(curves, changes), f"{caption} {'. '.join(filter(None, told))}.", _numbers(curves))


def _mark(ax: Axes, steps: Sequence[int]) -> None:
    """A line at each change with its number; changes at one batch share a line."""
    numbers: dict[int, list[int]] = {}
    for number, step in enumerate(steps, start=1):
        numbers.setdefault(step, []).append(number)
    for step, here in numbers.items():
        ax.axvline(step, color="#4A4F55", linewidth=0.8, linestyle=(0, (3, 3)))
        if here[0] <= _NAMED_MARKS:
            text = str(here[0]) if len(here) == 1 else f"{here[0]}\u2013{here[-1]}"
            ax.annotate(text, (step, 1.0), xycoords=("data", "axes fraction"), fontsize=7, ha="center", va="bottom")


def _draw(ax: Axes, lines: Mapping[str, Curve], heading: str, what: str) -> None:
    colours = palette()["terms"]
    for i, (name, curve) in enumerate(lines.items()):
        few = len(curve.steps) <= 30
        label = name if len(name) <= 24 else f"{name[:23]}\u2026"
        ax.plot(
            curve.steps, curve.values, color=colours[i % len(colours)], linestyle=_DASHES[i % len(_DASHES)],
            linewidth=1.4, marker="os^DvPX"[i % 7] if few else None, markersize=3.5, label=label.replace("$", r"\$"),
        )  # fmt: skip
    values = [v for curve in lines.values() for v in curve.values if math.isfinite(v)]
    positive = [v for v in values if v > 0]
    if positive and max(positive) > 50 * min(positive):
        ax.set_yscale("symlog", linthresh=max(min(positive), 1e-9 * max(positive)))
    ax.set_title(heading, fontsize=9, loc="left", fontweight="bold", pad=10)
    ax.set_xlabel("batches", fontsize=8)
    ax.set_ylabel(what, fontsize=8)
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.spines[["top", "right"]].set_visible(False)
    if lines:
        below = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.2), "borderaxespad": 0.0}
        ax.legend(fontsize=7, frameon=False, labelspacing=0.2, columnspacing=1.0, ncols=3, **below)


def _alt(curves: Curves, changes: str) -> str:
    if not curves.curves:
        return "Four empty line charts: nothing was trained yet."
    parts = []
    for name, what in (("train", "train loss"), ("val", "validation loss"), ("batch", "loss of a batch")):
        if name in curves.curves:
            values = curves.curves[name].values
            parts.append(f"{what} from {values[0]:.4g} to {values[-1]:.4g}")
    last = [f"{term} {curve.values[0]:.4g} to {curve.last:.4g}" for term, curve in curves.named("term:").items()]
    end = max(curve.steps[-1] for curve in curves.curves.values())
    terms = f" Terms: {', '.join(last)}." if last else ""
    return (
        f"Four line charts over {end} batches: losses, terms, gradient norms per term and per layer group. "
        f"{'; '.join(parts).capitalize()}.{terms} {f'Changes: {changes}.' if changes else 'Nothing was changed.'}"
    )


def _numbers(curves: Curves) -> dict[str, Sequence]:
    """Columns by step: where an epoch ended, and evenly chosen steps between."""
    plain = {"batch": "loss of the batch", "train": "train loss", "val": "validation loss", "grad": "gradient norm",
             "taken": "steps taken", "lr": "learning rate"}  # fmt: skip
    named = {plain.get(name, name): curve for name, curve in curves.curves.items()}
    steps = sorted({step for curve in named.values() for step in curve.steps})
    ends = set(curves.curves["train"].steps) if "train" in curves.curves else set()
    if len(steps) > ROWS:
        every = -(-len(steps) // ROWS)
        steps = sorted({*steps[::every], *sorted(ends)[-ROWS:], steps[-1]})
    columns: dict[str, Sequence] = {"batch": steps} if steps else {}
    for name, curve in named.items():
        at = {s: v if math.isfinite(v) else None for s, v in zip(curve.steps, curve.values, strict=True)}
        columns[name] = [at.get(step) for step in steps]
    return columns
