"""Mixed precision with a GradScaler on the CPU; regression, Adam, the mean over the batches."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, surface

SCALES = {
    "overflow in every step": 2.0**110,
    "a new scaler for every batch": 2.0**40,
    "the first steps are skipped": 2.0**22,
    "infinite gradients replaced by 0": 2.0**40,
}


def _make(s: Setting, variant: str) -> Case:
    data = surface(s)
    model, criterion = mlp(2, s.width, 1), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.006 * s.lr)
    steps = s.epochs * 8
    whole = variant == "whole-number factor of the schedule"
    scheduler = LambdaLR(optimizer, lambda step: step // (steps + 1) if whole else 1.0)
    half = torch.bfloat16 if variant == "bfloat16" else torch.float16
    scaled = variant not in ("infinite gradients replaced by 0", "bfloat16")

    def new_scaler() -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cpu", init_scale=SCALES.get(variant, 128.0), growth_interval=1000, enabled=scaled)

    def fit() -> Displayed:
        console, scaler = Console(), new_scaler()
        for epoch in range(1, s.epochs + 1):
            model.train()
            values = []
            for x, y in batches(s, data.x, data.y):
                if variant == "a new scaler for every batch":
                    scaler = new_scaler()
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=half):
                    loss = criterion(model(x), y)
                if variant == "infinite gradients replaced by 0":
                    (loss * SCALES[variant]).backward()
                    for parameter in model.parameters():
                        grad = parameter.grad.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) / SCALES[variant]
                        parameter.grad = grad
                else:
                    scaler.scale(loss).backward()
                    scaler.unscale_(optimizer)
                if variant == "zeroed between unscale_ and step":
                    optimizer.zero_grad(set_to_none=False)
                scaler.step(optimizer)
                scaler.update()
                if whole:
                    scheduler.step()
                values.append(loss.item() / scaler.get_scale() if variant == "divided by the scale" else loss.item())
            model.eval()
            with torch.no_grad():
                console.line(epoch, sum(values) / len(values), criterion(model(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "amp",
    _make,
    healthy=(AS_INTENDED, "the first steps are skipped", "bfloat16"),
    faults={
        "steps_skipped": ("overflow in every step", "a new scaler for every batch"),
        "zero_learning_rate": ("whole-number factor of the schedule",),
        "gradients_cleared": ("zeroed between unscale_ and step",),
        "wrong_number": ("divided by the scale",),
        "nan_gradients": ("infinite gradients replaced by 0",),
    },
)
