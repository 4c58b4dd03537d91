"""What a column or a logged number is, by its name: `train/loss`, `eval_loss`, `lr-AdamW`, `grad_2.0_norm_total`, `Step`."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ROLES = ("epoch", "step", "train_loss", "val_loss", "lr", "grad_norm")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_TRAIN = frozenset({"train", "training", "trn", "tr", "trainer", "fit"})
_VAL = {"val": 0, "valid": 0, "validation": 0, "validate": 0, "eval": 1, "evaluation": 1, "dev": 1, "test": 2, "testing": 2}  # fmt: skip
_LOSS = frozenset({"loss", "losses"})
_EPOCH = frozenset({"epoch", "epochs"})
_STEP = frozenset({"step", "steps", "iteration", "iterations", "iter", "iters", "it", "update", "updates", "batch"})
# words that leave a loss what it is
_FILLER = frozenset(
    ["avg", "average", "mean", "running", "total", "overall", "smoothed", "smooth", "global", "current", "cur", "metric", "metrics", "scalar", "scalars", "log", "logs", "logger", "set", "dataloader", "idx", "main", "objective", "ema", "per", "sample", "final"]
) | _EPOCH | _STEP  # fmt: skip
# words that make another number of it
_OTHER = frozenset((
    "scale", "scaler", "weight", "weights", "lambda", "coef", "coeff", "coefficient", "factor", "ratio", "std", "var",
    "variance", "min", "max", "best", "lowest", "delta", "diff", "difference", "change", "grad", "gradient", "time",
    "second", "seconds", "runtime", "count", "acc", "accuracy", "score", "counter", "patience",
))  # fmt: skip
_TERMS = frozenset({"kl", "kld", "rec", "recon", "reconstruction"})  # terms also where no word says loss
_NORM = frozenset((
    "norm", "total", "global", "overall", "l", "2", "0", "train", "training", "step", "before", "pre", "clip",
    "clipping", "unclipped", "raw", "p",
))  # fmt: skip
_GRADIENT = frozenset({"grad", "grads", "gradient", "gradients"})


@dataclass(frozen=True)
class Meaning:
    """What a name stands for.

    Attributes:
        role: one of ``ROLES``, or "term" for a part of the training loss.
        per: "step" or "epoch" where the name says what the number is of.
        term: the name of the part.
        rank: 0 for the plainest name of its role; of two names for one role the lower is meant.
    """

    role: str
    per: str = ""
    term: str = ""
    rank: int = 0

    @property
    def said(self) -> str:
        return f"the term {self.term}" if self.role == "term" else self.role


@functools.lru_cache(maxsize=4096)
def meaning(name: str) -> Meaning | None:
    """None for a name that is not understood."""
    words = [word.lower() for word in _WORD.findall(name[:200])]
    found = set(words)
    if not words:
        return None
    if words in (["e"], ["ep"]) or (found & _EPOCH and found <= _EPOCH | _TRAIN | {"current", "number"}):
        return Meaning("epoch")
    if found & _STEP and found <= _STEP | _TRAIN | {"global", "current", "optimizer", "number"}:
        return Meaning("step", rank=0 if found & {"step", "steps"} else 1)
    if "lr" in found or ("learning", "rate") in itertools.pairwise(words):
        return None if found & (_LOSS | _OTHER) else Meaning("lr", rank=len(words))
    if "gnorm" in found or (found & _GRADIENT and "norm" in found):
        return Meaning("grad_norm", rank=len(words)) if found <= _NORM | _GRADIENT | {"gnorm"} else None
    return _loss(words)


def _loss(words: list[str]) -> Meaning | None:
    found = set(words)
    digits = {word for word in found if word.isdecimal()}
    rest = [word for word in words if word not in _LOSS | _TRAIN | _FILLER | digits and word not in _VAL]
    if found & _OTHER:
        return None
    if not found & _LOSS:
        if len(words) == 1 and (found <= _TRAIN or words[0] in _VAL):
            return Meaning("val_loss" if words[0] in _VAL else "train_loss", rank=3)
        named = len(rest) == 1 and rest[0] in _TERMS and not found & {*_VAL}
        return Meaning("term", term=rest[0]) if named else None
    per = "epoch" if found & _EPOCH else "step" if found & _STEP else ""
    places = [place for word, place in _VAL.items() if word in found]
    if places:
        return None if rest else Meaning("val_loss", per, rank=10 * min(places) + len(words))
    if rest:
        return Meaning("term", per, "_".join(rest))
    return Meaning("train_loss", per, rank=len(words) + (0 if found & _TRAIN else 2))


def understood(names: Iterable[str]) -> dict[str, Meaning]:
    """Those of the names that stand for something."""
    return {name: found for name in names if (found := meaning(name)) is not None}


def chosen(names: Iterable[str], counts: Mapping[str, int] | None = None) -> dict[tuple[str, str], str]:
    """(role, per) -> the name that is meant, of several that stand for the same.

    One that holds less than half as many values as another (a mean over the whole run, say) is not. Terms are left out.
    """
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name, found in understood(names).items():
        if found.role != "term":
            groups.setdefault((found.role, found.per), []).append((found.rank, name))
    held = counts or {}
    picked = {}
    for key, entries in groups.items():
        most = max(held.get(name, 0) for _, name in entries)
        picked[key] = min(entry for entry in entries if 2 * held.get(entry[1], 0) >= most)[1]
    return picked
