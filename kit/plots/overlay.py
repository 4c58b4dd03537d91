"""Two kept runs over each other: where do their losses part?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kit.plots.figures import Evidence, evidence, new_axes
from kit.plots.looks import palette

Line = tuple[Sequence[float], Sequence[float]]  # abscissa, loss
_DASHES = ("-", (0, (5, 2)), (0, (2, 2)))
_MARKERS = ("o", "s", "^")
_FEW = 30  # points that are marked one by one
_LONGEST = 60


def overlaid(runs: Mapping[str, Mapping[str, Line]], along: str) -> list[Axes]:
    """One plot a loss, one line a run, told apart by colour, dash and marker.

    runs:  name of the run -> name of the loss -> its line; every run has the same losses.
    along: what the abscissa counts.
    """
    losses = _losses(runs)
    axes = new_axes(len(losses), width=4.6 * len(losses), height=3.2)
    colours = palette()["terms"][2:4]  # not those of train and validation: here a colour is a run
    for ax, loss in zip(axes, losses, strict=True):
        few = max(len(lines[loss][0]) for lines in runs.values()) <= _FEW
        for place, lines in enumerate(runs.values()):
            x, y = lines[loss]
            ax.plot(
                x, y, color=colours[place % len(colours)], linestyle=_DASHES[place % len(_DASHES)], linewidth=1.6,
                marker=_MARKERS[place % len(_MARKERS)] if few else None, markersize=4,
            )  # fmt: skip
        ax.set_title(loss, fontsize=10, loc="left")
        ax.set_xlabel(along)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.spines[["top", "right"]].set_visible(False)
    names = [_short(name).replace("$", r"\$") for name in runs]
    axes[0].figure.legend(axes[0].lines, names, loc="outside lower left", frameon=False, fontsize=8)
    return axes


def overlaid_evidence(runs: Mapping[str, Mapping[str, Line]], along: str) -> Evidence:
    """The same with its words and numbers."""
    parts = [
        f"{name}: {', '.join(f'{loss} {y[0]:.4g} to {y[-1]:.4g}' for loss, (_, y) in lines.items())}"
        for name, lines in runs.items()
    ]
    losses = _losses(runs)
    alt = f"Line chart{'s' if len(losses) > 1 else ''} of {' and '.join(losses)} over {along}. {'; '.join(parts)}."
    caption = "Where do the losses of the two part? One line each; they lie on each other where nothing differs."
    with warnings.catch_warnings():
        # a name in a script the font lacks is drawn as boxes; the alt text has it in full
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        return evidence(overlaid(runs, along)[0], alt, caption, _numbers(runs, along))


def _losses(runs: Mapping[str, Mapping[str, Line]]) -> list[str]:
    if not runs:
        raise ValueError("runs should hold at least one run. Found none.")
    first, *others = runs
    losses = list(runs[first])
    for name in others:
        if missing := [loss for loss in losses if loss not in runs[name]]:
            raise ValueError(f"runs should all have {', '.join(losses)}. Found no {', '.join(missing)} in {name!r}.")
    return losses


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"


def _numbers(runs: Mapping[str, Mapping[str, Line]], along: str) -> dict[str, Sequence]:
    places = sorted({x for lines in runs.values() for xs, _ in lines.values() for x in xs})
    columns: dict[str, Sequence] = {along: places}
    for name, lines in runs.items():
        for loss, (xs, ys) in lines.items():
            at = dict(zip(xs, ys, strict=True))
            columns[f"{name}: {loss}"] = [at.get(x) for x in places]
    return columns
