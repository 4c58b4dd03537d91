"""A float that remembers a 0-d tensor: one call of an unmodified loss tells d total / d lam_i with its graph.

    total = sum_i lam_i L_i    =>    L_i = d total / d lam_i

To Python it is a float (guards, ranges, branches and isinstance see its value); to torch it is the tensor. Where a loss
strips it (`float(lam)`, `alpha=lam`, `torch.tensor([lam])`, `math.*`) the trace ends and the affinity check of
`kit.stepgraph.components` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor


class TracedWeight(float):
    """`TracedWeight(0.3, leaf)`: value for Python, `leaf` (0-d float64 on the graph) for torch."""

    __slots__ = ("tensor",)

    tensor: Tensor

    def __new__(cls, value: float, tensor: Tensor) -> Self:
        self = super().__new__(cls, value)
        self.tensor = tensor
        return self

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        dtype = _real_dtype([*args, *(kwargs or {}).values()])
        args = tuple(_tensor(arg, dtype) for arg in args)
        return func(*args, **{key: _tensor(arg, dtype) for key, arg in (kwargs or {}).items()})

    def _with(self, other: Any, operate: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, Tensor):
            return operate(_tensor(self, _real_dtype([other])), other)
        if isinstance(other, int | float):
            value = operate(float(self), float(other))
            return TracedWeight(value, operate(self.tensor, getattr(other, "tensor", other)))
        return NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a + b)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b + a)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a * b)

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b * a)

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a / b)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b / a)

    def __pow__(self, other: Any) -> Any:  # type: ignore[override]  # float's third argument can only be None
        return self._with(other, lambda a, b: a**b)

    def __rpow__(self, other: Any) -> Any:  # type: ignore[override]  # as above
        return self._with(other, lambda a, b: b**a)

    def __neg__(self) -> TracedWeight:
        return TracedWeight(-float(self), -self.tensor)

    def __pos__(self) -> TracedWeight:
        return self

    def __abs__(self) -> TracedWeight:
        return TracedWeight(abs(float(self)), self.tensor.abs())


def _real_dtype(values: list[Any]) -> torch.dtype:
    """A Python float never raises the precision of a tensor; the 0-d stand-in must not either."""
    for value in values:
        if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
            return value.dtype.to_real()
    return torch.get_default_dtype()


def _tensor(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, TracedWeight):
        return value.tensor.to(dtype)
    if type(value) in (list, tuple):  # torch.stack([L * lam, lam])
        return type(value)(_tensor(item, dtype) for item in value)
    return value
