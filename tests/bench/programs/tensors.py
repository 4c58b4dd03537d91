"""No module at all: a factorisation of two bare tensors with Adagrad."""

from __future__ import annotations

import torch

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family


def _make(s: Setting, variant: str) -> Case:
    rows, columns, rank = 4 * s.batch, 12, 3
    truth = torch.randn(rows, rank) @ torch.randn(rank, columns)
    known = torch.rand(rows, columns) < 0.8
    seen = known & False if variant == "nothing is observed" else known
    U, V = (0.5 * torch.randn(n, s.width // 4, requires_grad=True) for n in (rows, columns))
    U, V = (t.detach().requires_grad_() for t in (U, V))
    optimizer = torch.optim.Adagrad([U, V], lr=0.2 * s.lr)
    if variant == "rescaled after the optimizer was built":
        U, V = (0.1 * U).detach().requires_grad_(), (0.1 * V).detach().requires_grad_()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            for _ in range(10):
                difference = U @ V.T - truth
                loss = (difference.square() * seen).sum() / seen.sum().clamp(min=1)
                shown = loss.item()
                if variant == "a surrogate whose value is 1":
                    push = (2 * difference * seen / seen.sum()).detach()
                    loss = (push * (U @ V.T)).sum()
                    loss = loss - loss.detach() + 1.0
                    shown = loss.item()
                optimizer.zero_grad()
                loss.backward()
                if variant == "grad.zero_() before the step":
                    U.grad.zero_(), V.grad.zero_()
                if variant != "the step is commented out":
                    optimizer.step()
            with torch.no_grad():
                hidden = (U @ V.T - truth).square()[~known].mean()
            console.line(epoch, shown, hidden.item())
        return console.shown

    return Case(fit)


PROGRAMS = family(
    "tensors",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "empty_targets": ("nothing is observed",),
        "constant_by_design": ("a surrogate whose value is 1",),
        "gradients_cleared": ("grad.zero_() before the step",),
        "parameters_not_trained": ("rescaled after the optimizer was built",),
        "steps_skipped": ("the step is commented out",),
    },
)
