"""Gradient accumulation over micro-batches with a small CNN; displays the sum over the epoch."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from tests.bench.programs.models import ConvNet
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import images


def _make(s: Setting, variant: str) -> Case:
    data = images(s)
    dataset = TensorDataset(data.x, data.y)
    if variant == "an empty subset":
        dataset = Subset(dataset, [i for i in range(len(dataset)) if i < 0])
    loader = DataLoader(dataset, batch_size=s.batch)
    model, criterion = ConvNet(s.width), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02 * s.lr)
    accumulate = 4 * len(loader) if variant == "accumulation longer than the epoch" else 2

    def due(i: int) -> bool:
        if variant == "remainder never reached":
            return i % accumulate == accumulate
        return (i + 1) % accumulate == 0

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            total = 0.0
            optimizer.zero_grad()
            for i, (x, y) in enumerate(loader):
                loss = criterion(model(x), y)
                if variant == "reset in the batch loop":
                    total = 0.0
                (loss / accumulate).backward()
                if variant == "step once an epoch":
                    total += loss.item()
                    continue
                if variant == "summed on steps only, divided by all batches":
                    total += loss.item() / accumulate if due(i) else 0.0
                else:
                    total += loss.item()
                if variant == "zero_grad in front of the step" and due(i):
                    optimizer.zero_grad()
                if due(i):
                    optimizer.step()
                    optimizer.zero_grad()
            if variant == "step once an epoch":
                optimizer.step()
            averaged = ("reset in the batch loop", "summed on steps only, divided by all batches")
            shown = total / len(loader) if variant in averaged else total
            model.eval()
            with torch.no_grad():
                console.line(epoch, shown, criterion(model(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=model, loss=criterion)


PROGRAMS = family(
    "accumulation",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "no_batches": ("an empty subset",),
        "steps_skipped": ("accumulation longer than the epoch", "remainder never reached"),
        "loss_outside_loop": ("step once an epoch",),
        "gradients_cleared": ("zero_grad in front of the step",),
        "wrong_number": ("reset in the batch loop", "summed on steps only, divided by all batches"),
    },
)
