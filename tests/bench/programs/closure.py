"""LBFGS with a closure on the full data; displays the last value of the closure."""

from __future__ import annotations

import copy

import torch

from tests.bench.programs.losses import FieldLoss
from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import surface


def _make(s: Setting, variant: str) -> Case:
    data = surface(s, batches=4)
    model = mlp(2, s.width, 1)
    asked = {"lam_value": 1.0, "lam_mean": 0.3, "lam_size": 0.001}
    if variant == "all weights 0":
        asked = dict.fromkeys(asked, 0.0)
    loss = FieldLoss(**asked)
    trained = copy.deepcopy(model) if variant == "a copy in the optimizer" else model
    rate = 0.0 if variant == "lr 0" else min(0.5 * s.lr, 1.0)
    search = "strong_wolfe" if rate > 0 else None
    optimizer = torch.optim.LBFGS(trained.parameters(), lr=rate, max_iter=4, line_search_fn=search)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        if variant == "forward under no_grad":
            with torch.no_grad():
                y_hat = model(data.x)
            value = loss(y_hat, data.y).requires_grad_()
        else:
            value = loss(model(data.x), data.y)
        value.backward()
        if variant == "zero_grad after backward":
            optimizer.zero_grad(set_to_none=False)
        return value

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            for _ in range(3):
                called = variant == "the closure is called, the optimizer is not"
                value = closure() if called else optimizer.step(closure)
            if variant == "difference of the same value":
                shown = (value - value.detach()).item()
            else:
                shown = value.item()
            model.eval()
            with torch.no_grad():
                console.line(epoch, shown, loss(model(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=model, loss=loss, weights=asked)


PROGRAMS = family(
    "closure",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "steps_skipped": ("the closure is called, the optimizer is not",),
        "zero_learning_rate": ("lr 0",),
        "gradients_cleared": ("zero_grad after backward",),
        "parameters_not_trained": ("a copy in the optimizer",),
        "graph_cut": ("forward under no_grad",),
        "loss_weights": ("all weights 0",),
        "wrong_number": ("difference of the same value",),
    },
)
