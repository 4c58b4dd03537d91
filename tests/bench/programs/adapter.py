"""Low-rank adapters on a frozen network; B starts at exactly 0. AdamW, displays the last batch."""

from __future__ import annotations

import copy
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import blobs


class LoRA(nn.Module):
    """``W x + B A x`` with W frozen."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.T @ self.B.T


class Adapted(nn.Module):
    def __init__(self, base: nn.Sequential, reentrant: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(LoRA(base[0]), nn.Tanh(), LoRA(base[2]), nn.Tanh())
        self.head = copy.deepcopy(base[4])
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant and self.training:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "None of the inputs have requires_grad=True", unread
                return self.head(checkpoint(self.body, x, use_reentrant=True))
        return self.head(self.body(x))


def _make(s: Setting, variant: str) -> Case:
    data = blobs(s)
    base = mlp(6, s.width, 3)
    optimizer = torch.optim.AdamW(base.parameters(), lr=0.01 * s.lr)
    model = Adapted(base, reentrant=variant == "reentrant checkpoint over frozen inputs")
    before_injection = variant == "optimizer built before the adapter was injected"
    if before_injection or variant == "the head stays frozen":
        model.head.requires_grad_(False)
    if not before_injection:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01 * s.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.0 if variant == "decay of 0 stepped at the start" else 1.0)
    loader = DataLoader(TensorDataset(data.x, data.y), batch_size=s.batch, shuffle=True)
    evaluated = base if variant == "the base model is evaluated" else model

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            if variant == "decay of 0 stepped at the start":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # "lr_scheduler.step() before optimizer.step()"
                    scheduler.step()
            for x, y in loader:
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                if variant == "zero_grad as a callback on_before_step":
                    model.zero_grad()
                optimizer.step()
                model.zero_grad()
            evaluated.eval()
            with torch.no_grad():
                console.line(epoch, loss.item(), F.cross_entropy(evaluated(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "adapter",
    _make,
    healthy=(AS_INTENDED, "the head stays frozen"),
    faults={
        "parameters_not_trained": ("optimizer built before the adapter was injected",),
        "graph_cut": ("reentrant checkpoint over frozen inputs",),
        "zero_learning_rate": ("decay of 0 stepped at the start",),
        "gradients_cleared": ("zero_grad as a callback on_before_step",),
        "stale_validation": ("the base model is evaluated",),
    },
)
