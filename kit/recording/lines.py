"""Lines of the program on which the acts of its loop stand: forward, loss, backward, step, evaluation."""

from __future__ import annotations

import sys
from collections import Counter

from kit.stepgraph import source

FIRST, EVERY, MOST = 9, 100, 3  # times that are looked at, then every hundredth; lines of one act


def line_here() -> str:
    """Of the program, the line that runs at this moment; "" if none does."""
    frame = next(source.user_frames(sys._getframe(1)), None)
    return "" if frame is None else str(source.place(frame.f_code, frame.f_lasti))


class Lines:
    """The frames that run at this moment are asked; nothing of them is kept but file and line."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._found: dict[str, list[str]] = {}

    def saw(self, act: str) -> None:
        self._times[act] += 1
        times = self._times[act]
        if times > FIRST and times % EVERY:
            return
        line, found = line_here(), self._found.setdefault(act, [])
        if line and line not in found and len(found) < MOST:
            found.append(line)

    def record(self) -> dict[str, list[str]]:
        """By act, the lines in the order in which they were first seen."""
        return {act: list(lines) for act, lines in self._found.items()}
