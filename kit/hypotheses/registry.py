"""Which hypotheses there are: every module of this folder that defines ``HYPOTHESIS``."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterable

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checking import Check
from kit.hypotheses.checks import gradients, graph, outputs, steps, symptoms, validation, weights


def discover() -> tuple[Hypothesis, ...]:
    """The report's hypotheses in its order, then the others by key.

    Raises:
        ValueError: two of them have the same key.
    """
    package = importlib.import_module("kit.hypotheses")
    found: dict[str, Hypothesis] = {}
    for entry in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"kit.hypotheses.{entry.name}")
        hypothesis = getattr(module, "HYPOTHESIS", None)
        if hypothesis is None:
            continue
        if hypothesis.key in found:
            raise ValueError(
                f"Every hypothesis should have a key of its own. Found {hypothesis.key!r} twice, the second time in {entry.name}.py."
            )
        found[hypothesis.key] = hypothesis
    return tuple(sorted(found.values(), key=lambda h: (math.inf if h.rank is None else h.rank, h.key)))


def all_checks(hypotheses: Iterable[Hypothesis] = ()) -> tuple[Check, ...]:
    """Every check of the folder ``checks``, and those that these hypotheses bring with them; one per key."""
    shared = [
        value
        for module in (symptoms, weights, outputs, gradients, graph, steps, validation)
        for value in vars(module).values()
        if isinstance(value, Check)
    ]
    brought = [sign for hypothesis in hypotheses for sign in hypothesis.signs]
    return tuple({entry.key: entry for entry in (*shared, *brought)}.values())
