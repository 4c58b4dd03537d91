"""Did this operation make a NaN or an infinity out of finite numbers?"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from kit.stepgraph.plain import plain

_ON_PURPOSE = frozenset({  # of these they are masks, bounds to begin a search with, and data
    "masked_fill", "masked_fill_", "full", "full_like", "new_full", "fill_", "where", "tensor", "as_tensor", "from_numpy", "__setitem__", "triu", "tril",
    "empty_like", "new_empty", "resize_",
})  # fmt: skip


def made_nonfinite(operation: str, given: Iterable[Tensor], out: Tensor) -> str:
    """ "NaN" or "infinity" if `out` holds some and none of what was given does; else "". A NaN may be made of infinities."""
    given = list(given)
    found = frozenset() if operation in _ON_PURPOSE or not given else _kinds(out)
    if not found:
        return ""
    before = [_kinds(tensor) for tensor in given if tensor is not out]
    if "NaN" in found and not any("NaN" in kinds for kinds in before):
        return "NaN"
    return "infinity" if "infinity" in found and not any(before) else ""


def is_finite(tensor: Tensor) -> bool:
    """True as well where it cannot be looked at."""
    return not _kinds(tensor)


def _kinds(tensor: Tensor) -> frozenset[str]:
    values = plain(tensor)
    if values is None or not (values.is_floating_point() or values.is_complex()) or not values.numel():
        return frozenset()
    with torch.no_grad():
        values = values.detach() if values.layout is torch.strided else values.detach().to_dense()
        if math.isfinite(abs(values.sum().item())):
            return frozenset()
        kinds = {"NaN": values.isnan(), "infinity": values.isinf()}
        return frozenset(kind for kind, places in kinds.items() if bool(places.any()))
