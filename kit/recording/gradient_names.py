"""Which parameters have gradients that are exactly 0, or not finite, in the steps that are read."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from kit.recording.norms import norms_of

MOST = 20_000


@dataclass
class _Counted:
    """Backward passes after which one parameter had a gradient; how often it was exactly 0, and how often not finite."""

    name: str
    is_flat: bool
    looks: int = 0
    zero: int = 0
    nonfinite: int = 0


class NamedGradients:
    """Counts by parameter; the name is the one that it had first."""

    def __init__(self) -> None:
        self._counted: dict[int, _Counted] = {}

    def look(self, tensors: Sequence[Tensor], names: Mapping[int, str]) -> None:
        if len(self._counted) > MOST:  # parameters that are made anew in every step
            return
        present = [(p, gradient) for p in tensors if (gradient := p.grad) is not None]
        for (p, _), norm in zip(present, norms_of([gradient for _, gradient in present]) or (), strict=False):
            counted = self._counted.setdefault(id(p), _Counted(names.get(id(p), "a tensor"), p.dim() < 2))
            counted.looks += 1
            counted.zero += norm == 0
            counted.nonfinite += not math.isfinite(norm)

    def knows(self, key: int) -> bool:
        """Whether the parameter with this id ever had a gradient."""
        return key in self._counted

    def zero(self, among: Container[int] | None = None) -> list[str]:
        """Names of those (whose id is `among` these) with a gradient of exactly 0 every time.

        None, if they are biases only, which a difference of two outputs cancels.
        """
        found = [c for key, c in self._counted.items() if c.zero == c.looks and (among is None or key in among)]
        return [c.name for c in found] if any(not c.is_flat for c in found) else []

    def nonfinite(self) -> dict[str, str]:
        """Of those that were ever not finite: how often, as "3 of 5"."""
        return {c.name: f"{c.nonfinite} of {c.looks}" for c in self._counted.values() if c.nonfinite}
