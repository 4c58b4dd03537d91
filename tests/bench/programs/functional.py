"""No optimizer: weights in a dict, functional_call, p -= rate * g; predictions are kept near those of the start."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, surface

Weights = dict[str, Tensor]


def copied(weights: Weights) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}


def _make(s: Setting, variant: str) -> Case:
    data = surface(s)
    skeleton = mlp(2, s.width, 1)
    weights = {name: value.requires_grad_() for name, value in copied(dict(skeleton.named_parameters())).items()}
    anchor = dict(weights) if variant == "a shallow copy of the dict" else copied(weights)
    by_backward = variant in ("backward, then grad = None", "backward, grad is left")
    rate, nearness = (0.1 if by_backward else 0.15) * s.lr, 0.02

    def objective(x: Tensor, y: Tensor) -> Tensor:
        prediction = functional_call(skeleton, weights, (x,))
        with torch.no_grad():
            earlier = functional_call(skeleton, anchor, (x,))
        return (prediction - y).square().mean() + nearness * (prediction - earlier).square().mean()

    def gradients(loss: Tensor) -> tuple[Tensor, ...]:
        if not by_backward:
            return torch.autograd.grad(loss, tuple(weights.values()))
        loss.backward()
        return tuple(p.grad for p in weights.values())

    @torch.no_grad()
    def descend(grads: tuple[Tensor, ...]) -> None:
        for p, g in zip(weights.values(), grads, strict=True):
            if variant == "p = p - rate * g":
                p = p - rate * g
            else:
                p -= rate * g
            if variant == "backward, then grad = None":
                p.grad = None

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            losses = []
            for x, y in batches(s, data.x, data.y):
                loss = objective(x, y)
                descend(gradients(loss))
                losses.append(loss.detach())
            with torch.no_grad():
                val = (functional_call(skeleton, weights, (data.x_val,)) - data.y_val).square().mean()
            console.line(epoch, torch.stack(losses).mean().item(), val.item())
        return console.shown

    return Case(fit)


PROGRAMS = family(
    "functional",
    _make,
    healthy=(AS_INTENDED, "backward, then grad = None"),
    faults={
        "gradients_not_cleared": ("backward, grad is left",),
        "reference_is_policy": ("a shallow copy of the dict",),
        "parameters_not_trained": ("p = p - rate * g",),
    },
)
