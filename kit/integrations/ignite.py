"""Engines of PyTorch-Ignite.

    handler = kit.integrations.IgniteHandler().attach(trainer, evaluator)
    trainer.run(loader, max_epochs=10)
    handler.trace, handler.diagnosis

What the step function returns is the train loss, if it is a number or a mapping with one; the loss among the metrics of the
evaluator is the validation loss. Other names: ``attach(trainer, evaluator, train_loss="mse", val_loss="mse")``, metrics of the two
engines. The terms are put into ``trainer.state.metrics``, where the loggers of Ignite find them (``metric_names="all"``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.integrations.displayed import number_of
from kit.integrations.names import train_loss_of, val_losses_of
from kit.integrations.session import Watching, guarded, part_of

_Events: Any = part_of("ignite.engine", "Events", "IgniteHandler", "pytorch-ignite")
_OURS = ("term/", "weight/", "grad_norm/")


class IgniteHandler(Watching):
    """``IgniteHandler().attach(trainer, evaluator)``; arguments as in ``kit.integrations.session.Watching``."""

    def attach(
        self, trainer: Any, evaluator: Any = None, *, train_loss: str | None = None, val_loss: str | None = None
    ) -> IgniteHandler:
        """Listen to these engines. Returns the handler itself.

        Args:
            trainer: the engine that trains.
            evaluator: the engine that evaluates; of several runs in one epoch, the mean over their batches.
            train_loss, val_loss: names of metrics of the two.
        """
        self._train_loss, self._val_loss = train_loss, val_loss
        self._outputs: list[Any] = []
        for event, act in (
            (_Events.STARTED, self._started),
            (_Events.ITERATION_COMPLETED, self._stepped),
            (_Events.EPOCH_COMPLETED, self._epoch_over),
            (_Events.TERMINATE, self._ended),
            (_Events.COMPLETED, self._ended),
            (_Events.EXCEPTION_RAISED, self._raised),
        ):
            trainer.add_event_handler(event, act)
        if evaluator is not None:
            evaluator.add_event_handler(_Events.COMPLETED, self._evaluated)
        return self

    @guarded
    def _started(self, engine: Any) -> None:
        self._outputs = []
        self.session_.open(None)  # of an exception it tells

    @guarded
    def _stepped(self, engine: Any) -> None:
        self.session_.displayed.stepped()
        output = engine.state.output
        if isinstance(output, Mapping):
            output = output.get(train_loss_of(map(str, output)))
        if (number := number_of(output)) is not None:
            self._outputs.append(number)
        engine.state.metrics.update(self.session_.new_scalars())

    @guarded
    def _epoch_over(self, engine: Any) -> None:
        displayed, outputs, metrics = self.session_.displayed, self._outputs, engine.state.metrics
        self._outputs = []
        if self._train_loss is None and outputs:
            displayed.train(sum(outputs) / len(outputs))
        else:
            name = self._train_loss or train_loss_of(name for name in metrics if not name.startswith(_OURS))
            displayed.train(metrics.get(name))
        displayed.epoch_over(engine.state.epoch)

    @guarded
    def _evaluated(self, engine: Any) -> None:
        metrics = engine.state.metrics
        known = {name if val_losses_of([name]) else f"val_{name}": value for name, value in metrics.items()}
        names = val_losses_of(known) if self._val_loss is None else []
        value = metrics.get(self._val_loss) if self._val_loss is not None else known[names[0]] if names else None
        self.session_.displayed.val(value, engine.state.iteration)

    def _raised(self, engine: Any, error: BaseException) -> None:
        """An engine with a handler of this event raises no longer by itself; it is to be as without this one."""
        self._left(type(error))
        if len(engine._event_handlers[_Events.EXCEPTION_RAISED]) == 1:
            raise error

    @guarded
    def _left(self, kind: type[BaseException]) -> None:
        self.session_.close(kind)

    @guarded
    def _ended(self, engine: Any) -> None:
        self.session_.close()
