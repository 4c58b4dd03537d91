"""The autograd graph above a tensor, node by node."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from torch import Tensor


def upwards(root: Any, known: Container[Any]) -> Iterator[Any]:
    """The nodes above `root` and itself, each after those that it was computed from. `known` ones are left out; the caller adds to
    them what it was given."""
    todo = [root]
    while todo:
        node = todo[-1]
        if node in known:
            todo.pop()
        elif new := [parent for parent, _ in node.next_functions if parent is not None and parent not in known]:
            todo.extend(new)
        else:
            yield todo.pop()


def nodes(value: Tensor) -> Iterator[Any]:
    seen: set[Any] = set()
    for node in () if value.grad_fn is None else upwards(value.grad_fn, seen):
        seen.add(node)
        yield node


def leaves(value: Tensor) -> list[Tensor]:
    """Tensors that a backward pass would give a gradient."""
    return [node.variable for node in nodes(value) if node.name().endswith("AccumulateGrad")]
