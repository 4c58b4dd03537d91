"""Full batch gradient descent written as a generator: one step an epoch, evaluated behind each."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import Split, surface


def half_mse(prediction: Tensor, y: Tensor) -> Tensor:
    return 0.5 * ((prediction - y) ** 2).mean()


def descend(net: nn.Module, data: Split, rate: float, clear: bool) -> Iterator[tuple[float, float]]:
    """Train and validation loss behind each step, for as long as somebody asks."""
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    while True:
        if clear:
            optimizer.zero_grad()
        objective = half_mse(net(data.x), data.y)
        objective.backward()
        optimizer.step()
        with torch.inference_mode():
            yield objective.item(), half_mse(net(data.x_val), data.y_val).item()


def _make(s: Setting, variant: str) -> Case:
    data = surface(s)
    if variant == "targets flattened when they were read":
        data = data._replace(y=data.y.flatten(), y_val=data.y_val.flatten())
    net = nn.Sequential(nn.Linear(2, s.width), nn.SiLU(), nn.Linear(s.width, 1))
    if variant == "standardised inputs":
        mean, std = data.x.mean(0), data.x.std(0)
        data = data._replace(x=(data.x - mean) / std, x_val=(data.x_val - mean) / std)

    def fit() -> Displayed:
        console = Console()
        steps = descend(net, data, rate=0.3 * s.lr, clear=variant != "zero_grad was lost")
        for epoch, (train, val) in zip(range(1, s.epochs + 1), steps, strict=False):
            console.line(epoch, train, val)
        return console.shown

    return Case(fit, model=net)


PROGRAMS = family(
    "fullbatch",
    _make,
    healthy=(AS_INTENDED, "standardised inputs"),
    faults={"broadcast": ("targets flattened when they were read",), "gradients_not_cleared": ("zero_grad was lost",)},
)
