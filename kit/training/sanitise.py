"""Gradient hygiene and the gate in front of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

MIN_GRADIENT_NORM = 1e-12


def replace_nan_gradients(parameters: Iterable[Tensor]) -> int:
    """Set NaN entries of the gradients to 0 in place, leave +-inf, and return how many there were.

    This acts on gradients only: it can stop the learning, it cannot make a loss read 0.
    """
    replaced = 0
    for parameter in parameters:
        if parameter.grad is not None:
            nan = torch.isnan(parameter.grad)
            replaced += int(nan.sum())
            parameter.grad.masked_fill_(nan, 0.0)
    return replaced


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """2-norm of all gradients together; 0 if there are none."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0


def step_allowed(norm: float, overflow: bool = False) -> bool:
    """ok = (no scaler overflow) and isfinite(g) and g > 1e-12."""
    return not overflow and math.isfinite(norm) and norm > MIN_GRADIENT_NORM
