"""Training loops as people write them, small enough to count by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLES, BATCH = 24, 8
BATCHES = SAMPLES // BATCH


def data(seed: int = 0, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SAMPLES, 4, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long() * (classes > 2)


def mlp(seed: int = 0, out: int = 3, dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, out))


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(*(part.split(BATCH) for part in data()), strict=True)


class TwoTerms(nn.Module):
    """A weighted sum that offers its terms."""

    expects = ("logits",)

    def __init__(self, lam_fit: float = 1.0, lam_size: float = 0.1) -> None:
        super().__init__()
        self.lam_fit, self.lam_size = lam_fit, lam_size

    def components(self, prediction, target):
        return {"fit": F.cross_entropy(prediction, target), "size": prediction.square().mean()}

    def forward(self, prediction, target):
        terms = self.components(prediction, target)
        return self.lam_fit * terms["fit"] + self.lam_size * terms["size"]


class PlainSum(nn.Module):
    """The same sum without an offer."""

    def __init__(self, lam_fit: float = 1.0, lam_size: float = 0.1) -> None:
        super().__init__()
        self.lam_fit, self.lam_size = lam_fit, lam_size

    def forward(self, prediction, target):
        return self.lam_fit * F.cross_entropy(prediction, target) + self.lam_size * prediction.square().mean()


@dataclass
class Job:
    """A training that can be run, watched or not, from the same start."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: nn.Module = field(default_factory=nn.CrossEntropyLoss)
    epochs: int = 2
    shown: list[float] = field(default_factory=list)

    def evaluate(self, model: nn.Module | None = None) -> float:
        model = self.model if model is None else model
        model.eval()
        with torch.no_grad():
            return self.loss(model(data()[0]), data()[1]).item()

    def plain(self) -> None:
        for _ in range(self.epochs):
            self.model.train()
            for x, y in batches():
                self.optimizer.zero_grad()
                value = self.loss(self.model(x), y)
                value.backward()
                self.optimizer.step()
                self.shown.append(value.item())
            self.evaluate()

    def accumulating(self) -> None:
        for _ in range(self.epochs):
            self.model.train()
            self.optimizer.zero_grad()
            for x, y in batches():
                (self.loss(self.model(x), y) / BATCHES).backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 0.01)
            self.optimizer.step()
            self.evaluate()

    def closure(self) -> None:
        x, y = data()

        def again() -> Tensor:
            self.optimizer.zero_grad()
            value = self.loss(self.model(x), y)
            value.backward()
            return value

        for _ in range(self.epochs):
            self.model.train()
            self.optimizer.step(again)
            self.evaluate()

    def scaled(self) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for _ in range(self.epochs):
            self.model.train()
            for x, y in batches():
                self.optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    value = self.loss(self.model(x), y)
                scaler.scale(value).backward()
                scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                scaler.step(self.optimizer)
                scaler.update()
            self.evaluate()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def lbfgs(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)


def job(make: Callable[[nn.Module], torch.optim.Optimizer] = sgd, **options) -> Job:
    model = mlp(dropout=options.pop("dropout", 0.0))
    return Job(model, make(model), **options)
