"""Which layer group does a parameter belong to? Groups are prefixes of module paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

MOST = 16  # groups that still fit one readable bar chart
WHOLE, ROOT = "all", "(root)"


def layer_groups(names: Sequence[str], groups: Callable[[str], str] | int | None = None) -> tuple[str, ...]:
    """Group of every parameter name, in order.

    None: prefixes of the greatest depth that yields at most 16 groups. An int: prefixes of that depth. A callable: its
    answer for each name.
    """
    if callable(groups):
        found = tuple(groups(name) for name in names)
        for name, group in zip(names, found, strict=True):
            if not isinstance(group, str):
                raise TypeError(f"groups({name!r}) should be a str. Found {group!r}.")
        return found
    if groups is not None:
        if isinstance(groups, bool) or not isinstance(groups, int) or groups < 0:
            raise ValueError(f"groups should be a callable, an int >= 0 or None. Found groups = {groups!r}.")
        return _at(names, groups)
    deepest = max(name.count(".") for name in names)
    for depth in range(deepest, 0, -1):
        found = _at(names, depth)
        if len(set(found)) <= MOST:
            return found
    return _at(names, 0 if deepest else 1)


def _at(names: Sequence[str], depth: int) -> tuple[str, ...]:
    if depth == 0:
        return (WHOLE,) * len(names)
    return tuple(".".join(name.split(".")[:-1][:depth]) or ROOT for name in names)
