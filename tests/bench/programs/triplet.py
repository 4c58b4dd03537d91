"""Triplets with a margin and semi-hard ones on top, by a callback-driven runner: batches without a violation have loss 0."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, blobs


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(-1)


class Runner:
    """Calls ``loss_of`` for each batch and everything in ``on_epoch_end`` behind an epoch."""

    def __init__(self, net: nn.Module, loss_of: Callable[..., Tensor], rate: float) -> None:
        self.net, self.loss_of, self.history = net, loss_of, []
        self.optimizer = torch.optim.Adam(net.parameters(), lr=rate)
        self.on_epoch_end: list[Callable[[int], None]] = []

    def run(self, epochs: int, epoch_of: Callable[[], list[tuple[Tensor, ...]]]) -> None:
        for epoch in range(1, epochs + 1):
            self.history = []
            for batch in epoch_of():
                self.optimizer.zero_grad()
                loss = self.loss_of(*batch)
                loss.backward()
                self.optimizer.step()
                self.history.append(loss.item())
            for callback in self.on_epoch_end:
                callback(epoch)


def _make(s: Setting, variant: str) -> Case:
    data, margin = blobs(s), 0.5
    net = mlp(6, s.width, 4)
    sign = 1.0 if variant == "plus the distance of the negative" else -1.0
    slack = 0.0 if variant == "semi-hard without the margin" else margin

    def terms(x: Tensor, y: Tensor) -> Tensor:
        """The triplets of neighbours in the batch: i, any of its class, any of another."""
        z = net(x)
        same = y[:, None] == y[None, :]
        near, far = distance(z[:, None], z[None, :])[:, :, None], distance(z[:, None], z[None, :])[:, None, :]
        valid = same[:, :, None] & ~same[:, None, :]
        violation = (near + sign * far + margin).relu()
        semi = valid & (far > near) & (far < near + slack)
        hinge = (violation * valid).sum() / valid.sum().clamp(min=1)
        return torch.stack([hinge, (violation * semi).sum() / semi.sum().clamp(min=1)])

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return terms(x + 0.5 * torch.randn_like(x), y) @ torch.tensor([1.0, 0.5])

    def fit() -> Displayed:
        console, runner = Console(), Runner(net, loss_of, rate=0.003 * s.lr)

        @torch.no_grad()
        def report(epoch: int) -> None:
            val = terms(data.x_val, data.y_val)[0].item()
            console.line(epoch, sum(runner.history) / len(runner.history), val)

        runner.on_epoch_end.append(report)
        repeats = 6 if variant == "plus the distance of the negative" else 1
        runner.run(s.epochs, lambda: [b for _ in range(repeats) for b in batches(s, data.x, data.y)])
        return console.shown

    return Case(fit, model=net)


PROGRAMS = family(
    "triplet",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "collapse": ("plus the distance of the negative",),
        "term_always_zero": ("semi-hard without the margin",),
    },
)
