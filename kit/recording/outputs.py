"""What did the network hand to the loss: is a prediction all zero, the same for every sample, or not finite?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from kit.recording.participants import float_tensors
from kit.stepgraph.plain import all_plain

FEW = 4  # samples; two or three of them may be alike, as the ends of an interval


def is_prediction(value: Any) -> bool:
    """The forms in which a loss gets its prediction; anything else is looked for in the network's output."""
    return isinstance(value, Tensor | Mapping | list | tuple)


@torch.no_grad()
def look(prediction: Any) -> dict[str, float]:
    """Counts of the prediction's tensors; {} if there are none, or one cannot be observed.

    A 0-d tensor beside others is a loss, not a prediction.
    """
    found = all_plain(float_tensors(prediction)) or []
    found = [_values(tensor) for tensor in found if tensor.numel()]
    found = [tensor for tensor in found if tensor.ndim] or found
    if not found:
        return {}
    zero = constant = nonfinite = 0
    spreads = []
    for tensor in found:
        values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        low, high = (bound.item() for bound in values.aminmax())  # one pass; NaN and infinity show in the bounds
        nonfinite += not (math.isfinite(low) and math.isfinite(high))
        zero += low == high == 0
        constant += _same_for_all(tensor, low, high)
        if math.isfinite(low) and math.isfinite(high):
            spreads.append(_spread(values, low, high))
    return {
        "outputs": len(found),
        "outputs_zero": zero,
        "outputs_constant": constant,
        "outputs_nonfinite": nonfinite,
        "outputs_spread": min((spread for spread in spreads if not math.isnan(spread)), default=math.nan),
    }


def _values(tensor: Tensor) -> Tensor:
    return tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()


def _same_for_all(tensor: Tensor, low: float, high: float) -> bool:
    if tensor.ndim == 0 or len(tensor) < 2:
        return False
    if low == high:
        return True
    return torch.equal(tensor[0], tensor[1]) and bool((tensor == tensor[:1]).all())


def _spread(values: Tensor, low: float, high: float) -> float:
    """2-norm of what distinguishes the samples (differences from the mean over the batch), relative to that of the values."""
    if values.ndim == 0 or len(values) < FEW:
        return math.nan
    if low == high:
        return 0.0
    values = values.double() / max(abs(low), abs(high))
    return (torch.linalg.vector_norm(values - values.mean(0)) / torch.linalg.vector_norm(values)).item()


def missing(prediction: Any, expects: Any) -> Any:
    """Keys that the loss expects and the mapping lacks, sorted, with commas; nan if that cannot be said."""
    if not isinstance(prediction, Mapping) or isinstance(expects, str) or not isinstance(expects, Iterable):
        return math.nan
    return ",".join(sorted(str(key) for key in expects if key not in prediction))
