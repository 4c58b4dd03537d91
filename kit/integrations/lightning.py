"""The Trainer of Lightning, automatic and manual optimization.

    callback = kit.integrations.LightningCallback()
    lightning.Trainer(max_epochs=10, callbacks=[callback]).fit(module, train_loader, val_loader)
    callback.trace, callback.diagnosis

What the module logs as its train and its validation loss is what was displayed: ``train_loss``, ``train/loss``, ``loss_epoch``,
``val_loss``, ...; of several terms that are logged, say which: ``LightningCallback(train_loss="fit/total", val_loss="dev/total")``. Of
several validation loaders it is the mean. The terms are written to the loggers of the trainer, not to the metrics of the module.
"""

from __future__ import annotations

import sys
from typing import Any

from kit.integrations.names import train_loss_of, val_losses_of
from kit.integrations.session import Watching, guarded, part_of

_OLD = "pytorch_lightning"
_Base: Any = part_of(
    _OLD if _OLD in sys.modules and "lightning" not in sys.modules else "lightning.pytorch",
    "Callback",
    "LightningCallback",
)


class LightningCallback(Watching, _Base):
    """For ``lightning.Trainer(callbacks=[LightningCallback()])``.

    Args:
        train_loss, val_loss: the names under which the module logs them; found if not given.
        others: as in ``kit.integrations.session.Watching``.
    """

    def __init__(
        self, *, train_loss: str | None = None, val_loss: str | None = None, print: bool = True, **options: Any
    ) -> None:
        super().__init__(print=print, **options)
        self._train_loss, self._val_loss = train_loss, val_loss
        self._epoch: int | None = None

    @guarded
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # after the sanity check
        self._epoch = None
        self.session_.open(None, speaks=trainer.is_global_zero)  # of an exception it tells

    @guarded
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._epoch_over(trainer)
        self._epoch = trainer.current_epoch

    @guarded
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.session_.displayed.stepped()
        scalars = self.session_.new_scalars()
        if scalars:
            step = getattr(trainer.fit_loop.epoch_loop, "_batches_that_stepped", trainer.global_step)
            for logger in trainer.loggers:
                logger.log_metrics(dict(scalars), step=step)

    @guarded
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        known, batches = trainer.callback_metrics, list(trainer.num_val_batches)
        names = val_losses_of(known) if self._val_loss is None else [n for n in known if n.startswith(self._val_loss)]
        if len(names) != len(batches):
            batches = [1] * len(names)
        for name, count in zip(names, batches, strict=True):
            self.session_.displayed.val(known[name], count)

    def _epoch_over(self, trainer: Any) -> None:
        """After the epoch's last hook, as a module may log its mean there."""
        if self._epoch is None:
            return
        known = trainer.callback_metrics
        name = train_loss_of(known) if self._train_loss is None else self._train_loss
        if name is not None:
            self.session_.displayed.train(known.get(name))
        self.session_.displayed.epoch_over(self._epoch + 1)
        self._epoch = None

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._epoch_over(trainer)
        self.session_.close()

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.session_.close(type(exception))

    @guarded
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.session_.close()
