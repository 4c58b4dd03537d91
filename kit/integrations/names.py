"""Which of the numbers that a program logs is its train loss, and which its validation loss."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kit.recording.names import chosen

_LOADER = re.compile(r"/dataloader_idx_\d+$")
_MEANS = ("epoch", "", "step")  # of an epoch first


def train_loss_of(names: Iterable[str]) -> str | None:
    """The one that is the whole train loss: "loss", "train_loss_epoch", "train/loss"; None if there is none."""
    return _of_an_epoch(names, "train_loss")


def val_losses_of(names: Iterable[str]) -> list[str]:
    """The validation loss, by its names: one for each validation loader."""
    names = [name for name in names if "test" not in name.lower()]
    found = _of_an_epoch(dict.fromkeys(_LOADER.sub("", name) for name in names), "val_loss")
    return [name for name in names if _LOADER.sub("", name) == found]


def _of_an_epoch(names: Iterable[str], role: str) -> str | None:
    found = chosen(names)
    return next((found[role, per] for per in _MEANS if (role, per) in found), None)
