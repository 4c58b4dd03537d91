"""Lines of the program on which the acts of its loop stand: forward, loss, backward, step, evaluation; and what lies between two of them."""

from __future__ import annotations

import linecache
import re
import sys
from collections import Counter

from kit.stepgraph import source

FIRST, EVERY, MOST = 9, 100, 3  # times that are looked at, then every hundredth; lines of one act
_FARTHEST = 40  # lines from backward to step
_OF_GRADIENTS = re.compile(r"zero_grad|clip_grad|\.grad\b")


def line_here() -> str:
    """Of the program, the line that runs at this moment; "" if none does."""
    here = _here()
    return "" if here is None else str(here)


def _here() -> source.Place | None:
    frame = next(source.user_frames(sys._getframe(2)), None)
    return None if frame is None else source.place(frame.f_code, frame.f_lasti)


class Lines:
    """The frames that run at this moment are asked; nothing of them is kept but file and line."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._found: dict[str, list[source.Place]] = {}

    def saw(self, act: str) -> None:
        self._times[act] += 1
        times = self._times[act]
        if times > FIRST and times % EVERY:
            return
        place, found = _here(), self._found.setdefault(act, [])
        if place is not None and place not in found and len(found) < MOST:
            found.append(place)

    def record(self) -> dict[str, list[str]]:
        """By act, the lines in the order in which they were first seen; as `gradients` those that stand between backward and step
        and name gradients."""
        between = self._between(self._found.get("backward", []), self._found.get("step", []))
        found = self._found | ({"gradients": between} if between else {})
        return {act: [str(place) for place in places] for act, places in found.items()}

    def _between(self, backwards: list[source.Place], steps: list[source.Place]) -> list[source.Place]:
        """Read from the source, where one backward and one step stand in one file."""
        if len(backwards) != 1 or len(steps) != 1 or backwards[0].file != steps[0].file:
            return []
        file, first, last = backwards[0].file, backwards[0].line, steps[0].line
        if not first <= last <= first + _FARTHEST:
            return []
        texts = {line: linecache.getline(file, line).partition("#")[0] for line in range(first, last + 1)}
        texts[last] = texts[last].rpartition(".step(")[0]
        texts[first] = texts[first].rpartition(".backward(")[2] if ".backward(" in texts[first] else ""
        return [source.Place(file, line) for line, text in texts.items() if _OF_GRADIENTS.search(text)][:MOST]
