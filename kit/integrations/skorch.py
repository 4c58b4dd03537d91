"""The nets of skorch.

    callback = kit.integrations.SkorchCallback()
    net = NeuralNetClassifier(Module, ..., callbacks=[callback]).fit(X, y)
    callback.trace, callback.diagnosis

``train_loss`` and ``valid_loss`` of its history are what was displayed. The terms, as of the last step that was read, are columns of the
history: ``net.history[:, "term/<name>"]``.
"""

from __future__ import annotations

import math
from typing import Any

from kit.integrations.session import Session, Watching, guarded, part_of

_Base: Any = part_of("skorch.callbacks", "Callback", "SkorchCallback")


class SkorchCallback(Watching, _Base):
    """For ``NeuralNet(..., callbacks=[SkorchCallback()])``; arguments as in ``kit.integrations.session.Watching``."""

    def __init__(self, *, print: bool = True, **options: Any) -> None:
        super().__init__(print=print, **options)
        self.print = print  # clone() of scikit-learn reads arguments from attributes of their names
        self.__dict__.update(options)
        self.names_: tuple[str, ...] | None = None

    @guarded
    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        options = self.get_params(deep=False)
        self.session_.close()
        self.session_ = Session(type(self).__name__, options.pop("print"), options)
        self.names_ = None
        self.session_.open({"notify", "on_train_begin"})

    @guarded
    def on_epoch_begin(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        self.session_.displayed.stepped()

    @guarded
    def on_epoch_end(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        row = net.history[-1]
        self.session_.displayed.train(row.get("train_loss"))
        self.session_.displayed.val(row.get("valid_loss"))
        self.session_.displayed.epoch_over(row["epoch"])
        scalars = self.session_.scalars
        if self.names_ is None:
            self.names_ = tuple(scalars)
        for (
            name
        ) in self.names_:  # the same in every epoch: else the column has gaps, and skorch raises where it is read
            net.history.record(name, scalars.get(name, math.nan))

    @guarded
    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self.session_.close()
