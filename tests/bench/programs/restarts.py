"""Cosine annealing with warm restarts, stepped by fractions of an epoch: the rate is all but 0 at the end of each cycle."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.data import BatchSampler, RandomSampler

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import images


class Classifier(nn.Module):
    def __init__(self, width: int, probabilities: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width // 2, kernel_size=4, stride=2)
        self.pool = nn.AdaptiveMaxPool2d(2)
        self.out = nn.Linear(2 * width, 3)
        self.final = nn.Softmax(dim=-1) if probabilities else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        h = self.pool(self.stem(image).relu()).flatten(start_dim=1)
        return self.final(self.out(h))


def _make(s: Setting, variant: str) -> Case:
    x, y, x_val, y_val = images(s)
    net = Classifier(s.width, probabilities=variant == "Softmax in the network and cross entropy")
    objective = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.12 * s.lr, momentum=0.6, weight_decay=1e-4)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=1)
    sampler = BatchSampler(RandomSampler(range(len(x))), batch_size=s.batch, drop_last=False)

    def cycle(epoch: int) -> float:
        total = torch.zeros(())
        for position, rows in enumerate(sampler):
            loss = objective(net(x[rows]), y[rows])
            if variant == "the line with zero_grad fell victim to a merge":
                loss.backward()
            else:
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
            optimizer.step()
            scheduler.step(epoch - 1 + (position + 1) / len(sampler) - 1e-3)
            total += loss.detach()
        return (total / len(sampler)).item()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            net.train()
            train = cycle(epoch)
            net.eval()
            with torch.no_grad():
                console.line(epoch, train, objective(net(x_val), y_val).item())
        return console.shown

    return Case(fit, model=net, loss=objective)


PROGRAMS = family(
    "restarts",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "double_activation": ("Softmax in the network and cross entropy",),
        "gradients_not_cleared": ("the line with zero_grad fell victim to a merge",),
    },
)
