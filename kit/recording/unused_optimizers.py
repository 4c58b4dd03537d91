"""Optimizers that are there and never step: no hook hears of them, so they are looked for where the program's functions are running.

Nothing of the program is evaluated, and nothing but the variables of its running functions is looked through: the cost does not grow with
the number of objects that are alive.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kit.stepgraph.source import attributes_of, scope_of, user_frames

_DEEP, _MOST = 4, 20_000  # `self.optimizers["head"][0]`; values looked at in one function
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})  # hold nothing, and are most of what there is


def optimizers_besides(known: Container[int]) -> list[torch.optim.Optimizer]:
    """Every optimizer that a running function of the program holds, in a variable, a container or an object, and that is not known."""
    found: dict[int, torch.optim.Optimizer] = {}
    seen: dict[int, int] = {}
    for frame in user_frames(sys._getframe(1)):
        with scope_of(frame) as scope:
            named = {name: scope.globals[name] for name in {*scope.code.co_names} & scope.globals.keys()}
            found |= {
                id(optimizer): optimizer for optimizer in _within([*scope.locals.values(), *named.values()], seen)
            }
    return [optimizer for key, optimizer in found.items() if key not in known]


def _within(values: list[Any], seen: dict[int, int]) -> Iterator[torch.optim.Optimizer]:
    """Level by level, so that a large container hides nothing that stands beside it.

    seen: each object that was looked through, by its id, with its level; from another function it is only looked through if it stands
    nearer there, for functions that call each other hold the same objects.
    """
    looked = 0
    for level in range(_DEEP):
        below: list[Any] = []
        for value in values:
            if type(value) in _PLAIN or seen.get(id(value), _DEEP) <= level:
                continue
            looked += 1
            if issubclass(type(value), torch.optim.Optimizer):
                yield value
            elif looked < _MOST:
                seen[id(value)] = level
                below += _parts(value)
        values = below[:_MOST]


def _parts(value: Any) -> list[Any]:
    kind = type(value)
    if issubclass(kind, dict):
        return [*dict.values(value)]
    if kind in (list, tuple, set, frozenset):
        return [*value]
    if issubclass(kind, type | ModuleType | Tensor | nn.Module):
        return []
    return [*attributes_of(value).values()]
