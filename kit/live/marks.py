"""Marks of what was changed by hand, and the labels above a chart: those that would print over one another share one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kit.live.curves import Mark
from kit.live.session import Session

_NAMED = 3  # weights that a mark names; of more it gives the number
APART = 4.0  # between two labels, in the units of the places


@dataclass(frozen=True)
class Label:
    """The number of a mark, or the first and the last of several, and its middle."""

    text: str
    place: float


def mark_labels(
    places: Sequence[float], faults: Sequence[bool], width: Callable[[str], float], ends: tuple[float, float]
) -> list[Label]:
    """Labels from left to right, none over another, all between the ends.

    places: of the marks, ascending; faults: which of them are faults, shown by a triangle; width: of a text
    """
    groups: list[tuple[int, int]] = []

    def label(first: int, last: int) -> Label:
        sign = "\u25b2" if any(faults[first : last + 1]) else ""
        text = sign + (str(first + 1) if first == last else f"{first + 1}\u2013{last + 1}")
        half = width(text) / 2
        middle = (places[first] + places[last]) / 2
        return Label(text, max(ends[0] + half, min(middle, ends[1] - half)))

    def right(one: Label) -> float:
        return one.place + width(one.text) / 2

    def left(one: Label) -> float:
        return one.place - width(one.text) / 2

    for i in range(len(places)):
        group = (i, i)
        while groups and right(label(*groups[-1])) + APART > left(label(*group)):
            group = (groups.pop()[0], group[1])
        groups.append(group)
    return [label(*group) for group in groups]


def changed_weights(
    step: int, before: Mapping[str, float], after: Mapping[str, float], dragged_from: dict[str, float]
) -> tuple[Mark | None, bool]:
    """The mark of a change, and whether it continues the last one; `dragged_from` remembers where a drag began."""
    names = [name for name in after if after[name] != before.get(name)]
    if not names:
        return None, False
    goes_on = bool(dragged_from) and set(names) <= set(dragged_from)
    for name in names:
        dragged_from.setdefault(name, before.get(name, math.nan))
    said = [f"{name} {dragged_from[name]:.4g} \u2192 {after[name]:.4g}" for name in names[:_NAMED]]
    more = len(names) - _NAMED
    text = ", ".join(said) + (f" and {more} more" if more > 0 else "")
    return Mark(step, "weight", ", ".join(names), text), goes_on


def fault_marks(session: Session, before: Collection[str]) -> Iterator[Mark]:
    titles = {offer.key: offer.title for offer in session.faults}
    for key in before:
        if key not in session.active:
            yield Mark(session.step, "fault", key, f"fault removed: {titles[key]}")
    for key in session.active:
        if key not in before:
            yield Mark(session.step, "fault", key, f"fault: {titles[key]}")
