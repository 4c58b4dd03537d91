"""SimSiam: a predictor on one branch, the gradient stopped on the other; the loss is a negative cosine, summed from a stack."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, views


class SimSiam(nn.Module):
    """Both views -> predictions ``p`` and projections ``z`` of length 1, two of each."""

    def __init__(self, width: int, last: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 8), last)
        self.predictor = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8))

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z1, z2 = self.encoder(first), self.encoder(second)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return tuple(F.normalize(out, dim=-1) for out in (p1, p2, z1, z2))


def negative_cosine(p: Tensor, z: Tensor, stop: str) -> Tensor:
    if stop == "z":
        z = z.detach()
    elif stop == "p":
        p = p.detach()
    return -(p * z).sum(-1).mean()


def symmetric(outputs: tuple[Tensor, Tensor, Tensor, Tensor], stop: str = "z") -> Tensor:
    p1, p2, z1, z2 = outputs
    return torch.stack([negative_cosine(p1, z2, stop), negative_cosine(p2, z1, stop)]).sum() / 2


def _make(s: Setting, variant: str) -> Case:
    data = views(s, batches=24)
    free = variant == "neither batch norm nor stop-gradient"
    model = SimSiam(s.width, nn.Identity() if free else nn.BatchNorm1d(8, affine=False))
    stop = {"neither batch norm nor stop-gradient": "", "the stop-gradient is on the other branch": "p"}.get(
        variant, "z"
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * s.lr, momentum=0.9)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            history = []
            for pair in batches(s, data.x, data.y):
                optimizer.zero_grad()
                loss = symmetric(model(*pair), stop)
                loss.backward()
                optimizer.step()
                history.append(loss.detach())
            model.eval()
            with torch.no_grad():
                console.line(epoch, torch.stack(history).mean().item(), symmetric(model(data.x_val, data.y_val)).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "siamese",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "collapse": ("neither batch norm nor stop-gradient",),
        "graph_cut": ("the stop-gradient is on the other branch",),
    },
)
