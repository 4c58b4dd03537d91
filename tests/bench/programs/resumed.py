"""Training goes on from a checkpoint that has all but solved the task: losses of 1e-6 and below. SGD, mean over the batches."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import HELD_OUT, batches


def _make(s: Setting, variant: str) -> Case:
    truth = torch.randn(1, s.width)
    x = torch.randn(HELD_OUT + 8 * s.batch, s.width)
    y = x @ truth.T + 0.5
    checkpoint = {"weight": truth + 2e-3 * torch.randn_like(truth), "bias": torch.full((1,), 0.501)}
    model, criterion = nn.Linear(s.width, 1), nn.MSELoss()
    model.load_state_dict(checkpoint)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02 * s.lr, momentum=0.5)
    scheduler = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=50)
    if variant == "the checkpoint's schedule is at its end":
        scheduler.load_state_dict({**scheduler.state_dict(), "last_epoch": 50})
        optimizer.param_groups[0]["lr"] = 0.0

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            values = []
            for inputs, target in batches(s, x[HELD_OUT:], y[HELD_OUT:]):
                loss = criterion(model(inputs), target)
                loss.backward()
                if variant == "set_to_none in front of the step":
                    optimizer.zero_grad(set_to_none=True)
                optimizer.step()
                optimizer.zero_grad()
                values.append(loss.item())
            scheduler.step()
            train = sum(values) / len(values)
            if variant == "printed with two decimals":
                train = float(f"{train:.2f}")
            if variant == "the checkpoint is evaluated":
                kept = {name: value.clone() for name, value in model.state_dict().items()}
                model.load_state_dict(checkpoint)
            model.eval()
            with torch.no_grad():
                console.line(epoch, train, criterion(model(x[:HELD_OUT]), y[:HELD_OUT]).item())
            if variant == "the checkpoint is evaluated":
                model.load_state_dict(kept)
        return console.shown

    return Case(fit, model=model, loss=criterion)


PROGRAMS = family(
    "resumed",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "zero_learning_rate": ("the checkpoint's schedule is at its end",),
        "gradients_cleared": ("set_to_none in front of the step",),
        "wrong_number": ("printed with two decimals",),
        "stale_validation": ("the checkpoint is evaluated",),
    },
)
