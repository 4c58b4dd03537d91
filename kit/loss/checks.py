"""Refusals of the loss: each names the key, says what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def require(container: Mapping[str, Tensor], key: str, where: str, needed_for: str) -> Tensor:
    """``container[key]``, or a ValueError that lists the keys that are there. TypeError where it is no tensor."""
    value = container.get(key)
    if value is None:
        present = ", ".join(sorted(container)) or "none"
        raise ValueError(f"{where} should contain {key!r}, which {needed_for} needs. Found the keys: {present}.")
    if not isinstance(value, Tensor):
        raise TypeError(f"{where}[{key!r}] should be a tensor. Found a {type(value).__name__}.")
    return value


def check_shape(name: str, value: Tensor, shape: tuple[int, ...], meaning: str) -> Tensor:
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} should have shape {list(shape)} ({meaning}). Found shape {list(value.shape)}.")
    return value


def check_finite(name: str, value: Tensor) -> Tensor:
    if torch.isfinite(value.sum()):  # one pass; a sum of finite numbers that overflows is looked at again
        return value
    finite = torch.isfinite(torch.view_as_real(value) if value.is_complex() else value)
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"{name} should be finite. Found {bad} non-finite of {finite.numel()} entries; remove or repair these samples."
        )
    return value


def check_complex(name: str, value: Tensor) -> Tensor:
    if value.dtype not in (torch.complex64, torch.complex128):
        raise ValueError(
            f"{name} should be complex64 or complex128. Found dtype {value.dtype}; use torch.view_as_complex on (re, im) "
            "pairs."
        )
    return value


def check_real(name: str, value: Tensor) -> Tensor:
    if value.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} should be float32 or float64. Found dtype {value.dtype}; convert it with .float().")
    return value


def check_source_count(K: Tensor, k_max: int) -> Tensor:
    if K.is_floating_point() or K.is_complex() or K.dtype == torch.bool:
        raise ValueError(f"K should be an integer tensor. Found dtype {K.dtype}.")
    if K.numel() and (K.min() < 1 or K.max() > k_max):
        raise ValueError(f"K should be in 1..{k_max}. Found values from {int(K.min())} to {int(K.max())}.")
    return K.long()
