"""The Trainer of Hugging Face, and those that are built on it (trl, sentence-transformers).

    callback = kit.integrations.HuggingFaceCallback()
    trainer = transformers.Trainer(model=model, args=args, train_dataset=..., callbacks=[callback])
    trainer.train()                       # ends with the first lines of the diagnosis
    callback.trace, callback.diagnosis

Its ``loss`` and ``eval_loss`` are what was displayed. ``loss`` is a mean over ``logging_steps``: one that reaches back over more than
one evaluation is not compared with the losses of the batches. The terms are written to ``trainer.state.log_history`` and, as
``train/term/<name>``, to TensorBoard, W&B, MLflow, trackio and whatever else ``report_to`` names.
"""

from __future__ import annotations

import weakref
from typing import Any

from kit.integrations.frames import caller
from kit.integrations.session import Watching, guarded, part_of

_Base: Any = part_of("transformers", "TrainerCallback", "HuggingFaceCallback")
_PASSING_ON = {"on_train_begin", "call_event"}


class HuggingFaceCallback(Watching, _Base):
    """For ``Trainer(..., callbacks=[HuggingFaceCallback()])``; arguments as in ``kit.integrations.session.Watching``."""

    @guarded
    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self._any_shown = False
        self._handler = _no_handler
        self.session_.open(_PASSING_ON, speaks=state.is_world_process_zero)
        handler = caller(part_of("transformers.trainer_callback", "CallbackHandler", "HuggingFaceCallback"))
        self._handler = _no_handler if handler is None else weakref.ref(handler)

    @guarded
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self.session_.displayed.epoch_over(round(state.epoch or 0))

    @guarded
    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self.session_.displayed.stepped()
        scalars = self.session_.new_scalars()
        if not scalars:
            return
        state.log_history.append({**scalars, "epoch": state.epoch, "step": state.global_step})
        for reporter in self._reporters():
            try:
                reporter.on_log(args, state, control, logs=dict(scalars), **parts)
            except Exception as error:  # noqa: BLE001 - of another tool; the next one may work
                self.session_.note(error)

    def _reporters(self) -> list[Any]:
        """The callbacks of this training that write to a tracker: those that ``report_to`` knows."""
        handler = self._handler()
        kinds = part_of("transformers.integrations", "INTEGRATION_TO_CALLBACK", "HuggingFaceCallback").values()
        return [] if handler is None else [one for one in handler.callbacks if isinstance(one, tuple(kinds))]

    @guarded
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **parts: Any) -> None:
        logs, displayed = logs or {}, self.session_.displayed
        if "loss" in logs:
            displayed.train(logs["loss"])
            self._any_shown = True
        elif "train_loss" in logs and not self._any_shown:  # at the end, the mean of the whole run
            displayed.train(logs["train_loss"])
        sets = [name for name in logs if name.startswith("eval_") and name.endswith("_loss")]  # one a validation set
        for name in ["eval_loss"] if "eval_loss" in sets else sets:
            displayed.val(logs[name])

    @guarded
    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self._handler = _no_handler
        self.session_.close()


def _no_handler() -> Any:
    return None
