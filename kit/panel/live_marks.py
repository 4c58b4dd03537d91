"""The numbers of the marks above a chart: those that would print over one another share a label. As on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
