"""State that can be reached from a model or a loss: weights, attribute tables, slots, closure cells, containers."""

from __future__ import annotations

import collections
import copy
import functools
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_MODULE_KEYS = frozenset(vars(nn.Module()))
_ORDERED = (list, dict, collections.OrderedDict, collections.defaultdict, collections.deque, collections.Counter)
_CONTAINERS = (*_ORDERED, set)
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_FOREIGN = frozenset({"torch", "numpy", "pandas", "torchvision"}) | sys.stdlib_module_names
_DEPTH = 2  # how far plain helper objects are followed from the model or loss that holds them


class Copier:
    """Working copies of attribute values; one copy per original, so what was shared stays shared."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if id(value) not in self._done:
            self._copy(value)
        return self._done[id(value)]

    def _copy(self, value: Any) -> None:
        done, key = self._done, id(value)
        done[key] = value
        if isinstance(value, Tensor):
            if not _is_weight(value):
                with torch.enable_grad():  # a cached tensor keeps its place in the graph
                    done[key] = value.clone()
        elif isinstance(value, torch.Generator):
            done[key] = value.clone_state()
        elif isinstance(value, np.ndarray):
            done[key] = value.copy()
        elif isinstance(value, _GENERATORS):
            done[key] = copy.deepcopy(value)
        elif type(value) is tuple:
            items = tuple(self(item) for item in value)
            if any(new is not old for new, old in zip(items, value, strict=True)):
                done[key] = items
        elif type(value) in _CONTAINERS:
            new = done[key] = copy.copy(value)
            if isinstance(new, dict):
                for name in value:
                    new[name] = self(value[name])
            elif not isinstance(new, set):
                for index, item in enumerate(value):
                    new[index] = self(item)


def _is_weight(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) or (tensor.is_leaf and tensor.requires_grad)


class _Table:
    """The items of a dict (an object's `__dict__`, a module's buffers), put back with their order."""

    def __init__(self, table: dict) -> None:
        self._table, self.saved = table, dict(table)

    def put(self, items: dict) -> None:
        table = self._table
        if len(table) != len(items) or any(
            a is not b or table[a] is not items[b] for a, b in zip(table, items, strict=True)
        ):
            table.clear()
            table.update(items)


class _Members:
    """Values behind `__slots__` descriptors and closure cells."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self._pairs = pairs
        self.saved = {i: value for i, pair in enumerate(pairs) if (value := _member(*pair)) is not _EMPTY}

    def put(self, items: dict) -> None:
        for index, (holder, member) in enumerate(self._pairs):
            now, value = _member(holder, member), items.get(index, _EMPTY)
            if now is value:
                continue
            if isinstance(member, types.CellType):
                if value is _EMPTY:
                    del member.cell_contents
                else:
                    member.cell_contents = value
            elif value is _EMPTY:
                member.__delete__(holder)
            else:
                member.__set__(holder, value)


_EMPTY = object()


def _member(holder: Any, member: Any) -> Any:
    try:
        return member.cell_contents if isinstance(member, types.CellType) else member.__get__(holder)
    except (ValueError, AttributeError):  # an empty cell, an unset slot
        return _EMPTY


