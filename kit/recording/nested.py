"""Tensors inside whatever programs hand around: found without a copy, and without an end to the patience."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

MOST_NODES = 10_000  # of one nesting; a list of a million numbers is not searched to its end
DEEPEST = 8


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Every distinct tensor of mappings, sequences, dataclasses and plain objects (a distribution, a batch), in order."""
    if isinstance(tree, Tensor):
        yield tree
        return
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(tree, 0)]
    for _ in range(MOST_NODES):
        if not todo:
            return
        node, depth = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Tensor):
            yield node
        elif depth < DEEPEST:
            todo.extend((part, depth + 1) for part in reversed(_parts(node)))


def _parts(node: Any) -> list[Any]:
    if isinstance(node, str | bytes | int | float | type(None) | type | nn.Module):
        return []
    if isinstance(node, Mapping):
        return list(node.values())
    if isinstance(node, list | tuple | set | frozenset):
        return list(node)[:MOST_NODES]
    if dataclasses.is_dataclass(node):
        return [getattr(node, field.name, None) for field in dataclasses.fields(node)]
    return [] if callable(node) else list(getattr(node, "__dict__", {}).values())
