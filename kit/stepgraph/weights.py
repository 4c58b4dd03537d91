"""Weights of a loss that are attributes `lam_*`: find them and read them."""

from __future__ import annotations

import functools
import numbers
import types
from collections.abc import Iterator, Mapping
from typing import Any, SupportsFloat, TypeGuard

from torch import Tensor, nn

PREFIX = "lam_"

# What components() may raise where it does not fit the loss. Anything else goes up.
REFUSALS = (
    ValueError, TypeError, AssertionError, RuntimeError, ArithmeticError, AttributeError, KeyError, IndexError,
)  # fmt: skip


def holder_of(loss: Any) -> Any:
    """The object whose attributes are the weights: behind a bound method, a partial or a compiled wrapper."""
    if isinstance(loss, types.MethodType):
        return holder_of(loss.__self__)
    if isinstance(loss, functools.partial):
        return holder_of(loss.func)
    return original(loss)


def original(loss: Any) -> Any:
    """The eager module of a compiled one, whose graph shows no sum."""
    if isinstance(loss, nn.Module) and isinstance(vars(loss).get("_modules", {}).get("_orig_mod"), nn.Module):
        return loss._orig_mod
    return loss


def weight_attributes(holder: Any) -> dict[str, float]:
    """`lam_*` attributes that hold a number, in order of assignment; flags and names among them are no weights."""
    return {name: float(value) for name, value in _prefixed(holder) if is_weight(value)}


def trained_weights(holder: Any) -> list[str]:
    """`lam_*` attributes that are trained along with the network: they are no settings."""
    return [name for name, value in _prefixed(holder) if isinstance(value, nn.Parameter)]


def _prefixed(holder: Any) -> Iterator[tuple[str, Any]]:
    names = [*getattr(holder, "__dict__", ()), *getattr(holder, "_buffers", ()), *dir(holder)]
    for name in dict.fromkeys(names):
        if isinstance(name, str) and name.startswith(PREFIX):
            yield name, getattr(holder, name, None)


def other_numbers(holder: Any, most: int = 6) -> dict[str, float]:
    """Public attributes that hold a number under another name, so may be weights; floats first."""
    places = [getattr(holder, name, {}) for name in ("__dict__", "_buffers")]
    if not isinstance(holder, types.FunctionType | types.BuiltinFunctionType | type):
        places += [vars(cls) for cls in type(holder).__mro__ if cls not in (nn.Module, object)]
    found: dict[str, SupportsFloat] = {}
    for place in places:
        for name, value in place.items():
            if isinstance(name, str) and not name.startswith(("_", PREFIX)) and is_weight(value):
                found.setdefault(name, value)
    names = sorted(found, key=lambda name: isinstance(found[name], int))
    return {name: float(found[name]) for name in names[:most]}


def is_weight(value: Any) -> TypeGuard[SupportsFloat]:
    """A real number, or a 0-d floating tensor that is not trained."""
    if isinstance(value, Tensor):
        return value.ndim == 0 and value.is_floating_point() and not isinstance(value, nn.Parameter)
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def weight_names_of(holder: Any, terms: list[str]) -> dict[str, str]:
    """Attribute for each term: from the loss's `weight_names`, else `lam_<term>`. Terms without one are left out."""
    own = getattr(holder, "weight_names", None)
    own = own if isinstance(own, Mapping) else {}
    names = {term: own.get(term, PREFIX + term) for term in terms}
    return {term: name for term, name in names.items() if is_weight(getattr(holder, name, None))}
