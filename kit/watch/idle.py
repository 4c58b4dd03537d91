"""Optimizers that are there and never step: no hook hears of them, so they are looked for among the living objects."""

from __future__ import annotations

import gc
from collections.abc import Container

import torch


def optimizers_besides(known: Container[int]) -> list[torch.optim.Optimizer]:
    """Every optimizer that is alive and not among the known ids.

    ``type`` and not ``isinstance``: some objects answer the latter by importing what they stand for.
    """
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.optim.Optimizer)]
    return [optimizer for optimizer in found if id(optimizer) not in known]
