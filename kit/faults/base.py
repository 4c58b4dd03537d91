"""What a fault is: applied to a training loop, undone exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch.nn import ModuleDict, Parameter

from kit.training import TrainingLoop


@dataclass(frozen=True)
class Fault:
    """One fault. Subclasses say in ``_apply`` which parts of the loop they replace.

    Undoing puts back the loop's parts, the weights of its loss, and the parameters that the fault overwrote, bitwise. What
    training did meanwhile to other parameters is training, and stays. ``hypothesis`` is the key of the claim that this fault makes true.
    ``title`` (a few words) and ``what`` (a sentence) say what this very fault does, with its own names and numbers.
    """

    key: ClassVar[str]
    hypothesis: ClassVar[str]

    @property
    def title(self) -> str:
        raise NotImplementedError

    @property
    def what(self) -> str:
        return ""

    def applies_to(self, loop: TrainingLoop) -> str | None:
        """None if the fault can be applied, else the reason why not."""
        return None

    @contextmanager
    def applied_to(self, loop: TrainingLoop) -> Iterator[TrainingLoop]:
        """The loop with the fault in it; undone by return and by exception alike.

        Raises:
            ValueError: the fault does not apply to this loop.
        """
        reason = self.applies_to(loop)
        if reason is not None:
            raise ValueError(f"{self.key} should be applied to a loop that can have it. Found: {reason}")
        parts, loss, weights = dict(vars(loop)), loop.loss, loop.loss.weights
        overwritten = [(parameter, parameter.detach().clone()) for parameter in self._overwrites(loop)]
        try:
            self._apply(loop)
            yield loop
        finally:
            for name in set(vars(loop)) - set(parts):
                delattr(loop, name)
            for name, part in parts.items():
                setattr(loop, name, part)
            loss.set_weights(weights)
            with torch.no_grad():
                for parameter, value in overwritten:
                    parameter.copy_(value)

    def _apply(self, loop: TrainingLoop) -> None:
        raise NotImplementedError

    def _overwrites(self, loop: TrainingLoop) -> Iterable[Parameter]:
        """Parameters whose values the fault changes itself."""
        return ()


def heads_of(loop: TrainingLoop) -> ModuleDict:
    """The heads of a network that has some; to the type checker, every such attribute is a tensor or a module."""
    return cast(ModuleDict, loop.model.heads)


@contextmanager
def all_applied(loop: TrainingLoop, *faults: Fault) -> Iterator[TrainingLoop]:
    """Several faults at once, in this order; undone in reverse."""
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault.applied_to(loop))
        yield loop
