"""Where the signal of a training step ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from kit.plots.figures import Evidence, evidence, new_axes

_WIDTH, _BOX, _INDENT, _HALF = 7.2, 2.5, 0.35, 0.38  # across in inches, of a box half its height in rows
_MIDDLE = 0.17  # of the arrows, left of what is indented
_NAME, _LETTERS = 16, 76
_ARROW = {"arrowstyle": "-|>", "color": "#888888", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
# ground, edge, word; a broken link is told by its words and its edge as well as by its colour
_LOOKS = {
    "working": ("#e3f1e6", "#3d8b51", "#1d5c2e"),
    "not observed": ("#f4f4f4", "#b5b5b5", "#666666"),
    "broken": ("#fbe0dc", "#b3261e", "#8c1d18"),
    "behind": ("#fdf3e1", "#b58a3a", "#75560f"),
}


class OneLink(Protocol):
    """What is drawn of a link."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def when(self) -> str: ...
    @property
    def line(self) -> str: ...
    @property
    def broken(self) -> bool: ...
    @property
    def behind(self) -> bool: ...


class AChain(Protocol):
    """What is drawn of a chain."""

    @property
    def whole(self) -> Sequence[OneLink]: ...
    @property
    def parts(self) -> Sequence[OneLink]: ...
    @property
    def ends(self) -> str: ...


def chain(drawn: AChain, ax: Axes | None = None) -> Axes:
    """The links of a step from top to bottom, with what was measured: works, ends here, follows from a link before, not observed.

    Indented below its link: a part of the loss or of the network that does not work while the whole does. Healthy: all are working.
    """
    rows = [
        row for link in drawn.whole for row in (link, *(p for p in drawn.parts if p.broken and p.name == link.name))
    ]
    ax = new_axes(width=7.2, height=0.2 + 0.3 * len(rows))[0] if ax is None else ax
    above = None
    for row, link in enumerate(rows):
        _row(ax, row, link)
        if not link.path:
            if above is not None:
                ax.annotate("", (_MIDDLE, row - _HALF), (_MIDDLE, above + _HALF), arrowprops=_ARROW)
            above = row
    ax.set_xlim(-0.05, _WIDTH)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.axis("off")
    return ax


def _row(ax: Axes, row: int, link: OneLink) -> None:
    kind = ("behind" if link.behind else "broken") if link.broken else link.state
    ground, edge, ink = _LOOKS[kind]
    left = _INDENT if link.path else 0.0
    box = FancyBboxPatch(
        (left, row - _HALF),
        _BOX - left,
        2 * _HALF,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=ground,
        edgecolor=edge,
    )
    box.set_linewidth(2.0 if kind == "broken" else 0.9)
    box.set_linestyle("--" if kind == "not observed" else "-")
    ax.add_patch(box)
    words: dict[str, Any] = {
        "va": "center",
        "fontsize": 8.5,
        "weight": "bold" if kind == "broken" else "normal",
        "parse_math": False,
    }
    ax.text(left + 0.08, row, _short(link.path or link.name, _NAME), color="#222222", **words)
    ax.text(_BOX - 0.08, row, link.state, color=ink, ha="right", **words)
    where = "  ".join(text for text in (link.when, link.line) if text)
    said = _short(link.said, _LETTERS - len(where)) + ("  " if link.said and where else "") + where
    ax.text(_BOX + 0.12, row, said, color="#444444", va="center", fontsize=8, parse_math=False)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(most, 1) - 1]}\u2026"


def chain_evidence(drawn: AChain) -> Evidence:
    """The picture with the sentence that says where the signal ends."""
    links = [*drawn.whole, *drawn.parts]
    alt = f"{drawn.ends} Links in order: " + "; ".join(f"{link.name} {link.state}" for link in drawn.whole) + "."
    caption = (
        "Where does the signal end? The links of one training step. A thick red box is the first broken link of its path; yellow ones "
        "follow from one before them; what is dashed was not observed. Healthy: every box says working."
    )
    numbers = {
        "link": [link.name for link in links],
        "part": [link.path for link in links],
        "state": [link.state for link in links],
        "measured": [link.said for link in links],
        "when": [link.when for link in links],
        "line": [link.line for link in links],
    }
    return evidence(chain(drawn), alt, caption, numbers)
