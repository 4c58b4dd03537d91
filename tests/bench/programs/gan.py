"""A generator against a discriminator with a gradient penalty; two optimizers; validation is a distance of the fakes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import HELD_OUT, batches

GAMMA = 1.0


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """2 E|a - b| - E|a - a'| - E|b - b'|, 0 for equal distributions."""
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


def _make(s: Setting, variant: str) -> Case:
    real = torch.tensor([2.0, -1.5]) + 0.4 * torch.randn(HELD_OUT + 10 * s.batch, 2)
    data, val = real[HELD_OUT:], real[:HELD_OUT]
    G, D = mlp(4, s.width, 2, nn.ReLU), mlp(2, s.width, 1, nn.LeakyReLU)
    g_parameters = D.parameters() if variant == "the generator's optimizer holds the discriminator" else G.parameters()
    g_optimizer = torch.optim.RMSprop(g_parameters, lr=0.0 if variant == "lr 0 of the generator" else 0.001 * s.lr)
    d_optimizer = torch.optim.RMSprop(D.parameters(), lr=0.003 * s.lr)
    n_critic = 100 if variant == "n_critic above the number of batches" else 1
    z_val = torch.randn(HELD_OUT, 4)
    cached = G(z_val).detach() if variant == "fakes drawn before training" else None

    def penalty(x: Tensor) -> Tensor:
        """Squared slope of D at the real data (R1)."""
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        return GAMMA / 2 * slope.square().sum(-1).mean()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            G.train(), D.train()
            running = 0.0
            for i, (x,) in enumerate(batches(s, data)):
                fake = G(torch.randn(len(x), 4))
                d_optimizer.zero_grad()
                d_loss = F.softplus(-D(x)).mean() + F.softplus(D(fake.detach())).mean()
                (d_loss + penalty(x)).backward()
                d_optimizer.step()
                if (i + 1) % n_critic:
                    continue
                g_optimizer.zero_grad()
                if variant == "fakes detached for the generator too":
                    fake = fake.detach()
                g_loss = F.softplus(-D(fake)).mean()
                g_loss.backward()
                if variant == "the discriminator's zero_grad, on all":
                    nn.ModuleList([G, D]).zero_grad()
                g_optimizer.step()
                running += g_loss.item()
            G.eval()
            with torch.no_grad():
                fakes = G(z_val) if cached is None else cached
                console.line(epoch, running / 10, energy_distance(fakes, val).item())
        return console.shown

    return Case(fit)


PROGRAMS = family(
    "gan",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "parameters_not_trained": ("the generator's optimizer holds the discriminator",),
        "graph_cut": ("fakes detached for the generator too",),
        "gradients_cleared": ("the discriminator's zero_grad, on all",),
        "zero_learning_rate": ("lr 0 of the generator",),
        "steps_skipped": ("n_critic above the number of batches",),
        "stale_validation": ("fakes drawn before training",),
    },
)
