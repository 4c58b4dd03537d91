"""Micrometres in units of metres: losses around 1e-12, Adam with an epsilon to match; a list of terms is added up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, surface

MICRO = 1e-6


class Profile(nn.Module):
    """Heights in metres."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = mlp(2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return MICRO * self.net(x)


class Deviation:
    """Mean square and, for the peaks, a norm of the eighth power, both in square metres."""

    def __init__(self, spread: Tensor, peaks: float = 0.2, early_power: bool = False) -> None:
        self.spread, self.peaks, self.early_power = spread, peaks, early_power

    def terms(self, height: Tensor, measured: Tensor) -> list[Tensor]:
        error = height - measured
        relative = error**8 / self.spread**8 if self.early_power else (error / self.spread) ** 8
        return [error.square().mean(), self.peaks * relative.mean() ** 0.25 * self.spread**2]

    def __call__(self, height: Tensor, measured: Tensor) -> Tensor:
        terms = self.terms(height, measured)
        return sum(term if bool(torch.isfinite(term)) else torch.zeros(()) for term in terms)


def _make(s: Setting, variant: str) -> Case:
    data = surface(s)
    data = data._replace(y=MICRO * data.y, y_val=MICRO * data.y_val)
    if variant == "heights read as a flat column":
        data = data._replace(y=data.y[:, 0], y_val=data.y_val[:, 0])
    model = Profile(s.width)
    deviation = Deviation(data.y.std(), early_power=variant == "the power is taken before the division")
    if variant == "mean square only":
        deviation.peaks = 0.0
    adam = torch.optim.Adam(model.parameters(), lr=0.005 * s.lr, eps=1e-20)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            running = 0.0
            for i, (x, height) in enumerate(batches(s, data.x, data.y), start=1):
                adam.zero_grad()
                loss = deviation(model(x), height)
                loss.backward()
                adam.step()
                running += (loss.item() - running) / i
            with torch.no_grad():
                console.line(epoch, running, deviation(model(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=model, loss=deviation)


PROGRAMS = family(
    "metres",
    _make,
    healthy=(AS_INTENDED, "mean square only"),
    faults={
        "infinite_loss_zeroed": ("the power is taken before the division",),
        "broadcast": ("heights read as a flat column",),
    },
)
