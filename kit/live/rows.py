"""Records of a long run in little memory, and the same as dicts when they are read."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NUMBERS = (bool, int, float)
_WHOLE = 2**53  # from here on a float does not hold every whole number


@dataclass
class _Block:
    """Rows that have the same keys with numbers of the same kinds; what is none of the three is kept as it is."""

    form: tuple[tuple[str, type], ...]
    numbers: array[float] = field(default_factory=lambda: array("d"))
    others: list[dict[str, Any]] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        return bool(self.form) and all(kind in _NUMBERS for _, kind in self.form)

    def __len__(self) -> int:
        return len(self.numbers) // len(self.form) if self.plain else len(self.others)

    def row(self, place: int) -> dict[str, Any]:
        if not self.plain:
            return self.others[place]
        values = self.numbers[place * len(self.form) : (place + 1) * len(self.form)]
        return {name: kind(value) for (name, kind), value in zip(self.form, values, strict=True)}


class Rows(Sequence[dict[str, Any]]):
    """A list of dicts of numbers that takes a quarter of its memory or less. It grows at the end and can be cut there."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def append(self, row: Mapping[str, Any]) -> None:
        form = tuple((name, _kind(value)) for name, value in row.items())
        if not self._blocks or self._blocks[-1].form != form:
            self._blocks.append(_Block(form))
        block = self._blocks[-1]
        if block.plain:
            block.numbers.extend(row.values())
        else:
            block.others.append(dict(row))

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.append(row)

    def cut(self, length: int) -> None:
        """Drops what comes after so many rows."""
        while (extra := len(self) - length) > 0:
            block = self._blocks[-1]
            if extra >= len(block):
                self._blocks.pop()
                continue
            del block.numbers[(len(block) - extra) * len(block.form) :]
            del block.others[len(block.others) - extra :]

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for block in self._blocks:
            yield from map(block.row, range(len(block)))

    def __getitem__(self, place: int) -> dict[str, Any]:  # type: ignore[override]  # a Sequence without slices
        left = place + len(self) if place < 0 else place
        if not 0 <= left < len(self):
            raise IndexError(f"There are {len(self)} rows. Found row {place}.")
        for block in self._blocks:
            if left < len(block):
                return block.row(left)
            left -= len(block)
        raise AssertionError("unreachable")


def _kind(value: Any) -> type:
    """Of a whole number that a float does not hold, `object`: it is no number here."""
    return object if type(value) is int and abs(value) >= _WHOLE else type(value)
