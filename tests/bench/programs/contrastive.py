"""Two views, two forwards, InfoNCE, a momentum encoder on the side; Adam, mean over the batches."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.models import dead_relu, mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import views


class InfoNCE(nn.Module):
    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        logits = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).T / 0.2
        return F.cross_entropy(logits, torch.arange(len(logits)))


def _make(s: Setting, variant: str) -> Case:
    data = views(s)
    model, criterion = mlp(10, s.width, 8, nn.ReLU), InfoNCE()
    if variant == "the projection ends in a dead ReLU":
        model[4] = dead_relu(model[4])
    momentum = copy.deepcopy(model)
    trained = momentum if variant == "the momentum encoder in the optimizer" else model
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.01 * s.lr)
    single = variant == "a batch of one"
    pairs = TensorDataset(data.x[: 4 * s.batch], data.y[: 4 * s.batch]) if single else TensorDataset(data.x, data.y)
    loader = DataLoader(pairs, batch_size=1 if single else s.batch, shuffle=True, drop_last=True)
    moco = variant in ("keys of a momentum encoder", "the momentum encoder in the optimizer")

    def contrast(first: Tensor, second: Tensor) -> Tensor:
        if variant == "both views under no_grad":
            with torch.no_grad():
                query, key = model(first), model(second)
            return criterion(query, key)
        if moco:
            with torch.no_grad():
                keys = momentum(first), momentum(second)
            return (criterion(model(first), keys[1]) + criterion(model(second), keys[0])) / 2
        return criterion(model(first), model(second))

    @torch.no_grad()
    def follow() -> None:
        if moco and trained is model:
            for slow, fast in zip(momentum.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.5)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            values = []
            for first, second in loader:
                loss = contrast(first, second)
                if not loss.requires_grad:
                    loss.requires_grad_()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                follow()
                values.append(loss.item())
            model.eval()
            with torch.no_grad():
                console.line(epoch, sum(values) / len(values), criterion(model(data.x_val), model(data.y_val)).item())
        return console.shown

    return Case(fit, model=model, loss=criterion)


PROGRAMS = family(
    "contrastive",
    _make,
    healthy=(AS_INTENDED, "keys of a momentum encoder"),
    faults={
        "constant_by_design": ("a batch of one",),
        "graph_cut": ("both views under no_grad",),
        "parameters_not_trained": ("the momentum encoder in the optimizer",),
        "zero_outputs": ("the projection ends in a dead ReLU",),
    },
)
