"""Is a loss a mean or a sum over the batch? Read off the graph, where the reduction stands near its root."""

from __future__ import annotations

from typing import Any

from torch import Tensor

DEEPEST, MOST_NODES = 12, 200
_SAVED = {1: "mean", 2: "sum"}  # of torch's own losses, as their graph nodes keep it


def reduction_of(root: Any) -> str | None:
    """ "mean", "sum" if any of the summands is one, or None where the graph does not say."""
    if not isinstance(root, Tensor) or root.grad_fn is None:
        return None
    found, todo, seen = set(), [(root.grad_fn, False, 0)], 0
    while todo and seen < MOST_NODES:
        node, divided, depth = todo.pop()
        seen += 1
        name = node.name()
        saved = getattr(node, "_saved_reduction", None)
        if saved in _SAVED:
            found.add(_SAVED[saved])
        elif name.startswith("Mean"):
            found.add("mean")
        elif name.startswith("Sum"):
            found.add("divided" if divided else "sum")  # by what, the graph does not say: samples, or a constant
        elif depth < DEEPEST:
            parents = [parent for parent, _ in node.next_functions if parent is not None]
            todo += [(parent, divided or name.startswith("Div"), depth + 1) for parent in parents]
    if "sum" in found:
        return "sum"
    return "mean" if found == {"mean"} else None
