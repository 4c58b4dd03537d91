"""What a live session has shown, as a figure with its words: the static figure of the curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kit.live.curves import Curve, Curves, Mark
from kit.live.marks import mark_labels
from kit.plots import Evidence, evidence, look, role

ROWS = 400  # of the numbers; steps between are left out
_MARKED = 60  # points; of more the markers would hide the line
_INK = "#4A4F55"
_WHOLE = {"color": _INK, "linestyle": "-", "marker": "o", "linewidth": 2.0}
_LETTER = 4.4  # points, the width of a letter of the marks


def live_evidence(curves: Curves, title: str, line: str) -> Evidence:
    """Losses, terms, gradient norms per term and per layer group; the changes as numbered lines."""
    changes = "; ".join(f"{i}. after batch {m.step}: {m.text}" for i, m in enumerate(curves.marks, start=1))
    caption = (
        "Healthy: train and validation fall together, and every term and layer group has a gradient. Faulty: an unchanged line, a term or a group on 0, a gap where a number is not finite. A marker stands where something was measured at an "
        "epoch's end or by a probe; no line leads across a change."
    )
    told = [title.rstrip("."), f"Changes: {changes}" if changes else "Nothing was changed", line.rstrip(".")]
    with warnings.catch_warnings():
        # a name in a script the font lacks is drawn as boxes; the alt text and the numbers have it in full
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        axes = live_axes(curves)
        return evidence(axes[0], _alt(curves, changes), f"{caption} {'. '.join(filter(None, told))}.", _numbers(curves))


def live_axes(curves: Curves) -> list[Axes]:
    """Four charts of one figure."""
    figure = Figure(figsize=(9.0, 6.8), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(2, 2).flat)
    known = curves.curves
    losses = {"batch": ("each batch", "batch"), "train": ("train", "train"), "val": ("validation", "validation")}
    shown = [(label, known[name], role(part)) for name, (label, part) in losses.items() if name in known]
    whole = [("whole network", known["grad"], _WHOLE)] if "grad" in known else []
    _draw(axes[0], shown, "Do the displayed losses move?", "loss")
    _draw(axes[1], _series(curves.named("term:")), "What becomes of each term?", "value, not weighted")
    _draw(axes[2], _series(curves.named("grad:")), "How large is each gradient?", "weighted gradient norm")
    _draw(axes[3], whole + _series(curves.named("group:")), "Where does a gradient arrive?", "gradient norm")
    end = max((curve.steps[-1] for curve in known.values()), default=1)
    for ax in axes:
        ax.set_xlim(-0.02 * end, 1.02 * end)
    figure.draw_without_rendering()  # the layout is known from here on, and with it the room of the marks
    for ax in axes:
        _mark(ax, curves.marks)
    return axes


def _series(curves: Mapping[str, Curve]) -> list[tuple[str, Curve, Mapping[str, Any]]]:
    return [(name, curve, look(i)) for i, (name, curve) in enumerate(curves.items())]


def _mark(ax: Axes, marks: Sequence[Mark]) -> None:
    """A line at each change, with its number where there is room for it."""
    for step in dict.fromkeys(mark.step for mark in marks):
        ax.axvline(step, color=_INK, linewidth=0.8, linestyle=(0, (3, 3)))
    low, high = ax.get_xlim()
    width = ax.get_window_extent().width * 72 / ax.figure.dpi  # points
    places = [width * (mark.step - low) / (high - low) for mark in marks]
    faults = [mark.kind == "fault" for mark in marks]
    for label in mark_labels(places, faults, lambda text: _LETTER * len(text), (0.0, width)):
        ax.annotate(
            label.text, (label.place / width, 1.0), xytext=(0, 1), textcoords="offset points", xycoords="axes fraction",
            fontsize=7, ha="center", va="bottom", annotation_clip=False,
        ).set_in_layout(False)  # fmt: skip


def _draw(ax: Axes, lines: Sequence[tuple[str, Curve, Mapping[str, Any]]], heading: str, what: str) -> None:
    for name, curve, drawn in lines:
        label = name if len(name) <= 24 else f"{name[:23]}\u2026"
        steps, values = _broken(curve)
        every = None if curve.sparse and len(curve.steps) <= _MARKED else _alone(values)
        above = (
            2.0 if drawn["linestyle"] == "-" else 2.1
        )  # dashes over solid lines: of two on one another both are seen
        style = {"linewidth": 1.4, "markersize": 3.5, "markevery": every, "zorder": above, **drawn}
        ax.plot(steps, values, label=label.replace("$", r"\$"), **style)
    values = [v for _, curve, _ in lines for v in curve.values if math.isfinite(v)]
    positive = [v for v in values if v > 0]
    if positive and max(positive) > 50 * min(positive):
        lowest = math.floor(math.log10(max(min(positive), 1e-9 * max(positive))))
        ax.set_yscale("symlog", linthresh=10.0**lowest, linscale=0.5)
    ax.set_title(heading, fontsize=9, loc="left", fontweight="bold", pad=13)
    ax.set_xlabel("batches", fontsize=8)
    ax.set_ylabel(what, fontsize=8)
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.spines[["top", "right"]].set_visible(False)
    if lines:
        columns = 3 if max(len(name) for name, _, _ in lines) <= 16 else 2
        below: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.2), "borderaxespad": 0.0}
        ax.legend(
            fontsize=7, frameon=False, labelspacing=0.2, columnspacing=1.0, handlelength=3.2, ncols=columns, **below
        )


def _broken(curve: Curve) -> tuple[list[float], list[float]]:
    """Steps and values with a gap wherever no line leads from one point to the next."""
    steps: list[float] = []
    values: list[float] = []
    for i, (step, value) in enumerate(zip(curve.steps, curve.values, strict=True)):
        if i and not curve.joined(i):
            steps.append(step)
            values.append(math.nan)
        steps.append(step)
        values.append(value)
    return steps, values


def _alone(values: Sequence[float]) -> list[int]:
    """Places of the points to which no line leads and from which none goes on: without a marker they would not be seen."""
    padded = [math.nan, *values, math.nan]
    known = [math.isfinite(v) for v in padded]
    return [i for i in range(len(values)) if known[i + 1] and not (known[i] or known[i + 2])]


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