class _Contents:
    """What a container held: code may reach the original by another name than the swapped attribute."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._saved = dict(container) if isinstance(container, dict) else list(container)

    def restore(self) -> None:
        now, saved = self._container, self._saved
        if isinstance(now, dict):
            same = len(now) == len(saved) and all(
                a is b and now[a] is saved[b] for a, b in zip(now, saved, strict=True)
            )
        else:
            same = len(now) == len(saved) and all(a is b for a, b in zip(now, saved, strict=True))
        if not same:
            now.clear()
            (now.extend if isinstance(now, list | collections.deque) else now.update)(saved)


class Reach:
    """Weights, slots and containers that can be reached from the roots."""

    def __init__(self, roots: tuple[Any, ...]) -> None:
        self.weights: list[Tensor] = []
        self.slots: list[_Table | _Members] = []
        self.contents: list[_Contents] = []
        self._seen: dict[int, Any] = {}  # holds the objects, so that no id is used twice
        for root in roots:
            self._value(root, depth=0, root=True)

    def _value(self, value: Any, depth: int, root: bool = False) -> None:
        if id(value) in self._seen:
            return
        follow = _kind(value, root)
        if follow is None or (follow == "_object" and depth > _DEPTH):
            return
        self._seen[id(value)] = value
        getattr(self, follow)(value, depth)

    def _tensor(self, tensor: Tensor, depth: int) -> None:
        if _is_weight(tensor):
            self.weights.append(tensor)

    def _container(self, container: Any, depth: int) -> None:
        if not isinstance(container, tuple):
            self.contents.append(_Contents(container))
        for item in list(container.values() if isinstance(container, dict) else container):
            self._value(item, depth)

    def _module(self, module: nn.Module, depth: int) -> None:
        for key, value in list(vars(module).items()):
            if key in _MODULE_KEYS and isinstance(value, dict):
                self._table(value, depth)
        self._object(module, depth)

    def _object(self, holder: Any, depth: int) -> None:
        if hasattr(holder, "__dict__"):
            inner = vars(holder)
            if isinstance(holder, nn.Module):  # its own tables stay in place: handles of hooks point to them
                kept = {k for k, v in inner.items() if k in _MODULE_KEYS and isinstance(v, dict)}
                self.slots.append(_ModuleTable(inner, kept))
            else:
                self.slots.append(_Table(inner))
            for value in list(inner.values()):
                self._value(value, depth + 1)
        members = list(_slot_members(holder))
        if members:
            self.slots.append(_Members(members))
            for pair in members:
                self._value(_member(*pair), depth + 1)

    def _table(self, table: dict, depth: int) -> None:
        self._seen[id(table)] = table
        self.slots.append(_Table(table))
        for value in list(table.values()):
            self._value(value, depth)

    def _function(self, function: Callable, depth: int) -> None:
        cells = [(function, cell) for cell in function.__closure__ or ()]
        if cells:
            self.slots.append(_Members(cells))
        for pair in cells:
            self._value(_member(*pair), depth)
        if vars(function):
            self.slots.append(_Table(vars(function)))
        for default in function.__defaults__ or ():
            self._value(default, depth)

    def _method(self, method: types.MethodType, depth: int) -> None:
        self._value(method.__self__, depth, root=True)
        self._value(method.__func__, depth)

    def _partial(self, partial: functools.partial, depth: int) -> None:
        self._value(partial.func, depth, root=True)
        for part in (*partial.args, *partial.keywords.values()):
            self._value(part, depth)


class _ModuleTable(_Table):
    def __init__(self, table: dict, kept: set[str]) -> None:
        super().__init__(table)
        self._kept = kept

    def put(self, items: dict) -> None:
        super().put({key: self.saved[key] if key in self._kept else value for key, value in items.items()})


def _kind(value: Any, root: bool) -> str | None:
    """Name of the method of _Found that follows this value; None for what holds no state."""
    if isinstance(value, Tensor):
        return "_tensor"
    if isinstance(value, nn.Module):
        return "_module"
    if type(value) in _CONTAINERS or type(value) is tuple:
        return "_container"
    if isinstance(value, types.FunctionType):
        return "_function" if root or _own(value.__module__) else None
    if isinstance(value, types.MethodType):
        return "_method"
    if isinstance(value, functools.partial):
        return "_partial"
    if value is None or isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
        return None
    return "_object" if root or _own(type(value).__module__) else None


def _own(module: str | None) -> bool:
    return (module or "").partition(".")[0] not in _FOREIGN


def _slot_members(holder: Any) -> Iterator[tuple[Any, types.MemberDescriptorType]]:
    for cls in type(holder).__mro__:
        if "__slots__" in vars(cls) and _own(cls.__module__):
            for member in vars(cls).values():
                if isinstance(member, types.MemberDescriptorType):
                    yield holder, member
