"""How long are these tensors, and how many are zero, missing or not finite? Without changing them.

Where one of them cannot be computed on (see ``plain``), the answer is nan: not observed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.stepgraph.plain import all_plain

_SAFE = (1e-15, 1e15)  # a norm in single precision
_SMALL = 40_000  # numbers of which the squares are summed up so; more of them lose too many digits
# numbers of a large tensor that are summed up so together; the sums of its rows are added in double precision
_ROW = 1024


@dataclass(frozen=True)
class Sizes:
    """2-norm over the finite tensors (nan if there is none), and numbers of tensors (nan: not observed)."""

    norm: float
    nonfinite: float
    zero: float
    none: int
    tensors: int

    def columns(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}_{name}": getattr(self, name) for name in ("norm", "nonfinite", "zero", "none", "tensors")}


def sizes(tensors: Sequence[Tensor | None]) -> Sizes:
    """Of gradients: None is a parameter without one."""
    present = [tensor for tensor in tensors if tensor is not None]
    norms = norms_of(present)
    if norms is None:
        return Sizes(math.nan, math.nan, math.nan, len(tensors) - len(present), len(tensors))
    finite = [norm for norm in norms if math.isfinite(norm)]
    return Sizes(
        norm=math.hypot(*finite) if finite else math.nan,
        nonfinite=len(norms) - len(finite),
        zero=sum(norm == 0 for norm in norms),
        none=len(tensors) - len(present),
        tensors=len(tensors),
    )


def length(tensors: Sequence[Tensor]) -> float:
    """2-norm of all of them together; nan if there are none or an entry is not finite."""
    norms = norms_of(tensors)
    return math.hypot(*norms) if norms and all(map(math.isfinite, norms)) else math.nan


def gradient_changed(leaf: Tensor, before: Tensor | None, version: int) -> bool:
    """Whether another gradient than `before`, which had this version, is there now: it is added in place or replaced."""
    return leaf.grad is not before or (before is not None and before._version != version)


@torch.no_grad()
def copies(tensors: Sequence[Tensor], into: Sequence[Tensor] = ()) -> list[Tensor] | None:
    """Of their present values; None if they cannot be observed. `into`: earlier copies, see ``reusable``, whose memory is used where
    it fits: to get new memory takes longer than to copy."""
    numbers = all_plain(tensors)
    if numbers is None:
        return None
    if not numbers or [_form(tensor) for tensor in numbers] != [_form(tensor) for tensor in into]:
        return [tensor.clone() for tensor in numbers]
    torch._foreach_copy_(list(into), numbers)
    return list(into)


def reusable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies that may be held for the next ones, else none: memory of an accelerator is scarcer than time."""
    plain = all(tensor.device.type == "cpu" and tensor.layout is torch.strided for tensor in tensors)
    return list(tensors) if plain else []


def _form(tensor: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return tensor.shape, tensor.dtype, tensor.device


@torch.no_grad()
def change(tensors: Sequence[Tensor], before: Sequence[Tensor] | None, last: bool = False) -> float:
    """2-norm of what changed; nan if there are none, or they cannot be observed. `last`: the memory of `before` is used for it."""
    now = all_plain(tensors)
    if not now or before is None or [t.shape for t in now] != [t.shape for t in before]:
        return math.nan
    # not public under these names; torch.optim is built on them
    if not last:
        return length(torch._foreach_sub(now, list(before)))
    torch._foreach_sub_(list(before), now)
    return length(before)


@torch.no_grad()
def any_nonzero(tensors: Sequence[Tensor]) -> bool | None:
    """Whether any entry is not 0; NaN is none. None if they cannot be observed."""
    numbers = all_plain(tensors)
    if numbers is None:
        return None
    numbers = [_real(tensor) for tensor in numbers]
    numbers = [tensor for tensor in numbers if tensor.numel()]
    bounds = ([bound for place in places for bound in numbers[place].aminmax()] for places in _by_device(numbers))
    return any(bool(torch.stack(both).any()) for both in bounds if both)


@torch.no_grad()
def norms_of(tensors: Sequence[Tensor]) -> list[float] | None:
    """2-norm of each: nan or inf only if an entry is, 0 only if all entries are. None if they cannot be observed."""
    numbers = all_plain(tensors)
    if numbers is None:
        return None
    if not _strided_floats(numbers):
        numbers = [_real(tensor) for tensor in numbers]
    norms = [0.0] * len(numbers)
    for places in _by_device(numbers):
        for place, norm in zip(places, _norms([numbers[place] for place in places]), strict=True):
            norms[place] = norm
    return norms


def _norms(tensors: Sequence[Tensor]) -> list[float]:
    """On one device. In single precision, which is quicker, only where its sum of squares is exact enough and stays in range."""
    small = [tensor for tensor in tensors if tensor.numel() <= _SMALL]
    sums = iter(_summed(small, torch.float32) if small else ())
    by_rows = tensors[0].device.type == "cpu"  # an accelerator is asked once for all of them
    norms = [
        next(sums) if tensor.numel() <= _SMALL else _by_rows(tensor) if by_rows else math.nan for tensor in tensors
    ]
    low, high = _SAFE
    places = [place for place, norm in enumerate(norms) if not low < norm < high]
    if places:
        again = _summed([tensors[place] for place in places], torch.float64)
        for place, norm in zip(places, again, strict=True):
            wide = 1e-150 < norm < 1e150 or tensors[place].dtype is not torch.float64
            norms[place] = norm if wide else _exact(tensors[place])
    return norms


def _summed(tensors: list[Tensor], dtype: torch.dtype) -> list[float]:
    if any(tensor.dtype is torch.float64 for tensor in tensors):
        dtype = torch.float64
    # get_total_norm, the public way, says nothing of single tensors
    found = torch._foreach_norm(tensors, 2, dtype=dtype)
    return [norm.item() for norm in found] if found[0].device.type == "cpu" else torch.stack(found).tolist()


def _by_rows(tensor: Tensor) -> float:
    """nan where its numbers do not lie one after the other, in whatever order of dimensions, or are in double precision."""
    flat = tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True))
    if not flat.is_contiguous() or tensor.dtype is torch.float64:
        return math.nan
    flat = flat.view(-1)
    whole = flat.numel() // _ROW * _ROW
    rows = torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), dim=1, dtype=torch.float32)
    rest = torch.linalg.vector_norm(flat[whole:], dtype=torch.float64)
    return math.hypot(torch.linalg.vector_norm(rows, dtype=torch.float64).item(), rest.item())


def _by_device(tensors: Sequence[Tensor]) -> Iterable[Sequence[int]]:
    if len({tensor.device for tensor in tensors}) == 1:
        return [range(len(tensors))]
    devices: dict[torch.device, list[int]] = {}
    for place, tensor in enumerate(tensors):
        devices.setdefault(tensor.device, []).append(place)
    return devices.values()


def _exact(tensor: Tensor) -> float:
    """Of float64 values, whose squares may leave the range of float64."""
    if not tensor.numel():
        return 0.0
    top = tensor.abs().max()
    scaled = tensor / torch.where((top > 0) & torch.isfinite(top), top, torch.ones_like(top))
    return float(torch.linalg.vector_norm(scaled) * top) if torch.isfinite(top) else float(top)


def _strided_floats(tensors: Sequence[Tensor]) -> bool:
    return all(
        layout is torch.strided and dtype.is_floating_point for layout, dtype in {(t.layout, t.dtype) for t in tensors}
    )


def _real(tensor: Tensor) -> Tensor:
    if tensor.layout is not torch.strided:
        tensor = tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.is_floating_point() else tensor.double()
