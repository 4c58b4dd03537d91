"""The autograd graph above a tensor, node by node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


def nodes(value: Tensor) -> Iterator[Any]:
    seen, todo = set(), [value.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            todo.extend(parent for parent, _ in node.next_functions)


def leaves(value: Tensor) -> list[Tensor]:
    """Tensors that a backward pass would give a gradient."""
    return [node.variable for node in nodes(value) if node.name().endswith("AccumulateGrad")]
