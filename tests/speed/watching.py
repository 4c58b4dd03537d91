"""What does kit.watch cost? A training step that is watched beside the same step that is not.

    python -m tests.speed.watching [--rounds 9] [--threads 1]

In a round every way trains fifty steps on the same batch, two among them whose graph is read, in random order of the ways: what
else goes on on the machine slows all of them. Process CPU time is taken, and the ratio within the round. What happens once a run is
not in the ratio but printed beside it: opening and the first turns, of which three are always measured in full and the fifth looks
for optimizers that never step.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from kit.array import PlanarArray
from kit.covariance import CovarianceSampler
from kit.loss import UltimateHybridLoss
from kit.model import HybridModel
from kit.recording import hooks, watch

FIRST = 10  # turns until what happens once is over
BLOCK, WAYS = 50, (1, 10)
CNN_ROUNDS = 3  # times as many as of the others: its steps are short


@dataclass(frozen=True)
class Run:
    """One training: `step()` trains one batch."""

    title: str
    model: nn.Module
    loss: nn.Module
    step: Callable[[], None]


def hybrid(batch: int = 16) -> Run:
    """The small HybridModel on scenes of 144 elements with all seven terms on, AdamW."""
    torch.manual_seed(90)
    scenes = CovarianceSampler(PlanarArray()).sample(batch, generator=torch.Generator().manual_seed(91))
    model, loss = HybridModel(), UltimateHybridLoss()
    loss.set_weights(dict.fromkeys(loss.weights, 0.1))
    return Run(f"HybridModel, B = {batch}", model, loss, _step(model, loss, scenes.inputs, scenes.target))


def cnn(batch: int = 64) -> Run:
    """Four convolutions with batch norm on 3 x 32 x 32 images, AdamW."""
    torch.manual_seed(92)
    layers: list[nn.Module] = []
    for narrow, wide in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
    model, loss = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10)), nn.CrossEntropyLoss()
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    return Run(f"plain CNN, B = {batch}", model, loss, _step(model, loss, x, y))


def transformer(batch: int = 8) -> Run:
    """Five layers of width 384 on sequences of 32 of 1000 words, 9.7 M parameters, AdamW."""
    torch.manual_seed(94)
    layer = nn.TransformerEncoderLayer(384, 6, 1536, dropout=0.0, batch_first=True)
    body = nn.TransformerEncoder(layer, 5, enable_nested_tensor=False)
    model = nn.Sequential(nn.Embedding(1000, 384), body, nn.Linear(384, 1000), nn.Flatten(0, 1))
    loss, words = nn.CrossEntropyLoss(), torch.randint(0, 1000, (batch, 33))
    return Run(f"transformer, B = {batch}", model, loss, _step(model, loss, words[:, :-1], words[:, 1:].flatten()))


def _step(model: nn.Module, loss: nn.Module, x: object, y: object) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


class Watching:
    """A watch that is open all the time and listens only when it is asked to."""

    def __init__(self, run: Run, every: int) -> None:
        self._run, self.watch = run, watch(run.model, loss=run.loss, every=every)

    def __enter__(self) -> Self:
        start = time.process_time()
        self.watch.__enter__()
        for _ in range(FIRST):
            self._run.step()
        self.first = time.process_time() - start
        hooks.leave(self.watch._seen)
        return self

    def steps(self) -> float:
        hooks.listen(self.watch._seen)
        try:
            return cpu_seconds(self._run.step)
        finally:
            hooks.leave(self.watch._seen)

    def __exit__(self, *error: object) -> None:
        self.watch.__exit__(*error)


def cpu_seconds(step: Callable[[], None]) -> float:
    """Of one step, as a mean over a block of them."""
    start = time.process_time()
    for _ in range(BLOCK):
        step()
    return (time.process_time() - start) / BLOCK


def overhead(run: Run, rounds: int, order: random.Random) -> tuple[list[dict[int, float]], dict[int, float]]:
    """Seconds of a step of each way, round by round (0: bare), and what the first turns cost beyond as many bare ones."""
    for _ in range(FIRST):
        run.step()
    with ExitStack() as stack:
        watching = {every: stack.enter_context(Watching(run, every)) for every in WAYS}
        steps = {0: lambda: cpu_seconds(run.step)} | {every: one.steps for every, one in watching.items()}
        found = [{way: steps[way]() for way in order.sample(sorted(steps), k=len(steps))} for _ in range(rounds)]
    bare = statistics.median(times[0] for times in found)
    return found, {every: one.first - FIRST * bare for every, one in watching.items()}


def report(rounds: int, order: random.Random) -> None:
    print(f"{'watched training step':<42}{'bare / ms':>10}{'extra':>9}   {'quartiles':<18}{'once / ms':>10}")
    print(f"load average {os.getloadavg()[0]:.1f} at the start")
    for run, times in ((hybrid(), 1), (cnn(), CNN_ROUNDS), (transformer(), 1)):
        found, once = overhead(run, rounds * times, order)
        bare = 1e3 * statistics.median(times[0] for times in found)
        for every in WAYS:
            low, middle, high = statistics.quantiles((100 * (times[every] / times[0] - 1) for times in found), n=4)
            title, spread = f"{run.title}, every = {every}", f"{low:+.1f} .. {high:+.1f}"
            print(f"{title:<42}{bare:>10.1f}{middle:>+8.1f}%   {spread:<18}{1e3 * once[every]:>10.1f}", flush=True)


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
