"""A system with faults: the same training again, as it was or with one cause's fix applied alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

from kit.faults.base import Fault, all_applied
from kit.faults.fixes import FIXES
from kit.loss import ZeroWeightWarning
from kit.training import System, TrainingHistory

EPOCHS = 3


@dataclass(frozen=True)
class FaultySystem:
    """A system with faults; each ``run`` starts from the same fresh network and the same order of batches.

    Args:
        system: what is trained.
        faults: what is wrong with it, in this order.
        epochs: of each run; a few are enough to see a symptom go.
    """

    system: System
    faults: tuple[Fault, ...]
    epochs: int = EPOCHS

    def run(self, fix: str | None = None) -> TrainingHistory:
        """Raises KeyError for a hypothesis whose fix is not known."""
        if fix is not None and fix not in FIXES:
            raise KeyError(f"fix should be one of {', '.join(FIXES)}. Found {fix!r}.")
        config = replace(self.system.config, epochs=self.epochs)
        loop = replace(self.system, config=config).new_loop()
        with all_applied(loop, *self.faults), warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)  # zero weights are the point here
            if fix is not None:
                FIXES[fix](loop)
            return loop.run()
