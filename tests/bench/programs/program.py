"""What a program of the bench is: a loop in somebody's style, healthy or with one mistake in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

Displayed = dict[str, list[float]]
"""What the program prints: ``epoch`` and, where it prints them, ``train_loss`` and ``val_loss``; NaN = nothing printed that epoch."""

AS_INTENDED = "as intended"


@dataclass(frozen=True)
class Setting:
    """What varies between runs of one program.

    Args:
        seed: of data, initial weights and order of the batches.
        width: hidden units, a multiple of 4.
        batch: samples in a batch; the data grow with it, so that the number of batches stays.
        lr: factor on the learning rate that the program's author chose, which differs between optimizers.
        epochs: how long.

    Raises:
        ValueError: a width that is no multiple of 4; a batch below 2, a learning rate or a length that is not positive.
    """

    seed: int = 0
    width: int = 16
    batch: int = 8
    lr: float = 1.0
    epochs: int = 4

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width should be a positive multiple of 4. Found width = {self.width}.")
        if self.batch < 2:
            raise ValueError(f"batch should be at least 2. Found batch = {self.batch}.")
        if not self.lr > 0:
            raise ValueError(f"lr should be above 0, programs set their own rate to 0. Found lr = {self.lr}.")
        if self.epochs < 1:
            raise ValueError(f"epochs should be at least 1. Found epochs = {self.epochs}.")


@dataclass(frozen=True)
class Case:
    """A program that is ready to run once.

    Args:
        fit: trains and returns what was displayed.
        model, loss: what its author would hand to an instrument; ``None``: the instrument has to find it.
        weights: the loss weights that the author's configuration asks for.
    """

    fit: Callable[[], Displayed]
    model: nn.Module | None = None
    loss: Any | None = None
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Program:
    """``style``: how it is written; ``fault``: key of the hypothesis, ``None`` = healthy; ``variant``: how the fault is made."""

    style: str
    fault: str | None
    variant: str
    build: Callable[[Setting], Case]

    def __repr__(self) -> str:
        return f"Program({self.style} / {self.fault or 'healthy'} / {self.variant})"


class Console:
    """Takes what a script would print."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []

    def line(self, epoch: int, train_loss: float | None = None, val_loss: float | None = None) -> None:
        numbers = {"epoch": epoch, "train_loss": train_loss, "val_loss": val_loss}
        self._rows.append({name: value for name, value in numbers.items() if value is not None})

    @property
    def shown(self) -> Displayed:
        names = [name for name in ("epoch", "train_loss", "val_loss") if any(name in row for row in self._rows)]
        return {name: [row.get(name, math.nan) for row in self._rows] for name in names}


Make = Callable[[Setting, str], Case]


def family(
    style: str, make: Make, healthy: tuple[str, ...], faults: Mapping[str, tuple[str, ...]]
) -> tuple[Program, ...]:
    """All programs of one style, made by ``make(setting, variant)``."""
    named = [(None, variant) for variant in healthy]
    named += [(fault, variant) for fault, variants in faults.items() for variant in variants]
    return tuple(Program(style, fault, variant, partial(_build, make, variant)) for fault, variant in named)


def _build(make: Make, variant: str, setting: Setting) -> Case:
    torch.manual_seed(setting.seed)
    case = make(setting, variant)
    return replace(case, fit=partial(_fit, case.fit, setting.seed))


def _fit(fit: Callable[[], Displayed], seed: int) -> Displayed:
    torch.manual_seed(seed + 1)  # the same run whatever was built or run in between
    return fit()
