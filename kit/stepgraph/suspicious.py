"""Operations that are rarely meant: looked for where they are computed, by what they are given and what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kit.stepgraph.nonfinite import is_finite
from kit.stepgraph.plain import plain

MAY_BE_MEANT = ("selects_nothing", "same_pair", "rounded_pair")
_ROUNDING = 1e-4
_PAIRED = frozenset(
    {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sub", "__sub__", "__rsub__", "rsub", "subtract"}
)
_COMPARING = _PAIRED | {"kl_div"}
_ON_LOGITS = {  # what they apply themselves: the operations that should not stand before them
    "binary_cross_entropy_with_logits": ("Sigmoid", "Softmax"),
    "cross_entropy": ("Sigmoid", "Softmax"),
    "nll_loss": ("Softmax", "Sigmoid"),
    "sigmoid": ("Sigmoid",),
    "softmax": ("Softmax",),
}
_SAME = ("View", "UnsafeView", "Squeeze", "Unsqueeze", "ReshapeAlias", "Select", "Slice", "Transpose", "Permute", "Alias", "ToCopy", "Clone")  # fmt: skip
_DEEP = 8
_ZERO_INFINITY = 6  # place of this argument of ctc_loss


def kind_of(operation: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> tuple[str, str]:
    """The kind, and what was found, in a clause; else two empty texts.

    "broadcast", "double_activation", "one_choice", "infinity_zeroed", "nan_replaced"; and what may be meant: "selects_nothing", in a batch
    without a match, "same_pair", in the first step of a policy, and
    "rounded_pair", of a divergence that is next to nothing.
    """
    if operation in _PAIRED and len(args) > 1 and _are_broadcast(args[0], args[1], out):
        return "broadcast", f"{list(args[0].shape)} against {list(args[1].shape)} makes {_pairs(args)}"
    if operation in _ON_LOGITS and args and isinstance(args[0], Tensor):
        before = _made_by(args[0])
        if before in _ON_LOGITS[operation]:
            return "double_activation", f"{operation} of what {before.lower()} returned"
    if operation in ("cross_entropy", "log_softmax") and _has_one_choice(operation, args, kwargs):
        return "one_choice", f"{operation} over a single class is 0, whatever it is given"
    if operation == "ctc_loss" and isinstance(out, Tensor):
        asked = kwargs.get("zero_infinity", args[_ZERO_INFINITY] if len(args) > _ZERO_INFINITY else False)
        if asked and (values := plain(out)) is not None and not values.detach().any():
            return "infinity_zeroed", "ctc_loss(zero_infinity=True) returned 0: every target is longer than its input"
    first = args[0] if args else None
    if operation == "nan_to_num" and isinstance(first, Tensor) and first.requires_grad and not is_finite(first):
        return "nan_replaced", "nan_to_num replaced NaN or infinity in what is differentiated"
    if operation in ("__getitem__", "masked_select", "index_select", "mul", "__mul__", "__rmul__") and _selects_nothing(
        args, out
    ):
        return "selects_nothing", f"{operation.strip('_')} selects no element of {list(args[0].shape)}"
    if operation in _COMPARING and len(args) > 1 and _are_the_same(args[0], args[1], out):
        if _are_rounded(args[0]):
            return "rounded_pair", f"{operation.strip('_')} of two that differ by less than rounding"
        return "same_pair", f"{operation.strip('_')} of two that are equal, number by number"
    return "", ""


def _are_the_same(first: Any, second: Any, out: Any) -> bool:
    """Results of two passes that hold the same numbers, not all alike; one tensor and its detached self are no two."""
    two = isinstance(first, Tensor) and isinstance(second, Tensor) and first.shape == second.shape
    if (
        not two
        or not first.is_floating_point()
        or first.numel() < 2
        or not (first.requires_grad or second.requires_grad)
    ):
        return False
    one, other = plain(first), plain(second)
    if one is None or other is None or one.dtype != other.dtype or one.data_ptr() == other.data_ptr():
        return False
    one, other = one.detach(), other.detach()
    return bool((one == other).all()) and bool((one != one.flatten()[0]).any())


def _are_rounded(tensor: Tensor) -> bool:
    """Whether all numbers are one number up to rounding, as 1 + x of an x that is next to nothing."""
    seen = plain(tensor)
    if seen is None:
        return False
    low, high = seen.detach().aminmax()
    return bool(high - low <= _ROUNDING * high.abs())


def _has_one_choice(operation: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Of what has a graph; a softmax of attention over one key is none of these."""
    scores = args[0] if args else kwargs.get("input")
    if not isinstance(scores, Tensor) or not scores.requires_grad or not scores.dim():
        return False
    place = (
        min(1, scores.dim() - 1)
        if operation == "cross_entropy"
        else kwargs.get("dim", args[1] if len(args) > 1 else None)
    )
    return isinstance(place, int) and -scores.dim() <= place < scores.dim() and scores.shape[place] == 1


def _selects_nothing(args: Sequence[Any], out: Any) -> bool:
    """An index or a mask of truth values that leaves nothing of what has a graph."""
    given = [value for value in args[:2] if isinstance(value, Tensor)]
    if not given or not isinstance(out, Tensor) or not any(value.requires_grad and value.numel() for value in given):
        return False
    masks = [seen for value in given if value.dtype is torch.bool and (seen := plain(value)) is not None]
    return not out.numel() or (len(given) == 2 and any(mask.numel() > 1 and not mask.any() for mask in masks))


def _are_broadcast(first: Any, second: Any, out: Any) -> bool:
    """[n, 1] against [n]: every number of one with every number of the other, where one of them is predicted and one is given."""
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)) or first.requires_grad == second.requires_grad:
        return False
    long, flat = (first, second) if first.dim() == 2 else (second, first)
    return long.dim() == 2 and flat.dim() == 1 and long.shape[1] == 1 and long.shape[0] == flat.shape[0] > 1


def _pairs(args: Sequence[Any]) -> str:
    count = max(args[0].shape[0], args[1].shape[0])
    return f"{count} x {count} pairs"


def _made_by(tensor: Tensor) -> str:
    """The operation that made it, through what only changes its form."""
    node = tensor.grad_fn
    for _ in range(_DEEP):
        if node is None:
            return ""
        name = node.name().partition("Backward")[0]
        if name not in _SAME:
            return name
        node = node.next_functions[0][0]
    return ""
