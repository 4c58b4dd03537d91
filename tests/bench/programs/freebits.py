"""A variational autoencoder with free bits per dimension: a clamped KL is constant and has gradient 0 until it pays."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, signals


class Refined(nn.Module):
    """A decoder with a refinement whose scale starts at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.base = nn.Linear(3, 12)
        self.refine = nn.Sequential(nn.Linear(3, width), nn.GELU(), nn.Linear(width, 12))
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        return self.base(z) + self.alpha * self.refine(z)


class FreeBitsVae(nn.Module):
    """``[B, 12]`` -> reconstruction, mean, standard deviation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, width), nn.GELU(), nn.Linear(width, 6))
        self.positive, self.decoder = nn.Softplus(), Refined(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, raw = self.encoder(x).chunk(2, dim=-1)
        std = self.positive(raw)
        z = mean + std * torch.randn_like(std) if self.training else mean
        return self.decoder(z), mean, std


class Elbo:
    """Squared error and the divergence from a normal prior; a divergence that is not finite is left out."""

    def __init__(self, beta: float, free_bits: float, prior: float) -> None:
        self.beta, self.free_bits, self.prior = beta, free_bits, torch.tensor(prior)

    def __call__(self, output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        x_hat, mean, std = output
        ratio = (mean.square() + std.square()) / self.prior.square()
        per_dimension = 0.5 * (ratio - 1).mean(0) + (self.prior.log() - std.log()).mean(0)
        kl = per_dimension.clamp(min=self.free_bits).sum()
        if not torch.isfinite(kl):
            kl = torch.zeros(())
        return (x_hat - x).square().sum(-1).mean() + self.beta * kl


def _make(s: Setting, variant: str) -> Case:
    data = signals(s)
    model = FreeBitsVae(s.width)
    read = int if variant == "the width of the prior is read as a whole number" else float
    if variant == "a scale of 0 and a last layer of 0":
        nn.init.zeros_(model.decoder.refine[-1].weight)
        nn.init.zeros_(model.decoder.refine[-1].bias)
    free_bits = 2.0 if variant == "generous with bits" else 0.3
    elbo = Elbo(beta=0.02, free_bits=free_bits, prior=float(read(0.8)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.015 * s.lr, betas=(0.8, 0.99))

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            running = []
            for (x,) in batches(s, data.x):
                optimizer.zero_grad()
                loss = elbo(model(x), x)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                running.append(loss.detach())
            model.eval()
            with torch.no_grad():
                console.line(epoch, torch.stack(running).mean().item(), elbo(model(data.x_val), data.x_val).item())
        return console.shown

    return Case(fit, model=model, loss=elbo)


PROGRAMS = family(
    "freebits",
    _make,
    healthy=(AS_INTENDED, "generous with bits"),
    faults={
        "dead_branch": ("a scale of 0 and a last layer of 0",),
        "infinite_loss_zeroed": ("the width of the prior is read as a whole number",),
    },
)
