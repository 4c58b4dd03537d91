"""Several yes-or-no labels of which most are missing: in some batches a task has none, which then counts 0."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import Annotated, annotated, batches

TASKS = ("quality", "first", "wide")
WEIGHTS = torch.tensor([1.0, 0.7, 0.5])


class Assay(nn.Module):
    """``[B, 8]`` -> logits ``[B, 3]``; a context is let in by a gate that starts at 0."""

    def __init__(self, width: int, fixed_gate: bool = False) -> None:
        super().__init__()
        self.embed, self.out = nn.Linear(8, width), nn.Linear(width, len(TASKS))
        self.context = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        if fixed_gate:
            self.register_buffer("gate", torch.zeros(width))
        else:
            self.gate = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x).relu()
        return self.out(h + self.gate * self.context(h))


def table(data: Annotated) -> Tensor:
    return torch.stack([data.quality, (data.label == 0).float(), (data.offset.norm(dim=-1) > 1.5).float()], dim=-1)


def masked(logits: Tensor, y: Tensor) -> Tensor:
    """Of each task the mean over what is known, 0 without any."""
    known = ~y.isnan()
    each = F.binary_cross_entropy_with_logits(logits, torch.where(known, y, 0.0), reduction="none")
    return (each * known).sum(0) / known.sum(0).clamp(min=1)


def selected(logits: Tensor, y: Tensor) -> Tensor:
    """The same by selection, NaN without any."""
    columns = zip(logits.unbind(-1), y.unbind(-1), strict=True)
    return torch.stack([F.binary_cross_entropy_with_logits(p[~t.isnan()], t[~t.isnan()]) for p, t in columns])


def _make(s: Setting, variant: str) -> Case:
    data, val = annotated(s, batches=10)
    y, y_val = table(data), table(val)
    rare = 0.1 if variant == "rarer labels, nan_to_num on each term" else 0.2
    y[torch.rand(len(y), 3) > torch.tensor([0.9, 0.6, rare])] = torch.nan
    together = variant == "one task without labels, nan_to_num on the sum"
    if together or variant == "the third table is joined on another key":
        y[:, 2] = torch.nan
    model = Assay(s.width, fixed_gate=variant == "the gate is a buffer")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.012 * s.lr, weight_decay=0.0)

    def total(logits: Tensor, target: Tensor) -> Tensor:
        if together:
            return (WEIGHTS * selected(logits, target)).sum().nan_to_num(0.0)
        if variant == "rarer labels, nan_to_num on each term":
            return WEIGHTS @ selected(logits, target).nan_to_num(0.0)
        return WEIGHTS @ masked(logits, target)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            shown = []
            for x, target in batches(s, data.x, y):
                loss = total(model(x), target)
                model.zero_grad()
                loss.backward()
                optimizer.step()
                shown.append(loss.item())
            with torch.no_grad():
                console.line(epoch, sum(shown) / len(shown), total(model(val.x), y_val).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "partial",
    _make,
    healthy=(AS_INTENDED, "rarer labels, nan_to_num on each term"),
    faults={
        "term_always_zero": ("the third table is joined on another key",),
        "infinite_loss_zeroed": ("one task without labels, nan_to_num on the sum",),
        "dead_branch": ("the gate is a buffer",),
    },
)
