"""What the user's own code was called with, said once where it fails: shapes, dtypes, devices, and what to do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST = 6  # entries of a nesting that are listed

# What torch and Python raise for values that do not fit. Other kinds (out of memory, a class of the user's own) say
# what they mean and are caught by their class: they go up as they are.
_PLAIN = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)


@contextmanager
def calling(should: str, given: Mapping[str, Any], otherwise: str) -> Iterator[None]:
    """Errors of the call inside come up as the same kind, with what it was given; `otherwise`: what to do, if that is
    not plain from the values."""
    try:
        yield
    except Exception as error:
        if type(error) not in _PLAIN:
            raise
        found = "; ".join(f"{name}: {described(value)}" for name, value in given.items())
        advice = _advice(str(error), given) or otherwise
        said = f"{type(error).__name__}: {error}".rstrip(" .:")
        raise type(error)(f"{should}. Found {said}. Given {found}. {advice}") from error


def described(value: Any) -> str:
    """A nesting in words: "tuple (float32 [8, 4] cpu, float32 [8, 3] cpu)"."""
    if isinstance(value, nn.Module):
        kinds = dict.fromkeys(f"{_short(p.dtype)} {p.device}" for p in _held(value))
        return " and ".join(kinds) or "none"
    if isinstance(value, Tensor):
        return f"{_short(value.dtype)} {list(value.shape)} {value.device}"
    if isinstance(value, np.ndarray):
        return f"numpy array {value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping | tuple | list):
        if isinstance(value, Mapping):
            entries = [f"{key}: {described(item)}" for key, item in itertools.islice(value.items(), MOST)]
        else:
            entries = [described(item) for item in itertools.islice(value, MOST)]
        more = [f"{len(value) - MOST} more"] if len(value) > MOST else []
        return f"{type(value).__name__} ({', '.join(entries + more)})"
    return type(value).__name__


def _advice(said: str, given: Mapping[str, Any]) -> str:
    values = [leaf for value in given.values() for leaf in _leaves(value)]
    found = [value for value in values if isinstance(value, Tensor)]
    if any(isinstance(value, np.ndarray) for value in values):
        return "Pass tensors instead of numpy arrays: torch.as_tensor(array)."
    if len(devices := dict.fromkeys(str(tensor.device) for tensor in found)) > 1:
        return f"Bring the model and the batch to one device ({' or '.join(devices)}), with .to(device)."
    floats = dict.fromkeys(_short(tensor.dtype) for tensor in found if tensor.is_floating_point())
    if len(floats) > 1:
        return (
            f"Bring the model and the batch to one dtype ({' or '.join(floats)}), with .to(torch.{next(iter(floats))})."
        )
    if "dtype" in said or "scalar type" in said:
        return f"Bring what does not fit to {' or '.join(floats)}, or to torch.long where classes or indices are meant."
    return ""


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, nn.Module):
        yield from _held(value)
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(item)
    else:
        yield value


def _held(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), (b for b in module.buffers() if b.is_floating_point()))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
