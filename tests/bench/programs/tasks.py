"""Tiny synthetic tasks. Every one can be learnt clearly within a few dozen steps."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tests.bench.programs.program import Setting

HELD_OUT = 48  # validation samples


class Split(NamedTuple):
    """Training inputs and targets, validation inputs and targets."""

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor


def _split(x: Tensor, y: Tensor) -> Split:
    return Split(x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT])


def _draw(s: Setting, batches: int) -> tuple[torch.Generator, int]:
    return torch.Generator().manual_seed(7919 * s.seed + 17), HELD_OUT + batches * s.batch


def batches(s: Setting, *tensors: Tensor):
    """One epoch of shuffled batches, by indexing: the loader of those who do not use a DataLoader."""
    for rows in torch.randperm(len(tensors[0])).split(s.batch):
        yield tuple(tensor[rows] for tensor in tensors)


def blobs(s: Setting, batches: int = 8, classes: int = 3) -> Split:
    """Classification: ``x [n, 6]`` around one centre per class, ``y [n]``."""
    g, n = _draw(s, batches)
    centres = 1.5 * torch.randn(classes, 6, generator=g)
    y = torch.randint(classes, (n,), generator=g)
    return _split(centres[y] + 0.7 * torch.randn(n, 6, generator=g), y)


def surface(s: Setting, batches: int = 8) -> Split:
    """Regression: ``x [n, 2]`` in [-1, 1], ``y [n, 1]`` smooth."""
    g, n = _draw(s, batches)
    x = 2 * torch.rand(n, 2, generator=g) - 1
    y = torch.sin(2 * x[:, :1]) + 0.7 * x[:, 1:] + 0.02 * torch.randn(n, 1, generator=g)
    return _split(x, y)


def images(s: Setting, batches: int = 8) -> Split:
    """Classification: ``x [n, 1, 8, 8]`` with a horizontal bar, a vertical bar or a square, ``y [n]``."""
    g, n = _draw(s, batches)
    y = torch.randint(3, (n,), generator=g)
    place = torch.randint(1, 6, (n,), generator=g)
    x = 0.3 * torch.randn(n, 1, 8, 8, generator=g)
    for i in range(n):
        k = int(place[i])
        row, all_, square = slice(k, k + 1), slice(None), slice(k, k + 3)
        x[(i, 0, *((row, all_), (all_, row), (square, square))[int(y[i])])] += 1.5
    return _split(x, y)


def waves(s: Setting, batches: int = 8, length: int = 8) -> Split:
    """Sequences: ``x [n, T, 1]`` of a sine, ``y [n, T, 1]`` its next values."""
    g, n = _draw(s, batches)
    phase = 2 * math.pi * torch.rand(n, 1, 1, generator=g)
    pace = 0.5 + 0.3 * torch.rand(n, 1, 1, generator=g)
    values = torch.sin(phase + pace * torch.arange(length + 1).view(1, -1, 1))
    return _split(values[:, :-1], values[:, 1:])


def sentences(s: Setting, batches: int = 8, vocabulary: int = 11, length: int = 8, prompt: int = 3) -> Split:
    """Tokens ``x [n, T]`` of a fixed grammar, labels ``y [n, T]`` = the next token, -100 within the prompt."""
    g, n = _draw(s, batches)
    follows = torch.randperm(vocabulary, generator=g)
    chain = [torch.randint(vocabulary, (n,), generator=g)]
    for _ in range(length):
        chain.append(follows[chain[-1]])
    tokens = torch.stack(chain, dim=1)
    labels = tokens[:, 1:].clone()
    labels[:, :prompt] = -100
    return _split(tokens[:, :-1], labels)


def views(s: Setting, batches: int = 8) -> Split:
    """Pairs: two noisy mixtures ``[n, 10]`` of the same hidden cause; the second takes the place of the target."""
    g, n = _draw(s, batches)
    cause = torch.randn(n, 4, generator=g)
    mix = torch.randn(2, 4, 10, generator=g)
    first, second = cause @ mix + 0.2 * torch.randn(2, n, 10, generator=g)
    return _split(first, second)


def signals(s: Setting, batches: int = 8) -> Split:
    """Autoencoding: ``x [n, 12]`` from 3 causes; the target is the input."""
    g, n = _draw(s, batches)
    x = torch.sigmoid(torch.randn(n, 3, generator=g) @ torch.randn(3, 12, generator=g))
    return _split(x, x)


class Annotated(NamedTuple):
    """Inputs ``x [n, 8]`` with several annotations: ``label [n]``, ``offset [n, 2]``, ``quality [n]`` in {0, 1}."""

    x: Tensor
    label: Tensor
    offset: Tensor
    quality: Tensor


def annotated(s: Setting, batches: int = 8) -> tuple[Annotated, Annotated]:
    """Several tasks on one input: training part, validation part."""
    g, n = _draw(s, batches)
    label = torch.randint(3, (n,), generator=g)
    x = 1.5 * torch.randn(3, 8, generator=g)[label] + 0.7 * torch.randn(n, 8, generator=g)
    offset = 0.5 * x @ torch.randn(8, 2, generator=g) / math.sqrt(2)
    quality = (x[:, 0] > x[:, 1]).float()
    everything = Annotated(x, label, offset, quality)
    return Annotated(*(t[HELD_OUT:] for t in everything)), Annotated(*(t[:HELD_OUT] for t in everything))
