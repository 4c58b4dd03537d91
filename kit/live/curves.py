"""The curves of a live session, kept within bounds: a thousand epochs take no more room than the first ten."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

LIMIT = 1200  # points of a curve; beyond, it is thinned to half of them or fewer
MARKS = 200
Points = tuple[list[int], list[float | None], list[int]]  # steps, values, parts
_SIX = 6  # of six points in a row three stay at most: the smallest, the largest, and one that is not finite


@dataclass(frozen=True)
class Mark:
    """Something that was changed. ``text`` says what, for people."""

    step: int
    kind: str  # "weight" or "fault"
    name: str
    text: str


class Curve:
    """Points of one quantity over the steps. Thinning keeps every extreme, so that no spike is lost, and every gap.

    ``parts``: for every point the number of changes before it. No line is drawn across a change, where nothing was measured.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self.parts: list[int] = []

    def add(self, step: int, value: float, part: int = 0) -> None:
        self.steps.append(step)
        self.values.append(value)
        self.parts.append(part)
        if len(self.steps) > LIMIT:
            kept = list(thinned(self.values))
            self.steps = [self.steps[i] for i in kept]
            self.values = [self.values[i] for i in kept]
            self.parts = [self.parts[i] for i in kept]

    def joined(self, i: int) -> bool:
        """Whether a line leads to point `i` from the one before: no change lies between, or no batch."""
        if i == 0 or not (math.isfinite(self.values[i - 1]) and math.isfinite(self.values[i])):
            return False
        return self.parts[i] == self.parts[i - 1] or self.steps[i] - self.steps[i - 1] <= 1

    @property
    def sparse(self) -> bool:
        """Measured at some batches only, an epoch's end or a probe: then every point is marked."""
        return len(self.steps) < 2 or self.steps[-1] - self.steps[0] > 1.5 * (len(self.steps) - 1)

    @property
    def last(self) -> float:
        return self.values[-1]


def thinned(values: Sequence[float]) -> Iterator[int]:
    """Indices that stay, in order: of every six the smallest, the largest and the first that is not finite. The last stays, too."""
    end = len(values) - 1
    for start in range(0, len(values), _SIX):
        group = range(start, min(start + _SIX, len(values)))
        finite = [i for i in group if math.isfinite(values[i])]
        kept = {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)} if finite else set()
        kept |= set([i for i in group if not math.isfinite(values[i])][:1])
        if end in group and end not in kept:
            kept.add(end)
        yield from sorted(kept)


class Curves:
    """All curves by name, the marks, and what was added since `take` was last called.

    Names: ``batch, train, val, grad, taken, lr``, and ``term:x, grad:x, group:x`` of a term or a layer group.
    """

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}
        self.marks: list[Mark] = []
        self.part = 0  # changes so far
        self._fresh: dict[str, Points] = {}

    def add(self, name: str, step: int, value: float | None, part: int | None = None) -> None:
        """`value` None: not measured, no point. Not finite: a gap. `part`: of the time before a change, if not of now."""
        if value is None:
            return
        part = self.part if part is None else part
        self.curves.setdefault(name, Curve()).add(step, value, part)
        steps, values, parts = self._fresh.setdefault(name, ([], [], []))
        steps.append(step)
        values.append(finite(value))
        parts.append(part)

    def take(self) -> dict[str, Points]:
        """Name -> (steps, values, parts) added since the last call, ready for `json.dumps`; null = not finite."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def everything(self) -> dict[str, Points]:
        """Name -> (steps, values, parts) of all that is kept."""
        return {name: (list(c.steps), [finite(v) for v in c.values], list(c.parts)) for name, c in self.curves.items()}

    def change(self) -> None:
        """From here on something is different: no line leads across."""
        self.part += 1

    def mark(self, mark: Mark, *, goes_on: bool) -> None:
        """goes_on: the change continues the last one of the same name (a drag), which it takes the place of."""
        last = self.marks[-1] if self.marks else None
        if goes_on and last is not None and (last.kind, last.name) == (mark.kind, mark.name):
            self.marks[-1] = replace(mark, step=last.step)
        else:
            self.marks = [*self.marks[1 - MARKS :], mark]

    def named(self, prefix: str) -> Mapping[str, Curve]:
        """Term or group -> its curve, in the order in which they came."""
        return {name.removeprefix(prefix): c for name, c in self.curves.items() if name.startswith(prefix)}


def finite(value: float) -> float | None:
    """As JSON can have it: None for what is not finite."""
    return value if math.isfinite(value) else None
