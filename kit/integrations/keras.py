"""``fit`` of Keras 3 with the torch backend.

    callback = kit.integrations.KerasCallback()
    model.fit(x, y, validation_data=..., callbacks=[callback])
    callback.trace, callback.diagnosis

``loss`` and ``val_loss`` are what was displayed. The terms, as of the last step that was read, are added to the logs of each epoch,
so that ``History`` and the callbacks that stand behind this one in the list (``CSVLogger``) have them.
"""

from __future__ import annotations

import math
from typing import Any

from kit.integrations.session import Watching, guarded, part_of

_Base: Any = part_of("keras.callbacks", "Callback", "KerasCallback")


class KerasCallback(Watching, _Base):
    """For ``model.fit(..., callbacks=[KerasCallback()])``; arguments as in ``kit.integrations.session.Watching``."""

    def __init__(self, *, print: bool = True, **options: Any) -> None:
        super().__init__(print=print, **options)
        self._names: tuple[str, ...] | None = None

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:
        self._names = None
        self.session_.open({"on_train_begin"})

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.session_.displayed.stepped()

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        self.session_.displayed.train(logs.get("loss"))
        self.session_.displayed.val(logs.get("val_loss"))
        self.session_.displayed.epoch_over(epoch + 1)
        scalars = self.session_.scalars
        if self._names is None:
            self._names = tuple(scalars)
        # the same names in every epoch: the columns of a history are of one length
        logs.update({name: scalars.get(name, math.nan) for name in self._names})

    @guarded
    def on_train_end(self, logs: Any = None) -> None:
        self.session_.close()
