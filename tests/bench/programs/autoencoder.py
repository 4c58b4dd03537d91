"""A variational autoencoder with an annealed weight; NAdam, the sum over the samples is displayed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.bench.programs.losses import VaeLoss
from tests.bench.programs.models import dead_relu
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, signals


class Vae(nn.Module):
    """``[B, 12]`` -> reconstruction, mean, log-variance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, width), nn.ReLU())
        self.mean, self.logvar = nn.Linear(width, 3), nn.Linear(width, 3)
        self.decoder = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 12))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encoder(x)
        mean, logvar = self.mean(h), self.logvar(h)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp() if self.training else mean
        return self.decoder(z), mean, logvar


class DeafVaeLoss(VaeLoss):
    """Stores the weight of the divergence and adds the divergence without it."""

    def forward(self, output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        x_hat, mean, logvar = output
        recon = (x_hat - x).square().sum(-1).mean()
        return self.lam_recon * recon - 0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(-1).mean()


class SummedVaeLoss(VaeLoss):
    """The sum over the samples of a batch."""

    def forward(self, output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        x_hat, mean, logvar = output
        kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()
        return self.lam_recon * (x_hat - x).square().sum() + self.lam_kl * kl


def _make(s: Setting, variant: str) -> Case:
    data = signals(s)
    model = Vae(s.width)
    asked = {"lam_recon": 1.0, "lam_kl": 0.02}
    if variant == "all weights 0":
        asked = dict.fromkeys(asked, 0.0)
    if variant == "the divergence is off on purpose":
        asked["lam_kl"] = 0.0
    summed = variant == "summed over the samples, shown per sample"
    kinds = {"lam_kl accepted and ignored": DeafVaeLoss, "summed over the samples, shown per sample": SummedVaeLoss}
    loss = kinds.get(variant, VaeLoss)(**asked)
    if variant == "the decoder ends in a dead ReLU":
        model.decoder[2] = dead_relu(model.decoder[2])
    if variant == "the log-variance overflows":
        nn.init.constant_(model.logvar.bias, 200.0)
    optimizer = torch.optim.NAdam(model.parameters(), lr=0.01 * s.lr)

    def anneal(epoch: int) -> None:
        if variant == "the divergence is annealed from 0":
            loss.lam_kl = asked["lam_kl"] * (epoch - 1) / s.epochs
        if variant == "annealing in whole numbers multiplies every weight":
            ramp = float(epoch // (s.epochs + 1))
            loss.lam_recon, loss.lam_kl = ramp * asked["lam_recon"], ramp * asked["lam_kl"]

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            anneal(epoch)
            total = 0.0
            for (x,) in batches(s, data.x):
                value = loss(model(x), x)
                if variant == "step after the loop":
                    continue
                optimizer.zero_grad()
                value.backward()
                for parameter in model.parameters():
                    parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
                optimizer.step()
                total += value.item() if summed else value.item() * len(x)
            if variant == "step after the loop":
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                total += value.item() * len(x)
            model.eval()
            with torch.no_grad():
                val = loss(model(data.x_val), data.x_val).item()
                samples = (len(data.x), len(data.x_val)) if summed else (1, 1)
                console.line(epoch, total / samples[0], val / samples[1])
        return console.shown

    unasked = variant == "annealing in whole numbers multiplies every weight"
    return Case(fit, model=model, loss=loss, weights=None if unasked else asked)


PROGRAMS = family(
    "autoencoder",
    _make,
    healthy=(
        AS_INTENDED,
        "the divergence is annealed from 0",
        "the divergence is off on purpose",
        "summed over the samples, shown per sample",
    ),
    faults={
        "weight_names": ("lam_kl accepted and ignored",),
        "loss_weights": ("all weights 0", "annealing in whole numbers multiplies every weight"),
        "zero_outputs": ("the decoder ends in a dead ReLU",),
        "nan_gradients": ("the log-variance overflows",),
        "loss_outside_loop": ("step after the loop",),
    },
)
