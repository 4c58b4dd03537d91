"""Training curves: what did the run do, epoch by epoch?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kit.plots.evidence import Evidence, evidence, new_axes
from kit.plots.palette import palette

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")


def curve(ax: Axes, values: Sequence[float], label: str, number: int = 0) -> Axes:
    """One line per epoch, told apart by colour, marker and dash, with its name at its end."""
    colour = palette()["terms"][number % len(palette()["terms"])]
    epochs = range(1, len(values) + 1)
    style = {"marker": _MARKERS[number % len(_MARKERS)], "linestyle": _DASHES[number % len(_DASHES)]}
    ax.plot(epochs, values, color=colour, markersize=4.5, linewidth=1.6, label=label, **style)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def symptom(history: Any, ax: Axes | None = None) -> Axes:
    """Do the two displayed numbers move? Healthy: both fall. The symptom: train lies on 0, validation is level."""
    ax = new_axes()[0] if ax is None else ax
    curve(ax, history.train_loss, "train", 0)
    curve(ax, history.val_loss, "validation", 1)
    ax.set_ylabel("displayed loss")
    ax.set_ylim(bottom=min(0.0, *history.train_loss) - 0.15)
    ax.legend(frameon=False, loc="center right")
    return ax


def symptom_evidence(history: Any) -> Evidence:
    first, last = history.val_loss[0], history.val_loss[-1]
    alt = (
        f"Line chart over {len(history.train_loss)} epochs. The train loss goes from {history.train_loss[0]:.6f} to "
        f"{history.train_loss[-1]:.6f}, the validation loss from {first:.6f} to {last:.6f}."
    )
    caption = (
        "Do the two displayed numbers move? Healthy: both fall. The symptom: train lies on 0, validation is level."
    )
    columns = {"train loss": history.train_loss, "validation loss": history.val_loss}
    return evidence(symptom(history), alt, caption, _by_epoch(columns))


def compare_runs(runs: Mapping[str, Any], axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Same network, same data, same seed, other weights: train left, validation right."""
    axes = new_axes(2, height=3.1) if axes is None else list(axes)
    for ax, attribute, title in zip(axes, ("train_loss", "val_loss"), ("train loss", "validation loss"), strict=True):
        for number, (label, history) in enumerate(runs.items()):
            curve(ax, getattr(history, attribute), label, number)
        ax.set_title(title, fontsize=10, loc="left")
        high = ax.get_ylim()[1]
        ax.set_ylim(-0.05 * high, 1.05 * high)  # level lines have hardly a margin, and would be cut at the top
    axes[-1].legend(frameon=False, fontsize=8)
    return axes


def compare_runs_evidence(runs: Mapping[str, Any]) -> Evidence:
    parts = "; ".join(
        f"{label}: train {history.train_loss[0]:.4f} to {history.train_loss[-1]:.4f}, "
        f"validation {history.val_loss[0]:.4f} to {history.val_loss[-1]:.4f}"
        for label, history in runs.items()
    )
    caption = (
        "Which setting makes the train loss 0, and what does the validation loss do then? Same network, same data, same seed. "
        "Healthy: both fall. The symptom would be train on 0 and validation level above 0."
    )
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
