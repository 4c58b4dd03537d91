"""Loops under Accelerate: one tracker more.

    tracker = kit.integrations.AccelerateTracker()
    accelerator = Accelerator(log_with=["tensorboard", tracker], project_dir="logs")
    accelerator.init_trackers("project")                               # the watch opens
    ...                                                                # the loop
        accelerator.log({"train_loss": loss, "val_loss": val})         # what is displayed
    accelerator.end_training()                                         # the watch closes, and the diagnosis is printed
    tracker.trace, tracker.diagnosis

``end_training()`` belongs into a ``finally`` block: of an exception in the loop no tracker is told, and the watch would be open until
Python ends. What the loop logs as its train and its validation loss is what was displayed. Whenever it logs, the terms go to the other trackers.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from kit.integrations.frames import caller
from kit.integrations.names import train_loss_of, val_losses_of
from kit.integrations.session import Watching, guarded, part_of

_Base: Any = part_of("accelerate.tracking", "GeneralTracker", "AccelerateTracker")


class AccelerateTracker(Watching, _Base):
    """For ``Accelerator(log_with=[AccelerateTracker()])``; arguments as in ``kit.integrations.session.Watching``."""

    name = "zero_loss_kit"
    requires_logging_directory = False

    @property
    def tracker(self) -> AccelerateTracker:
        return self

    @guarded
    def start(self) -> None:
        self.session_.open(None)
        self.session_.displayed.stepped()
        accelerator = caller(part_of("accelerate", "Accelerator", "AccelerateTracker"))
        self._accelerator = (lambda: None) if accelerator is None else weakref.ref(accelerator)

    def store_init_configuration(self, values: dict) -> None:
        pass

    @guarded
    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        displayed, train = self.session_.displayed, train_loss_of(values)
        if train is not None:
            displayed.train(values[train])
            displayed.stepped()
        for name in val_losses_of(values):
            displayed.val(values[name])
        accelerator, scalars = self._accelerator(), self.session_.new_scalars()
        for other in [] if accelerator is None or not scalars else accelerator.trackers:
            if other is not self:
                other.log(dict(scalars), step=step)

    @guarded
    def finish(self) -> None:
        self.session_.close()
