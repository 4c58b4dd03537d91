"""Tensors inside nested predictions and targets: find them, replace them, hand out unspoilt copies."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor


def map_tensors(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nesting with every tensor replaced by `change(tensor)`.

    Knows mappings and their subclasses, lists, tuples (named ones too) and dataclasses. A tensor that stands at two
    places is changed once. Anything else is passed on as it is.
    """
    done: dict[int, Tensor] = {}

    def walk(node: Any) -> Any:
        if isinstance(node, Tensor):
            if id(node) not in done:
                done[id(node)] = change(node)
            return done[id(node)]
        if isinstance(node, Mapping):
            return _mapping(node, {key: walk(value) for key, value in node.items()})
        if isinstance(node, tuple):
            values = [walk(value) for value in node]
            return node._make(values) if hasattr(node, "_make") else type(node)(values)
        if isinstance(node, list):
            new = copy.copy(node)
            new[:] = [walk(value) for value in node]
            return new
        if dataclasses.is_dataclass(node) and not isinstance(node, type):
            twin = copy.copy(node)
            for field in dataclasses.fields(node):
                # a frozen dataclass refuses plain setattr, and its __init__ may refuse values that are not the user's
                object.__setattr__(twin, field.name, walk(getattr(node, field.name)))
            return twin
        return node

    return walk(tree)


def _mapping(node: Mapping, items: dict) -> Mapping:
    if not isinstance(node, MutableMapping):
        return items
    new = copy.copy(node)  # keeps the class and its own attributes; model outputs mirror their items as attributes
    for key, value in items.items():
        new[key] = value
    return new


def tensors(tree: Any) -> Iterator[Tensor]:
    """Every distinct tensor of the nesting, in order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(tree, note)
    return iter(found)


def cut(prediction: Any) -> tuple[list[Tensor], list[Tensor], Any]:
    """Outputs that hang on the graph, one detached leaf for each, and the prediction with the leaves in their place."""
    outputs: list[Tensor] = []
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        outputs.append(tensor)
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1]

    return outputs, leaves, map_tensors(prediction, leaf)


class Fresh:
    """Copies of a nesting for one evaluation after the other; a copy that was changed in place is not used again.

    `attached`: a copy keeps its place in the graph (predictions). Otherwise copies are new leaves (inputs, targets).
    """

    def __init__(self, tree: Any, *, attached: bool = False) -> None:
        self._tree = tree
        self._attached = attached
        self._copy: Any = None
        self._versions: list[int] | None = None

    def get(self) -> Any:
        if self._versions is None or self._versions != _versions(self._copy):
            with torch.enable_grad():
                self._copy = map_tensors(self._tree, self._clone)
            self._versions = _versions(self._copy)
        return self._copy

    def _clone(self, tensor: Tensor) -> Tensor:
        if self._attached:
            return tensor.clone()
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _versions(tree: Any) -> list[int]:
    return [tensor._version for tensor in tensors(tree)]
