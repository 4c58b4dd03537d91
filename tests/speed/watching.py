"""What does kit.watch cost? A training step inside the block beside the same step outside of it.

    python -m tests.speed.watching [--rounds 9] [--threads 1]

In every round both ways train the same number of steps, in random order, on the same batch; process CPU time is taken,
since other jobs on the machine make wall time useless, and the ratio is taken within the round. The first three turns, which
are always measured in full, are trained before the clock starts.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from kit.array import PlanarArray
from kit.covariance import CovarianceSampler
from kit.loss import UltimateHybridLoss
from kit.model import HybridModel
from kit.watch import watch

WARM, BLOCK = 3, 10


@dataclass(frozen=True)
class Run:
    """One training that can be repeated: `step()` trains one batch."""

    title: str
    model: nn.Module
    loss: nn.Module
    step: Callable[[], None]
    steps: int


def hybrid(batch: int = 64) -> Run:
    """The small HybridModel on scenes of 144 elements with all seven terms on, AdamW."""
    torch.manual_seed(90)
    scenes = CovarianceSampler(PlanarArray()).sample(batch, generator=torch.Generator().manual_seed(91))
    model, loss = HybridModel(), UltimateHybridLoss()
    loss.set_weights(dict.fromkeys(loss.weights, 0.1))
    return Run(f"HybridModel, B = {batch}", model, loss, _step(model, loss, scenes.inputs, scenes.target), 10)


def cnn(batch: int = 64) -> Run:
    """Four convolutions with batch norm on 3 x 32 x 32 images, AdamW."""
    torch.manual_seed(92)
    layers: list[nn.Module] = []
    for narrow, wide in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
    model, loss = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10)), nn.CrossEntropyLoss()
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    return Run(f"plain CNN, B = {batch}", model, loss, _step(model, loss, x, y), 60)


def _step(model: nn.Module, loss: nn.Module, x: object, y: object) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


def cpu_seconds(run: Run, every: int | None) -> float:
    """Of a step, watched every so-manieth turn or not at all: the median over blocks of ten steps, one detailed turn in each."""
    blocks = []
    with nullcontext() if every is None else watch(run.model, loss=run.loss, every=every):
        for _ in range(WARM):
            run.step()
        for _ in range(run.steps // BLOCK):
            start = time.process_time()
            for _ in range(BLOCK):
                run.step()
            blocks.append((time.process_time() - start) / BLOCK)
    return statistics.median(blocks)


def overhead(run: Run, every: int, rounds: int, order: random.Random) -> tuple[list[float], list[float]]:
    """Seconds of a bare step, and the watched step's extra share, round by round."""
    bare, extra = [], []
    for _ in range(rounds):
        times = {way: cpu_seconds(run, way) for way in order.sample([None, every], k=2)}
        bare.append(times[None])
        extra.append(times[every] / times[None] - 1)
    return bare, extra


def report(rounds: int, order: random.Random) -> None:
    print(f"{'watched training step':<48}{'bare / ms':>10}{'extra':>12}   quartiles")
    for make in (hybrid, cnn):
        run = make()
        cpu_seconds(run, None)
        for every in (1, 10):
            bare, extra = overhead(run, every, rounds, order)
            low, middle, high = (100 * value for value in statistics.quantiles(extra, n=4))
            title = f"{run.title}, every = {every}"
            print(
                f"{title:<48}{1e3 * statistics.median(bare):>10.1f}{middle:>+11.1f}%   {low:+.1f} .. {high:+.1f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.speed.watching", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds should be >= 2, for a spread. Found --rounds {options.rounds}.")
    torch.set_num_threads(options.threads)
    report(options.rounds, random.Random(93))


if __name__ == "__main__":
    main()
