"""A probe that takes long says on stderr what it is at; one that does not leaves no trace there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Self

AFTER = 3.0  # seconds without a word
OFTEN = 0.5  # seconds from one to the next


class Progress:
    """`with Progress() as progress: for item in progress.over(items, "terms"): ...`; the line ends with the time it took."""

    def __enter__(self) -> Self:
        self._start, self._width = monotonic(), 0
        self._next = self._start + AFTER
        return self

    def over(self, items: Sequence, what: str) -> Iterator[Any]:
        for place, item in enumerate(items, start=1):
            self._say(f"{what}: {place} of {len(items)}")
            yield item

    def _say(self, text: str) -> None:
        now = monotonic()
        if now >= self._next:
            self._next = now + OFTEN
            self._write(f"kit.probe: {text}, {now - self._start:.0f} s so far")

    def _write(self, line: str, end: str = "") -> None:
        if sys.stderr is not None:  # a program without a console has none
            sys.stderr.write("\r" + line.ljust(self._width) + end)
            sys.stderr.flush()
            self._width = len(line)

    def __exit__(self, *_: object) -> None:
        if self._width:  # a notebook keeps the line: no blanks, and what it says stays true
            self._write(f"kit.probe: took {monotonic() - self._start:.0f} s", end="\n")
