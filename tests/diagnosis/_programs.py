"""Small programs with the usual mistakes, watched: a variational autoencoder that knows nothing of the kit."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

import kit

EPOCHS, BATCHES = 3, 8


class Loss(nn.Module):
    def __init__(self, lam_rec: float = 1.0, lam_kl: float = 0.1) -> None:
        super().__init__()
        self.lam_rec, self.lam_kl = lam_rec, lam_kl

    def components(self, prediction, target):
        output, mean, log_variance = prediction
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
        return {"rec": ((output - target) ** 2).mean(), "kl": divergence.mean()}

    def forward(self, prediction, target):
        terms = self.components(prediction, target)
        return self.lam_rec * terms["rec"] + self.lam_kl * terms["kl"]


def zeroed(parameters) -> None:
    for parameter in parameters:
        parameter.grad.zero_()


def removed(parameters) -> None:
    for parameter in parameters:
        parameter.grad = None


def clipped_to_a_norm_of_0(parameters) -> None:
    nn.utils.clip_grad_norm_(parameters, 1 // 2)


def clipped_to_values_of_0(parameters) -> None:
    nn.utils.clip_grad_value_(parameters, 0.0)


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 6), nn.Linear(3, 8)

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, -1)
        return self.decoder(mean + torch.randn_like(mean) * (log_variance / 2).exp()), mean, log_variance


class Program:
    """A plain loop; each mistake is a keyword."""

    def __init__(self, lr: float = 1e-2, loss: nn.Module | Callable | None = None) -> None:
        torch.manual_seed(0)
        self.model, self.loss = Vae(), loss or Loss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        self.batches = [torch.randn(16, 8) for _ in range(BATCHES)]
        self.held_out = torch.randn(32, 8)

    def fit(self, *, cleared=None, empty=False, added=True, poison=False, backward=True):
        shown = {"train_loss": [], "val_loss": []}
        for _ in range(EPOCHS):
            self.model.train()
            total = 0.0
            for x in () if empty else self.batches:
                self.optimizer.zero_grad()
                loss = self.loss(self.model(x), x)
                if poison:
                    loss.register_hook(lambda gradient: gradient * math.nan)
                if not backward:
                    continue
                loss.backward()
                if cleared is not None:
                    cleared(self.model.parameters())
                if not poison:
                    self.optimizer.step()
                total += loss.item() * added
            shown["train_loss"].append(total / BATCHES)
            self.model.eval()
            with torch.no_grad():
                torch.manual_seed(3)
                shown["val_loss"].append(self.loss(self.model(self.held_out), self.held_out).item())
        return shown


def watched(program: Program, *, model=None, log=True, **mistakes) -> kit.Trace:
    weights = mistakes.pop("weights", None)
    with kit.watch(model or program.model, loss=program.loss, weights=weights) as run:
        shown = program.fit(**mistakes)
    if log:
        run.log(**shown)
    return run.trace
