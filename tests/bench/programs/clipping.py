"""Every step clips the norm; the embedding has a group of its own with rate 0 on purpose. Callbacks, a cooling rate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import annotated, batches

CONFIG = {"rate": 0.3, "max_norm": 0.7, "cooling": 0.9}


class Detector(nn.Module):
    """``[B, 8] -> [B]``, how likely the first class is."""

    def __init__(self, width: int, last: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Linear(8, width)
        self.top = nn.Sequential(nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, 1))
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.top(self.embedding(x))).squeeze(-1)


def loop(s: Setting, variant: str, detector: Detector, after_epoch: Callable[[int, float], None]) -> None:
    data, _ = annotated(s)
    bce, rate = nn.BCEWithLogitsLoss(), CONFIG["rate"] * s.lr
    groups = [{"params": detector.embedding.parameters(), "lr": 0.0}, {"params": detector.top.parameters(), "lr": rate}]
    optimizer = torch.optim.SGD(groups, lr=rate)
    rates = [group["lr"] for group in optimizer.param_groups]
    if variant == "the rate of the first group for all":
        rates = [optimizer.param_groups[0]["lr"]] * len(rates)
    max_norm = int(CONFIG["max_norm"]) if variant == "max_norm as a whole number" else CONFIG["max_norm"]

    epoch = 0
    while epoch < s.epochs:
        for group, own in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = own * CONFIG["cooling"] ** epoch
        total = count = 0
        for x, label in batches(s, data.x, data.label):
            loss = bce(detector(x), (label == 0).float())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(detector.parameters(), max_norm)
            optimizer.step()
            total, count = total + loss.item() * len(x), count + len(x)
        epoch += 1
        after_epoch(epoch, total / count)


def _make(s: Setting, variant: str) -> Case:
    detector = Detector(s.width, last=nn.Sigmoid() if variant == "sigmoid in front of the logits" else nn.Identity())

    def fit() -> Displayed:
        console, (_, val) = Console(), annotated(s)

        def report(epoch: int, train: float) -> None:
            with torch.no_grad():
                aim = (val.label == 0).float()
                error = nn.functional.binary_cross_entropy_with_logits(detector(val.x), aim)
            console.line(epoch, train, error.item())

        loop(s, variant, detector, report)
        return console.shown

    return Case(fit, model=detector)


PROGRAMS = family(
    "clipping",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "double_activation": ("sigmoid in front of the logits",),
        "zero_learning_rate": ("the rate of the first group for all",),
        "gradients_cleared": ("max_norm as a whole number",),
    },
)
