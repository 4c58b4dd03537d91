"""The rows of a log as they come: numbers under understood names, in bounded memory.

Beyond 8000 rows every second one of the most frequent kind goes, but not the rows at which a number becomes 0, NaN or neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.recording.names import Meaning, meaning

MOST_ROWS, FIRST, MOST_CHANGES, MOST_KINDS, MOST_NAMES = 8000, 50, 200, 16, 40
_LONGEST = 60  # letters of a number


def number(value: Any) -> float | None:
    """A number, also where it is written as text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        try:
            return float(value) if len(value) < _LONGEST else None
        except ValueError:
            return None
    if isinstance(value, int | float):
        return float(value) if not isinstance(value, int) or abs(value) < 2**1000 else None
    return None


@dataclass
class _Kind:
    """Rows with numbers under the same names."""

    rows: list[tuple[int, dict[str, float], bool]] = field(default_factory=list)  # number, row, kept for a change
    stride: int = 1
    count: int = 0
    changes: int = 0
    state: tuple[int, ...] = ()
    last: tuple[int, dict[str, float]] | None = None


class Rows:
    """Filled by a reader, read once.

    Attributes:
        count: how many rows with a number under an understood name there were.
        names: name -> what it stands for.
        unknown: names of numbers that are not understood.
        held: name -> how many numbers.
    """

    def __init__(self) -> None:
        self.count = 0
        self.names: dict[str, Meaning] = {}
        self.unknown: dict[str, None] = {}
        self.held: dict[str, int] = {}
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._decimals: dict[str, tuple[int, int]] = {}
        self._kept = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """One row; what is no number is left out."""
        kept: dict[str, float] = {}
        for name, value in row.items():
            found = number(value)
            if found is None or not self._understands(name):
                continue
            kept[name] = found
            self.held[name] = self.held.get(name, 0) + 1
            self._note_decimals(name, value)
        roles = {self.names[name].role for name in kept}
        if roles <= {"epoch"} or roles <= {"step"}:
            return
        self.count += 1
        key = tuple(sorted(kept))
        if key not in self._kinds and len(self._kinds) >= MOST_KINDS:
            key = ()  # all further kinds together
        self._keep(self._kinds.setdefault(key, _Kind()), kept)

    def _understands(self, name: str) -> bool:
        if name in self.names:
            return True
        found = meaning(name)
        if found is None or len(self.names) >= MOST_NAMES:
            if len(self.unknown) < MOST_NAMES:
                self.unknown[name[:200]] = None
            return False
        self.names[name] = found
        return True

    def _note_decimals(self, name: str, value: Any) -> None:
        tail = value.strip().partition(".")[2] if isinstance(value, str) else ""
        if isinstance(value, str) and not value.strip()[-1:].isdigit():
            return  # nan, inf
        places = len(tail) if tail.isdigit() else 0
        low, high = self._decimals.get(name, (places, places))
        self._decimals[name] = min(low, places), max(high, places)

    def decimals(self, name: str) -> int | None:
        """The number of decimals, if every number is written with as many of them; None if they are written in full."""
        low, high = self._decimals.get(name, (0, 0))
        return low if low == high and low >= 2 else None

    def _keep(self, kind: _Kind, row: dict[str, float]) -> None:
        state = tuple(1 if value == 0 else 2 if math.isnan(value) else 0 for value in row.values())
        changed = state != kind.state and kind.count > 0 and kind.changes < MOST_CHANGES
        kind.state, kind.count = state, kind.count + 1
        if changed and kind.last is not None:
            kind.changes += 1
            if not kind.rows or kind.rows[-1][0] != kind.last[0]:
                self._append(kind, (*kind.last, True))
        kind.last = (self.count, row)
        if changed or kind.count <= FIRST or kind.count % kind.stride == 0:
            self._append(kind, (self.count, row, changed or kind.count <= FIRST))

    def _append(self, kind: _Kind, entry: tuple[int, dict[str, float], bool]) -> None:
        kind.rows.append(entry)
        self._kept += 1
        if self._kept > MOST_ROWS:
            most = max(self._kinds.values(), key=lambda each: len(each.rows))
            most.stride *= 2
            kept = [e for place, e in enumerate(most.rows) if e[2] or place % 2]
            self._kept -= len(most.rows) - len(kept)
            most.rows = kept

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """Those that were kept, by their number in the log, the last of each kind among them."""
        found = {number: row for kind in self._kinds.values() for number, row, _ in kind.rows}
        found |= dict(kind.last for kind in self._kinds.values() if kind.last is not None)
        return sorted(found.items())

    def losses(self) -> bool:
        """Whether any name is that of a loss."""
        return any(found.role in ("train_loss", "val_loss", "term") for found in self.names.values())

    def as_total(self) -> str:
        """The only part of the loss, where no total was written: it is the total. Empty otherwise."""
        roles = {found.role for found in self.names.values()}
        terms = [name for name, found in self.names.items() if found.role == "term"]
        return terms[0] if "train_loss" not in roles and len(terms) == 1 else ""
