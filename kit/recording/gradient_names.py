"""Which parameters have gradients that are exactly 0, or not finite, in the steps that are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from kit.recording.norms import norms_of


class NamedGradients:
    """Counts by name, of the backward passes after which a parameter had a gradient."""

    def __init__(self) -> None:
        self._looks: dict[str, int] = {}
        self._zero: dict[str, int] = {}
        self._nonfinite: dict[str, int] = {}

    def look(self, tensors: Sequence[Tensor], names: Mapping[int, str]) -> None:
        present = [(names.get(id(p), ""), p.grad) for p in tensors if p.grad is not None]
        norms = norms_of([gradient for _, gradient in present])
        for (name, _), norm in zip(present, norms or (), strict=False):
            self._looks[name] = self._looks.get(name, 0) + 1
            for counts, is_so in ((self._zero, norm == 0), (self._nonfinite, not math.isfinite(norm))):
                counts[name] = counts.get(name, 0) + is_so

    def zero(self) -> list[str]:
        """Names of those whose gradient was exactly 0 every time."""
        return [name for name, looks in self._looks.items() if name and self._zero[name] == looks]

    def nonfinite(self) -> dict[str, str]:
        """Of those that were ever not finite: how often, as "3 of 5"."""
        return {n: f"{count} of {self._looks[n]}" for n, count in self._nonfinite.items() if n and count}
