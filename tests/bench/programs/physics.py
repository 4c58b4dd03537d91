"""A physics-informed network for u' + u = 0, u(0) = 1: derivatives in the loss, full batches, Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family


class ResidualLoss(nn.Module):
    """``u [n, 1]`` at ``x [n, 1]`` with graph, ``u(0)`` in the first row."""

    def __init__(self, lam_ode: float = 1.0, lam_start: float = 5.0) -> None:
        super().__init__()
        self.lam_ode, self.lam_start = lam_ode, lam_start

    def forward(self, u: Tensor, x: Tensor) -> Tensor:
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return self.lam_ode * (du + u).square().mean() + self.lam_start * (u[0] - 1).square().mean()


class StartForgotten(ResidualLoss):
    """The weight of the start value is never read: u = 0 solves the rest."""

    def forward(self, u: Tensor, x: Tensor) -> Tensor:
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return self.lam_ode * (du + u).square().mean()


class OdeCutOff(ResidualLoss):
    """The residual is built from values without a graph."""

    def forward(self, u: Tensor, x: Tensor) -> Tensor:
        (du,) = torch.autograd.grad(u.sum(), x, retain_graph=True)
        residual = du + u.detach()
        return self.lam_ode * residual.square().mean() + self.lam_start * (u[0] - 1).square().mean()


class QuietByDefault(ResidualLoss):
    def __init__(self, lam_ode: float = 0.0, lam_start: float = 0.0) -> None:
        super().__init__(lam_ode, lam_start)


def _make(s: Setting, variant: str) -> Case:
    model = mlp(1, s.width, 1)
    asked = {"lam_ode": 1.0, "lam_start": 5.0}
    if variant == "all weights 0":
        asked = dict.fromkeys(asked, 0.0)
    if variant == "lam_start is never read":
        loss = StartForgotten(**asked)
    elif variant == "the residual has no graph":
        loss = OdeCutOff(**asked)
    elif variant == "the section of the configuration is not found":
        loss = QuietByDefault(**{"losses": asked}.get("loss", {}))
    else:
        loss = ResidualLoss(**asked)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 * s.lr)
    x_val = torch.linspace(0, 1, 40)[:, None]
    points = max(2 * s.batch, 8)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            for _ in range(12):
                x = torch.cat([torch.zeros(1, 1), torch.rand(points, 1)]).requires_grad_()
                optimizer.zero_grad()
                value = loss(model(x), x)
                value.backward()
                optimizer.step()
            if variant == "no validation at all":
                console.line(epoch, value.item())
                continue
            with torch.no_grad():
                console.line(epoch, value.item(), (model(x_val) - torch.exp(-x_val)).square().mean().item())
        return console.shown

    return Case(fit, model=model, loss=loss, weights=asked)


PROGRAMS = family(
    "physics",
    _make,
    healthy=(AS_INTENDED, "no validation at all"),
    faults={
        "loss_weights": ("all weights 0",),
        "weight_names": ("lam_start is never read",),
        "graph_cut": ("the residual has no graph",),
        "loss_initialisation": ("the section of the configuration is not found",),
    },
)
