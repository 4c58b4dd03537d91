"""What a measurement touches is put back bitwise, by return or by exception.

The rule is: swap, do not repair. Buffers, gradients and mutable attributes are replaced by copies while the block runs
and the untouched originals return afterwards. An in-place repair would break graphs that saved the tensors. Only
weights keep their identity (autograd and the optimizer know them by it), so their contents are saved.
"""

from __future__ import annotations

import random
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from kit.stepgraph.reach import Copier, Reach

_open = 0


def sandboxes() -> int:
    """How many are open. What happens inside of one is for those alone who listen from inside of it: a probe is no training step."""
    return _open


def _numpy_state() -> tuple:
    return cast(tuple, np.random.get_state())  # in numpy's stubs it is the dictionary that legacy=False gives


class RandomState:
    """Random state of torch (CPU, and CUDA once it is in use), Python and numpy."""

    def __init__(self) -> None:
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._torch, self._python, self._numpy = torch.get_rng_state(), random.getstate(), _numpy_state()

    def put_back(self) -> None:
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)


class Sandbox:
    """`with Sandbox(model, loss) as box:` everything inside runs on copies; `box.replay()` starts again from entry.

    Covered: weights, `.grad`, `requires_grad`, buffers, attributes (also in `__slots__`, in closures and in helper
    objects), training flags, hook tables and random state. Not covered: module-level globals, files, and objects that
    only C code can see.
    """

    def __init__(self, *roots: Any) -> None:
        self._roots = roots

    def __enter__(self) -> Self:
        global _open
        found = Reach(self._roots)
        self._random = RandomState()
        self._slots, self._contents = found.slots, found.contents
        self._weights = [_Weight(weight) for weight in found.weights]
        _open += 1
        try:
            self.replay()
        except BaseException:
            self.__exit__()
            raise
        return self

    def replay(self) -> None:
        """State, random state and attributes as at entry, on new copies."""
        self._settle()
        swap = Copier()
        for slots in self._slots:
            slots.put({key: swap(value) for key, value in slots.saved.items()})
        for weight in self._weights:
            weight.lend()
        self._random.put_back()

    def __exit__(self, *_: object) -> None:
        global _open
        _open -= 1
        self._settle()
        for slots in self._slots:
            slots.put(slots.saved)
        for weight in self._weights:
            weight.give_back()
        self._random.put_back()

    def _settle(self) -> None:
        for weight in self._weights:
            weight.restore()
        for contents in self._contents:
            contents.restore()


class _Weight:
    """A leaf tensor: its identity stays, its bits and its gradient are put back."""

    def __init__(self, weight: Tensor) -> None:
        if nn.parameter.is_lazy(weight):
            raise ValueError(
                "model should have initialised parameters. Found a lazy one: run the model once on a batch first."
            )
        self._weight, self._data, self._saved = weight, weight.data, weight.detach().clone()
        self._grad, self._requires_grad = weight.grad, weight.requires_grad

    def restore(self) -> None:
        if self._weight.data_ptr() != self._data.data_ptr():
            self._weight.data = self._data
        if not _same_bits(self._data, self._saved):
            self._data.copy_(self._saved)
        if self._weight.requires_grad != self._requires_grad:
            self._weight.requires_grad_(self._requires_grad)

    def lend(self) -> None:
        self._weight.grad = None if self._grad is None else self._grad.detach().clone()

    def give_back(self) -> None:
        self._weight.grad = self._grad


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Equality of the bits: nan equals itself, and 0.0 is not -0.0."""
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    if a.is_floating_point():
        bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
        a, b = a.view(bits), b.view(bits)
    return torch.equal(a, b)
