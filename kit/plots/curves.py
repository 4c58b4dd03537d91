"""Training curves: what did the run do, epoch by epoch?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kit.plots.figures import Evidence, evidence, new_axes
from kit.plots.looks import look, role

_SAME = 0.01  # of the height of a chart: curves that are nearer than this in every epoch lie on one another
_WIDTH, _WIDER = 1.6, 2.2  # points; of curves on one another the first drawn is the widest, so that each is seen


class DisplayedLosses(Protocol):
    """The two numbers that a program displayed, by epoch."""

    @property
    def train_loss(self) -> Sequence[float]: ...
    @property
    def val_loss(self) -> Sequence[float]: ...


def curve(ax: Axes, values: Sequence[float], label: str, drawn: Mapping[str, Any]) -> Axes:
    """One line per epoch; `drawn` is its colour, marker and dash (`look` or `role`)."""
    ax.plot(range(1, len(values) + 1), values, label=label, **{"markersize": 4.5, "linewidth": _WIDTH, **drawn})
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend_below(axes: Sequence[Axes], handles: Mapping[str, Any] | None = None, columns: int = 3) -> None:
    """One legend for all axes, under them, where no curve is."""
    if handles is None:
        handles = {label: one for ax in axes for one, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    axes[0].figure.legend(
        handles.values(),
        handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
        handlelength=3.2,
    )


def symptom(history: DisplayedLosses, ax: Axes | None = None) -> Axes:
    """Do the two displayed numbers move? Healthy: both fall. The symptom: train lies on 0, validation does not change."""
    ax = new_axes()[0] if ax is None else ax
    curve(ax, history.train_loss, "train", role("train"))
    curve(ax, history.val_loss, "validation", role("validation"))
    ax.set_ylabel("displayed loss")
    ax.set_ylim(bottom=min(0.0, *history.train_loss) - 0.15)
    legend_below([ax])
    return ax


def symptom_evidence(history: DisplayedLosses) -> Evidence:
    first, last = history.val_loss[0], history.val_loss[-1]
    alt = (
        f"Line chart over {len(history.train_loss)} epochs. The train loss goes from {history.train_loss[0]:.6f} to "
        f"{history.train_loss[-1]:.6f}, the validation loss from {first:.6f} to {last:.6f}."
    )
    caption = "Do the two displayed numbers move? Healthy: both fall. The symptom: train lies on 0, validation does not change."
    columns = {"train loss": history.train_loss, "validation loss": history.val_loss}
    return evidence(symptom(history), alt, caption, _by_epoch(columns))


def compare_runs(runs: Mapping[str, DisplayedLosses], axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Same network, same data, same seed, other weights: train left, validation right.

    Curves that lie on one another are drawn narrower and narrower, so that the hidden ones are seen beside the last.
    """
    axes = new_axes(2, height=3.4) if axes is None else list(axes)
    for ax, attribute, title in zip(axes, ("train_loss", "val_loss"), ("train loss", "validation loss"), strict=True):
        values = {label: getattr(history, attribute) for label, history in runs.items()}
        groups = coinciding(values)
        for number, label in enumerate(runs):
            group = next(group for group in groups if label in group)
            above = len(group) - 1 - group.index(label)
            width = _WIDTH + _WIDER * min(above, 3)
            band = {"linestyle": "-", "marker": None} if above else {}  # dashes over dashes would hide
            curve(ax, values[label], label, {**look(number), "linewidth": width, **band})
        ax.set_title(title, fontsize=10, loc="left")
        high = ax.get_ylim()[1]
        ax.set_ylim(-0.05 * high, 1.05 * high)  # level lines have hardly a margin, and would be cut at the top
    handles = {label: Line2D([], [], linewidth=_WIDTH, markersize=4.5, **look(i)) for i, label in enumerate(runs)}
    legend_below(axes, handles, 2 if max(map(len, runs), default=0) > 30 else 3)
    return axes


def coinciding(curves: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Names in groups whose curves lie on one another in a chart of all of them; what is not a number lies on its like."""
    heights = [abs(v) for values in curves.values() for v in values if np.isfinite(v)]
    near = _SAME * max(heights, default=0.0)
    groups: list[list[str]] = []
    for name, values in curves.items():
        for group in groups:
            first = curves[group[0]]
            if len(first) == len(values) and np.allclose(first, values, rtol=0.0, atol=near, equal_nan=True):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def on_one_line(runs: Mapping[str, DisplayedLosses]) -> str:
    """ "Train: 3 runs identical (a; b; c)." Empty if every curve stands alone."""
    said = []
    for what, attribute in (("Train", "train_loss"), ("Validation", "val_loss")):
        curves = {label: getattr(history, attribute) for label, history in runs.items()}
        for group in coinciding(curves):
            first, *others = (curves[name] for name in group)
            exact = all(np.allclose(first, other, rtol=1e-6, atol=0.0, equal_nan=True) for other in others)
            if others:
                said.append(
                    f"{what}: {len(group)} runs {'identical' if exact else 'on one line'} ({'; '.join(group)})."
                )
    return " ".join(said)


def compare_runs_evidence(runs: Mapping[str, DisplayedLosses]) -> Evidence:
    parts = "; ".join(
        f"{label}: train {history.train_loss[0]:.4f} to {history.train_loss[-1]:.4f}, "
        f"validation {history.val_loss[0]:.4f} to {history.val_loss[-1]:.4f}"
        for label, history in runs.items()
    )
    caption = (
        "Which setting makes the train loss 0, and what does the validation loss do then? Same network, same data, same seed. "
        f"Healthy: both fall. The symptom would be train on 0 and an unchanged validation loss above 0. {on_one_line(runs)}"
    ).rstrip()
    columns = {
        f"{label}: {what}": values
        for label, history in runs.items()
        for what, values in (("train loss", history.train_loss), ("validation loss", history.val_loss))
    }
    alt = f"Two line charts, train and validation loss per epoch. {parts}."
    return evidence(compare_runs(runs)[0], alt, caption, _by_epoch(columns))


def _by_epoch(columns: Mapping[str, Sequence[float]]) -> dict[str, list]:
    """Columns of one length under their epoch; a run that ended earlier has nothing there."""
    length = max(map(len, columns.values()), default=0)
    padded = {name: [*map(float, values), *[None] * (length - len(values))] for name, values in columns.items()}
    return {"epoch": list(range(1, length + 1)), **padded}
