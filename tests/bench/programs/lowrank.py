"""Low rank updates registered as parametrizations of frozen weights: the gradient of A is exactly 0 in the first step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import surface

CONFIG = {"rank": 3, "alpha": 6.0, "beta": 0.3}


class LowRank(nn.Module):
    """``W -> W + alpha / rank * B A``."""

    def __init__(self, rows: int, columns: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.A, self.B = nn.Parameter(torch.empty(rank, columns)), nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)
        self.scale = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.B @ self.A)


def inject(net: nn.Sequential, config: dict[str, float]) -> list[LowRank]:
    """An update for every layer but the last, which learns as a whole."""
    updates = []
    for layer in [module for module in net[:-1] if isinstance(module, nn.Linear)]:
        layer.requires_grad_(False)
        update = LowRank(layer.out_features, layer.in_features, int(config["rank"]), config["alpha"])
        parametrize.register_parametrization(layer, "weight", update)
        updates.append(update)
    return updates


def _make(s: Setting, variant: str) -> Case:
    data = surface(s)
    net = nn.Sequential(nn.Linear(2, s.width), nn.Tanh(), nn.Linear(s.width, s.width), nn.Tanh(), nn.Linear(s.width, 1))
    updates = inject(net, CONFIG)
    if variant == "both factors start at 0":
        for update in updates:
            nn.init.zeros_(update.A)
    optimizer = torch.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=0.008 * s.lr)
    criterion = nn.HuberLoss(delta=CONFIG["beta"])
    loader = DataLoader(TensorDataset(data.x, data.y), batch_size=s.batch, shuffle=True)

    def step(x: Tensor, y: Tensor) -> float:
        error = criterion(net(x), y)
        error.backward()
        optimizer.step()
        if variant != "zero_grad is not called":
            optimizer.zero_grad()
        return error.item()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            errors = [step(*batch) for batch in loader]
            with torch.no_grad():
                console.line(epoch, sum(errors) / len(errors), float(criterion(net(data.x_val), data.y_val)))
        return console.shown

    return Case(fit, model=net)


PROGRAMS = family(
    "lowrank",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "dead_branch": ("both factors start at 0",),
        "gradients_not_cleared": ("zero_grad is not called",),
    },
)
