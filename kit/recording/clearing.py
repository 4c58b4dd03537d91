"""Is what each of several optimizers has used cleared before its next step? Looked at until it was once, or was not a few times."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from torch import Tensor

from kit.recording.networks import Stepper
from kit.recording.norms import norms_of

FEW, ENOUGH = 3, 8  # steps with gradients left over that say something, and after which nobody looks any more


@dataclass
class _Between:
    """Between two steps of one optimizer. `passes`: backward passes that found its gradients still there."""

    gradient: weakref.ref[Tensor] | None = None
    passes: int = 0
    left: int = 0
    cleared: bool = False

    @property
    def decided(self) -> bool:
        return self.cleared or self.left >= ENOUGH


class Clearing:
    def __init__(self) -> None:
        self._of: dict[Stepper, _Between] = {}

    def stepped(self, stepper: Stepper) -> None:
        """After its step."""
        between = self._of.setdefault(stepper, _Between())
        if not between.decided:
            first = next((p.grad for p in stepper.parameters if p.grad is not None), None)
            between.gradient, between.passes = None if first is None else weakref.ref(first), 0

    def backward_begins(self) -> None:
        """Another optimizer's gradients may lie there until its own turn comes: only one pass that finds them gone is needed."""
        if len(self._of) < 2:
            return
        for stepper, between in self._of.items():
            if between.decided:
                continue
            norms = norms_of([p.grad for p in stepper.parameters if p.grad is not None])
            between.cleared = not norms or not max(norms) > 0
            between.passes += 1

    def step_begins(self, stepper: Stepper) -> None:
        between = self._of.get(stepper)
        if between is None or between.decided or not between.passes or between.gradient is None:
            return
        gradient = between.gradient()  # one that was put there anew was not added to what was left
        between.cleared = not any(p.grad is gradient for p in stepper.parameters) if gradient is not None else True
        between.left += not between.cleared

    def never(self) -> list[str]:
        """Optimizers whose gradients were there at every backward pass, with the line of the step."""
        return [
            f"{stepper.kind} ({stepper.line}) in each of {between.left} steps that were looked at"
            for stepper, between in self._of.items()
            if not between.cleared and between.left >= FEW
        ]
