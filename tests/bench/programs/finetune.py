"""A frozen backbone with batch norm in eval mode and a new head; Adam, only the validation loss is displayed."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import images


class Pretrained(nn.Module):
    """``[B, 1, 8, 8] -> [B, 1000 classes, here 5]``; the head is to be replaced."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, width, 3, stride=2, padding=1), nn.BatchNorm2d(width)
        self.fc = nn.Linear(16 * width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))


class SoftTargetLoss(nn.Module):
    """Cross entropy with one-hot targets ``[B, classes]``."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return -(target * logits.log_softmax(-1)).sum(-1).mean()


def _make(s: Setting, variant: str) -> Case:
    data = images(s)
    model, criterion = Pretrained(s.width), nn.CrossEntropyLoss()
    y, y_val, classes = data.y, data.y_val, 3
    if variant == "softmax over one logit":
        y, y_val, classes = (y == 2).float()[:, None], (y_val == 2).float()[:, None], 1
        criterion = SoftTargetLoss()
    before = torch.optim.Adam(model.parameters(), lr=0.02 * s.lr)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = nn.Linear(16 * s.width, classes)
    optimizer = torch.optim.Adam(model.fc.parameters(), lr=0.02 * s.lr)
    if variant == "optimizer built before the head was replaced":
        optimizer = before
    if variant == "everything but batch norm frozen":
        model.requires_grad_(False)
        model.norm.requires_grad_(True)
    if variant == "the head's group has lr 0":
        optimizer = torch.optim.Adam(
            [{"params": model.conv.parameters()}, {"params": model.fc.parameters(), "lr": 0.0}], lr=0.02 * s.lr
        )
    if variant == "the backbone's weights are NaN":
        with torch.no_grad():
            model.conv.weight.fill_(math.nan)
    sampler = SubsetRandomSampler([] if variant == "the sampler has no indices" else range(len(y)))
    loader = DataLoader(TensorDataset(data.x, y), batch_size=s.batch, sampler=sampler)
    best = copy.deepcopy(model.state_dict())

    def readable(value: float) -> float:
        return value if math.isfinite(value) else 0.0

    @torch.no_grad()
    def validate() -> float:
        model.eval()
        return readable(criterion(model(data.x_val), y_val).item())

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            model.norm.eval()  # statistics of the checkpoint
            values = []
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()
                values.append(readable(loss.item()))
            train = None if variant == AS_INTENDED else sum(values) / max(len(values), 1)
            if variant == "the first weights are restored for validation":
                kept = copy.deepcopy(model.state_dict())
                model.load_state_dict(best)
                console.line(epoch, train, validate())
                model.load_state_dict(kept)
            else:
                console.line(epoch, train, validate())
        return console.shown

    return Case(fit, model=model, loss=criterion)


PROGRAMS = family(
    "finetune",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "no_batches": ("the sampler has no indices",),
        "zero_learning_rate": ("the head's group has lr 0",),
        "parameters_not_trained": ("optimizer built before the head was replaced", "everything but batch norm frozen"),
        "constant_by_design": ("softmax over one logit",),
        "nan_gradients": ("the backbone's weights are NaN",),
        "stale_validation": ("the first weights are restored for validation",),
    },
)
