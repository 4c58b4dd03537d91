"""Names of an earlier version: each still works for one version, with a warning that says the new one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def warn_renamed(earlier: str, now: str) -> None:
    """Warn the caller of the function that calls this one."""
    warnings.warn(f"{earlier} is now {now}; the old name goes in version 0.3.", DeprecationWarning, stacklevel=3)


def renamed(earlier: str, now: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """``@renamed("loss_fn", "loss")``: the keyword ``loss_fn=`` is taken as ``loss=``."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if earlier in kwargs and now not in kwargs:
                name = function.__name__
                warn_renamed(f"{name}({earlier}=...)", f"{name}({now}=...)")
                kwargs[now] = kwargs.pop(earlier)
            return function(*args, **kwargs)

        return call

    return wrap
