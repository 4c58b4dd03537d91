"""A mixture of experts with one expert per sample: in many batches some expert sees nothing. A generator of metrics."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, blobs


class Experts(nn.Module):
    """``[B, 6] -> [B, 3]``; the gate is noisy in training and scales what the chosen expert says."""

    def __init__(self, width: int, count: int = 4, late_softmax: bool = False, probabilities: bool = False) -> None:
        super().__init__()
        self.router = nn.Linear(6, count, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, 3)) for _ in range(count)
        )
        self.late_softmax, self.probabilities = late_softmax, probabilities

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.router(x)
        if self.training:
            scores = scores + 0.5 * torch.randn_like(scores)
        if self.late_softmax:
            top, chosen = scores.topk(1, dim=-1)
            return top.softmax(dim=-1), chosen.squeeze(-1)
        top, chosen = scores.softmax(dim=-1).topk(1, dim=-1)
        return top, chosen.squeeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        gate, chosen = self.route(x)
        out = x.new_zeros(len(x), 3)
        for i, expert in enumerate(self.experts):
            (rows,) = torch.where(chosen == i)
            if len(rows):
                out = out.index_add(0, rows, gate[rows] * expert(x[rows]))
        return out.softmax(dim=-1) if self.probabilities else out


def _make(s: Setting, variant: str) -> Case:
    x_train, y_train, x_val, y_val = blobs(s)
    late, probabilities = variant == "softmax behind the selection of one", variant == "the mixture is normalised"
    model = Experts(s.width, late_softmax=late, probabilities=probabilities)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.006 * s.lr)
    keep = variant == "gradients set to 0 instead of None"

    def epoch_of_training() -> Iterator[float]:
        for x, y in batches(s, x_train, y_train):
            optimizer.zero_grad(set_to_none=not keep)
            loss = F.cross_entropy(model(x), y, label_smoothing=0.02 if keep else 0.0)
            loss.backward()
            optimizer.step()
            yield loss.item()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            train = list(epoch_of_training())
            model.eval()
            with torch.no_grad():
                console.line(epoch, sum(train) / len(train), F.cross_entropy(model(x_val), y_val).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "experts",
    _make,
    healthy=(AS_INTENDED, "gradients set to 0 instead of None"),
    faults={
        "dead_branch": ("softmax behind the selection of one",),
        "double_activation": ("the mixture is normalised",),
    },
)
