"""What one run of a study changes in the system, and the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar

from kit.diagnosis import Diagnosis, diagnose
from kit.faults import FIXES, Fault, FaultySystem, all_applied
from kit.recording import Trace, watch
from kit.training import System, TrainingHistory, TrainingLoop

AS_IT_IS = "as_it_is"
_TRIED_EPOCHS = 2  # of a fix: a few are enough to see the symptom go
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class _Fixed(Fault):
    """A fix as one more thing that is applied to the loop, after the faults."""

    fix: str
    key: ClassVar[str] = "fixed"
    title: ClassVar[str] = "A fix"
    hypothesis: ClassVar[str] = "none"

    def _apply(self, loop: TrainingLoop) -> None:
        FIXES[self.fix](loop)


@dataclass(frozen=True)
class Setup:
    """What differs from the system as it is.

    Args:
        caption: the run's name where it is shown.
        faults: applied to the loop, in this order.
        weights: loss weights to begin with; those not named stay.
        config: settings of ``TrainingConfig`` to replace.
        fixes: keys of hypotheses whose fixes are applied after the faults, in this order.
    """

    caption: str
    faults: tuple[Fault, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    config: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    fixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in self.fixes:
            if key not in FIXES:
                raise ValueError(f"fixes should be of {', '.join(FIXES)}. Found {key!r}.")

    def run(self, system: System) -> TrainingHistory:
        """Train a fresh network of the system. The loss's warnings of zero weights are not shown: they are on purpose here."""
        return self._changed(system).run()

    def watched(self, system: System) -> WatchedRun:
        """The same run under a watch, diagnosed, with the fix of every cause that has a sign tried alone."""
        changed = self._changed(system)
        loop = changed.system.new_loop()
        with all_applied(loop, *changed.faults), watch(loop.model, loss=loop.loss) as run:
            history = loop.run()
        epochs = [record["epoch"] for record in history.epoch_records]
        run.log(epoch=epochs, train_loss=history.train_loss, val_loss=history.val_loss)
        again = replace(changed, epochs=min(changed.epochs, _TRIED_EPOCHS))
        return WatchedRun(history, run.trace, diagnose(run.trace).confirmed_by(again))

    def _changed(self, system: System) -> FaultySystem:
        config = replace(system.config, **self.config)
        changed = replace(system.with_weights(**self.weights), config=config)
        return FaultySystem(changed, (*self.faults, *map(_Fixed, self.fixes)), epochs=config.epochs)


@dataclass(frozen=True)
class WatchedRun:
    """One run: what its loop recorded of itself, what a watch saw of it from outside, and what that speaks for."""

    history: TrainingHistory
    trace: Trace
    diagnosis: Diagnosis
