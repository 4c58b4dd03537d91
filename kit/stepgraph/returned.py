"""The total in what a loss returned: the value itself, or an entry of it."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from kit.stepgraph.arguments import kind, listed
from kit.stepgraph.graph import nodes


def scalar(value: Any, what: str) -> Tensor:
    """A real 0-d tensor; a plain number becomes a constant."""
    if isinstance(value, numbers.Real):
        return torch.tensor(float(value))
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} should be a scalar tensor. Found {kind(value)}.")
    if value.numel() != 1 or not value.is_floating_point():
        raise ValueError(
            f"{what} should be a real scalar. Found shape {tuple(value.shape)}, {value.dtype}; "
            "reduce it inside, with .mean() or .sum()."
        )
    return value.reshape(())


def where(returned: Any) -> str | int | None:
    """Key, place or attribute of the total, None if it is the value itself: what is named `loss`, else the only scalar
    whose graph holds all the others.

    Raises TypeError where it is not clear which is the total.
    """
    if isinstance(returned, Tensor | numbers.Real):
        return None
    named = returned.get("loss") if isinstance(returned, Mapping) else getattr(returned, "loss", None)
    if _is_scalar(named):
        return "loss"
    entries = _entries(returned)
    rooted = {key: value for key, value in entries.items() if _is_scalar(value) and value.grad_fn is not None}
    whole = [key for key, value in rooted.items() if {v.grad_fn for v in rooted.values()} <= set(nodes(value))]
    if len(whole) != 1:
        raise TypeError(_refused(returned, rooted))
    return whole[0]


def total(returned: Any, place: str | int | None) -> Tensor:
    """The total, at the place where it was found before."""
    if place is not None and not isinstance(returned, Tensor | numbers.Real):
        keyed = isinstance(returned, Mapping | tuple | list)
        returned = returned[place] if keyed else getattr(returned, cast(str, place))
    return scalar(returned, "loss(prediction, target)")


def note(returned: Any, place: str | int | None) -> str:
    """What was taken for the total, if that was not the value itself."""
    if place is None:
        return ""
    entry = f"[{place!r}]" if isinstance(returned, Mapping | tuple | list) else f".{place}"
    return f"loss returned {kind(returned)}; its {entry} is taken as the total."


def _entries(returned: Any) -> dict[Any, Any]:
    if isinstance(returned, Mapping):
        return dict(returned)
    return dict(enumerate(returned)) if isinstance(returned, tuple | list) else {}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point()


def _refused(returned: Any, rooted: Mapping[Any, Tensor]) -> str:
    entries = _entries(returned)
    words = [_word(value) for value in entries.values()]
    inside = f": {listed(words)}" if words and not isinstance(returned, Mapping) else ""
    head = f"loss should return a scalar tensor. Found {kind(returned)}{inside}. "
    if returned is None:
        return head + "Is its return statement missing?"
    if not entries:
        return head + "Return the total, a tensor with its graph."
    key = next(iter(rooted or entries))
    one = f"Pass the total alone, e.g. lambda p, t: loss(p, t)[{key!r}]"
    if not isinstance(returned, Mapping) or len(rooted) < 2:
        return f"{head}{one}."
    weights = ", ".join(f"{name!r}: 1.0" for name in rooted)
    return (
        f"{head}{one}. If the total is a sum of them: loss=lambda p, t: sum(loss(p, t).values()), terms=loss, "
        f"weights={{{weights}}}."
    )


def _word(value: Any) -> str:
    if not _is_scalar(value):
        return kind(value)
    return "a scalar" if value.grad_fn is not None else "a scalar without a graph"
