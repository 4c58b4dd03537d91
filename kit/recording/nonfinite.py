"""Where the first NaN or infinity of a run came from: an operation of a forward pass, or the backward step of one.

Looked for in the first steps and after gradients that were not finite, until it is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from kit.recording.listeners import ours
from kit.stepgraph.nonfinite import is_finite
from kit.stepgraph.plain import quietly
from kit.stepgraph.tape import Note, Tape, note_of

FIRST_STEPS = 3
MOST_LOOKS = 8  # in steps after one whose gradients were not finite


class Nonfinite:
    """`origin`: where it came from, for JSON; None: nothing was found."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.origin: dict[str, Any] | None = None
        self._handles: list[RemovableHandle] = []
        self._looks, self._suspected = 0, False

    def suspect(self) -> None:
        """Gradients that are not finite were measured: look in the next step."""
        if self.origin is None and self._looks < MOST_LOOKS and not self._suspected:
            self._looks, self._suspected = self._looks + 1, True

    def wants(self, step: int) -> bool:
        return self.origin is None and (step <= FIRST_STEPS or self._suspected)

    def backward_begins(self, step: int, total: float, nodes: Iterable[Any]) -> None:
        """The forward pass was it, or the nodes of its graph are listened to in this one backward pass."""
        if not self.wants(step):
            return
        self._suspected = False
        if not math.isfinite(total):
            made = self._tape.nonfinite
            self.origin = None if made is None else self._record("forward", step, made[0], made[1], "")
            return
        for node in nodes:
            if not hasattr(node, "variable"):
                ours.hooks += 1
                self._handles.append(node.register_hook(self._listener(node, step)))

    def _listener(self, node: Any, step: int) -> Any:
        def ran(gave: tuple[Any, ...], got: tuple[Any, ...]) -> None:
            if self.origin is None and not ours.is_measuring(next(iter(got), None)):
                with suppress(Exception), quietly():  # inside of the user's backward pass
                    if not _all_finite(gave) and _all_finite(got):
                        self.origin = self._record("backward", step, "", note_of(node), str(node.name()))

        return ran

    def _record(self, phase: str, step: int, what: str, note: Note | None, node: str) -> dict[str, Any]:
        place = None if note is None else note.place
        return {
            "pass": phase,
            "step": step,
            "what": what or "NaN or infinity",
            "operation": node.partition("Backward")[0] if note is None else note.operation.strip("_"),
            "source": "" if place is None else str(place),
            "text": "" if note is None else note.text,
        }

    def backward_ends(self) -> None:
        while self._handles:
            self._handles.pop().remove()


def _all_finite(gradients: Iterable[Any]) -> bool:
    return all(is_finite(gradient) for gradient in gradients if isinstance(gradient, Tensor))
