"""An exponential average of the weights is evaluated; a smoothed train loss is displayed. AdamW with polynomial decay."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import PolynomialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, surface


def _make(s: Setting, variant: str) -> Case:
    data = surface(s, batches=10)
    model = mlp(2, s.width, 1)
    decay = 1.0 if variant == "a decay of 1" else 0.8
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01 * s.lr)
    length = 1 if variant == "total_iters of the decay is 1" else 10 * s.epochs
    scheduler = PolynomialLR(optimizer, total_iters=length, power=0.9)

    def fit() -> Displayed:
        average.update_parameters(model)  # the first call copies
        console, smooth = Console(), 0.0
        for epoch in range(1, s.epochs + 1):
            model.train()
            total = steps = 0.0
            for x, y in batches(s, data.x, data.y):
                optimizer.zero_grad()
                loss = F.smooth_l1_loss(model(x), y)
                loss.backward()
                optimizer.step()
                scheduler.step()
                if variant != "the update is not called":
                    average.update_parameters(model)
                smooth = 0.999 * smooth + 0.001 * loss.item()
                total, steps = total + loss.item(), steps + 1
            shown = smooth if variant == "smoothed from 0 without correction" else total / steps
            average.eval()
            with torch.no_grad():
                console.line(epoch, shown, F.smooth_l1_loss(average(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "averaged",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "stale_validation": ("the update is not called", "a decay of 1"),
        "zero_learning_rate": ("total_iters of the decay is 1",),
        "wrong_number": ("smoothed from 0 without correction",),
    },
)
