"""Which of the numbers that a program logs is its train loss, and which its validation loss."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LOSS = {"loss", "nll", "objective"}
_TRAIN = {"train", "training"}
_VAL = {"val", "valid", "validation", "eval", "evaluation", "dev"}
_OTHER = {"test", "scale", "best", "lr", "grad", "norm", "time"}
_WHERE = {"epoch", "step", "mean", "avg", "total"}
_LOADER = re.compile(r"/dataloader_idx_\d+$")


def train_loss_of(names: Iterable[str]) -> str | None:
    """The one that is the whole train loss; None where several might be: "loss", "train_loss_epoch", "train/loss"."""
    known = {name: _words(name) for name in names}
    return _plainest({name: words for name, words in known.items() if _is_loss(words) and not words & _VAL}, _TRAIN)


def val_losses_of(names: Iterable[str]) -> list[str]:
    """The validation loss, by its names: one for each validation loader."""
    names = list(names)
    known = {base: _words(base) for base in dict.fromkeys(_LOADER.sub("", name) for name in names)}
    found = _plainest({base: words for base, words in known.items() if _is_loss(words) and words & _VAL}, _VAL)
    return [name for name in names if _LOADER.sub("", name) == found]


def _words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return {word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word}


def _is_loss(words: set[str]) -> bool:
    return bool(words & _LOSS) and not words & _OTHER


def _plainest(known: dict[str, set[str]], own: set[str]) -> str | None:
    """With the fewest words beside "train loss"; of the same words, the mean of the epoch. Two terms of a loss are no loss."""
    if not known:
        return None
    more = {name: len(words - _LOSS - own - _WHERE) for name, words in known.items()}
    least = min(more.values())
    found = [name for name in known if more[name] == least]
    bare = {name: known[name] - _WHERE for name in found}
    if least and len({frozenset(words) for words in bare.values()}) > 1:
        return None
    return min(found, key=lambda name: (not known[name] & own, "step" in known[name], "epoch" not in known[name]))
