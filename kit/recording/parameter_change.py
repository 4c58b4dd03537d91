"""How far have parameters moved: over an epoch, and between two evaluations of the same (or a copy of the) network?"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

from torch import Tensor

from kit.recording.networks import Net
from kit.recording.norms import change, copies

MOST_EVALUATED = 4  # networks whose last evaluated weights are kept for comparison


class Mark:
    """Values of some parameters at one moment; the parameters themselves are held weakly."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = [weakref.ref(p) for p in parameters]
        self.values = copies(parameters)

    def moved(self) -> float:
        """2-norm of the change since, of those that are still there; nan if none is."""
        if self.values is None:
            return math.nan
        pairs = [
            (p, value) for ref, value in zip(self._parameters, self.values, strict=True) if (p := ref()) is not None
        ]
        return change([p for p, _ in pairs], [value for _, value in pairs])


class Movement:
    def __init__(self) -> None:
        self._epoch: dict[Net, Mark] = {}
        self._evaluated: dict[Net, list[Tensor]] = {}

    def new_epoch(self) -> None:
        self._epoch = {}

    def trains(self, net: Net) -> None:
        """At the first training pass of a network in an epoch, before it steps."""
        if net not in self._epoch:
            self._epoch[net] = Mark(net.tensors)

    def drift(self, net: Net | None = None) -> float:
        """Over the epoch so far; of those that share a parameter with ``net``, if one is given."""
        marks = [mark for other, mark in self._epoch.items() if net is None or other.ids & net.ids]
        moved = [value for mark in marks if not math.isnan(value := mark.moved())]
        return math.hypot(*moved) if moved else math.nan

    def evaluated(self, net: Net) -> float:
        """Change since this network, or a copy of it that is gone, was evaluated before; nan at the first time."""
        module = net.module
        now = [] if module is None else list(module.parameters())
        if not now:
            return math.nan
        before = self._evaluated.pop(net, None) or self._of_a_copy(net)
        while len(self._evaluated) >= MOST_EVALUATED:
            self._evaluated.pop(next(iter(self._evaluated)))
        values = copies(now)
        if values is None:
            return math.nan
        self._evaluated[net] = values
        return math.nan if before is None or len(before) != len(now) else change(now, before)

    def _of_a_copy(self, net: Net) -> list[Tensor] | None:
        gone = [other for other in self._evaluated if other.module is None and other.shapes == net.shapes]
        return self._evaluated.pop(gone[-1]) if gone else None
