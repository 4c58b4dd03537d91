"""Callbacks of other packages' trainers: one line each, and the training is watched and diagnosed.

    transformers.Trainer(..., callbacks=[kit.integrations.HuggingFaceCallback()])
    lightning.Trainer(callbacks=[kit.integrations.LightningCallback()])
    model.fit(x, y, callbacks=[kit.integrations.KerasCallback()])                         # Keras 3 with the torch backend
    NeuralNetClassifier(..., callbacks=[kit.integrations.SkorchCallback()])
    kit.integrations.IgniteHandler().attach(trainer, evaluator)
    Accelerator(log_with=[kit.integrations.AccelerateTracker()])

Each opens ``kit.watch`` when the training begins, hands over the losses that the trainer displays, writes the terms of the loss to the
trainer's own loggers (``term/<name>``, ``weight/<name>`` and, with ``probe_every=``, ``grad_norm/<name>``, of the steps that were
read: see ``kit.watch``), and prints the first lines of the diagnosis when the training ends, however it ends.
Afterwards ``callback.trace`` and ``callback.diagnosis`` hold all of it. Options are those of ``kit.watch``; ``print=False`` keeps it
silent. Nothing is raised into the training, and nothing of it changes.

The other package is imported when its callback is first used. ImportError: it is not installed.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "AccelerateTracker": "accelerate",
    "HuggingFaceCallback": "huggingface",
    "IgniteHandler": "ignite",
    "KerasCallback": "keras",
    "LightningCallback": "lightning",
    "SkorchCallback": "skorch",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the names are the keys


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kit.integrations' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"kit.integrations.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
