"""An argument under its earlier name: taken for one version, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(earlier: str, now: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """``@renamed("loss_fn", "loss")``: the keyword ``loss_fn=`` is taken as ``loss=``."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if earlier in kwargs and now not in kwargs:
                name = function.__name__
                warnings.warn(
                    f"{name}({earlier}=...) is now {name}({now}=...); the old name goes in version 0.3.",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[now] = kwargs.pop(earlier)
            return function(*args, **kwargs)

        return call

    return wrap
