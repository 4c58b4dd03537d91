"""Regression with a learned log variance: the Gaussian log likelihood, which becomes negative. SGD with momentum, two groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import surface


@dataclass
class Options:
    rate: float = 0.03
    rate_of_variance: float = 0.03
    momentum: float = 0.9
    weight_decay: float = 1e-4
    flat: bool = False


class Gaussian(nn.Module):
    """A mean for every sample, one variance for all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = mlp(2, width, 1)
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_variance


def nll(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    mean, log_variance = output
    return 0.5 * (log_variance + (y - mean) ** 2 / log_variance.exp()).mean()


def groups(model: Gaussian, options: Options, factor: float) -> list[dict]:
    return [
        {"params": model.mean.parameters(), "lr": options.rate * factor, "weight_decay": options.weight_decay},
        {"params": [model.log_variance], "lr": options.rate_of_variance * factor},
    ]


def _make(s: Setting, variant: str) -> Case:
    options = Options()
    if variant == "1.0 instead of 1e-4":
        options.weight_decay = 1.0
    if variant == "targets as a flat array":
        options.flat = True
    data = surface(s)
    y, y_val = (t.ravel() if options.flat else t for t in (data.y, data.y_val))
    model = Gaussian(s.width)
    optimizer = torch.optim.SGD(groups(model, options, s.lr), momentum=options.momentum)
    loader = DataLoader(TensorDataset(data.x, y), batch_size=s.batch, shuffle=True)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            sums: dict[str, float] = {"nll": 0.0, "samples": 0.0}
            for x, target in loader:
                value = nll(model(x), target)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                sums["nll"] += value.item() * len(x)
                sums["samples"] += len(x)
            with torch.no_grad():
                console.line(epoch, sums["nll"] / sums["samples"], nll(model(data.x_val), y_val).item())
        return console.shown

    return Case(fit, model=model, loss=nll)


PROGRAMS = family(
    "uncertainty",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "broadcast": ("targets as a flat array",),
        "collapse": ("1.0 instead of 1e-4",),
    },
)
