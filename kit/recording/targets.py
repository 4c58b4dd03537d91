"""What is the network asked for: how many elements of the target are supervised, and how many classes are there?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kit.recording.nested import tensors_in
from kit.stepgraph.plain import plain

IGNORED = -100  # torch's own default
LABELS = ("labels", "label", "targets", "target")
_FEW, _MANY = 4096, 1_000_000


def labels_of(args: Sequence[Any], kwargs: Mapping[str, Any], model_kwargs: Mapping[str, Any]) -> Any:
    """The second argument of a loss call, else what is named like labels, there or in the call of the model."""
    if len(args) > 1:
        return args[1]
    for given in (kwargs, model_kwargs):
        for name in LABELS:
            if name in given:
                return given[name]
    return None


def ignore_index(loss: Any) -> int:
    """Of the loss, or of the first part of it that has one."""
    for part in loss.modules() if isinstance(loss, nn.Module) else (loss,):
        value = getattr(part, "ignore_index", None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return IGNORED


@torch.no_grad()
def look(labels: Any, kwargs: Mapping[str, Any], ignored: int = IGNORED) -> dict[str, float]:
    """Elements, supervised ones and distinct integer classes; {} where no labels are visible."""
    named = [(name, value.detach()) for name, tensor in _named(labels) if (value := plain(tensor)) is not None]
    masks = {name: tensor for name, tensor in named if _is_mask(name, tensor)}
    for name, value in kwargs.items():
        value = plain(value) if isinstance(value, Tensor) else None
        if value is not None and _is_mask(name, value):
            masks[name] = value.detach()
    found = [(name, tensor) for name, tensor in named if name not in masks]
    if not found:
        return {}
    names = {name for name, _ in found}

    def chosen(name: str) -> list[Tensor]:
        """A mask `<key>_mask` is for that key, if there is such a target; any other is for all that it fits."""
        owners = {mask: mask.removesuffix("_mask") for mask in masks}
        return [masks[mask] for mask, owner in owners.items() if owner == name or owner not in names]

    spans = [_span(tensor) for _, tensor in found]
    spanned = [(name, tensor, span) for (name, tensor), span in zip(found, spans, strict=True)]
    classes = [count for _, tensor, span in spanned if not math.isnan(count := _classes(tensor, span, ignored))]
    return {
        "targets": sum(tensor.numel() for _, tensor in found),
        "supervised": sum(_supervised(tensor, span, chosen(name), ignored) for name, tensor, span in spanned),
        # with several integer targets, one of which may be a mere number, the richest speaks: no false "only one class"
        "classes": max(classes) if classes else math.nan,
    }


def _named(labels: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors with the key or attribute that holds them."""
    if isinstance(labels, Tensor):
        yield "", labels
    elif isinstance(labels, Mapping):
        for key, value in labels.items():
            yield from ((str(key), tensor) for tensor in tensors_in(value))
    elif hasattr(labels, "__dataclass_fields__"):
        yield from _named({name: getattr(labels, name) for name in labels.__dataclass_fields__})
    elif hasattr(labels, "_fields"):
        yield from _named(dict(zip(labels._fields, labels, strict=True)))
    elif isinstance(labels, list | tuple):
        yield from (("", tensor) for tensor in tensors_in(labels))


def _is_mask(name: str, tensor: Tensor) -> bool:
    if not (name == "mask" or name.endswith("_mask")):
        return False
    return tensor.dtype is torch.bool or bool(((tensor == 0) | (tensor == 1)).all())


def _counts(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype is torch.bool)


def _span(tensor: Tensor) -> tuple[int, int] | None:
    """Smallest and largest value of an integer target; None if it is no such one, or empty."""
    if not tensor.numel() or not _counts(tensor):
        return None
    low, high = tensor.aminmax()
    return int(low.item()), int(high.item())


def _supervised(tensor: Tensor, span: tuple[int, int] | None, masks: Sequence[Tensor], ignored: int) -> float:
    keep = tensor != ignored if span and span[0] <= ignored <= span[1] else None
    for mask in masks:
        if _fits(mask, tensor):
            allowed = mask.bool().reshape(*mask.shape, *[1] * (tensor.ndim - mask.ndim)).expand(tensor.shape)
            keep = allowed if keep is None else keep & allowed
    return float(tensor.numel() if keep is None else keep.sum().item())


def _fits(mask: Tensor, tensor: Tensor) -> bool:
    return mask.ndim <= tensor.ndim and mask.shape == tensor.shape[: mask.ndim]


def _classes(tensor: Tensor, span: tuple[int, int] | None, ignored: int) -> float:
    """Distinct values of an integer target, without those ignored; nan if it is none, or too large to sort."""
    if span is None:
        return 0.0 if _counts(tensor) else math.nan
    values, (low, high) = tensor.flatten(), span
    if high - low < _FEW:
        counts = torch.bincount((values - low).long())
        if low <= ignored <= high:
            counts[ignored - low] = 0
        return float(counts.count_nonzero().item())
    if values.numel() > _MANY:
        return math.nan
    return float((values.unique() != ignored).sum().item())
