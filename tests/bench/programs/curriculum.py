"""A mean teacher: agreement on unlabelled samples has weight 0 at first and ramps up afterwards, all in local variables."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, blobs

UNLABELLED = -1


class Agreement(nn.Module):
    """Squared distance of the probabilities of the chosen rows, 0 without any."""

    def forward(self, student: Tensor, teacher: Tensor, chosen: Tensor) -> Tensor:
        distance = (student.softmax(-1) - teacher.softmax(-1)).square().sum(-1)
        return (distance * chosen).sum() / max(int(chosen.sum()), 1)


def _make(s: Setting, variant: str) -> Case:
    data = blobs(s, batches=10)
    labels = data.y.clone()
    labels[1::2] = UNLABELLED
    student = mlp(6, s.width, 3, nn.ELU)
    teacher = student if variant == "the copy is not made" else copy.deepcopy(student).requires_grad_(False)
    agreement = Agreement()
    optimizer = torch.optim.RAdam(student.parameters(), lr=0.008 * s.lr)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            w_agree = 0.0 if epoch <= 2 else 2.0 * min(1.0, (epoch - 2) / 2)
            sums = n = 0
            for x, label in batches(s, data.x, labels):
                logits = student(x)
                with torch.no_grad():
                    aim = teacher(x)
                supervised = F.cross_entropy(logits, label, ignore_index=UNLABELLED, reduction="sum") / len(x)
                unlabelled = label == (255 if variant == "another code for unlabelled" else UNLABELLED)
                loss = supervised + w_agree * agreement(logits, aim, unlabelled)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if teacher is not student:
                    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                        slow.mul_(0.9).add_(fast.detach(), alpha=0.1)
                sums, n = sums + loss.item(), n + 1
            with torch.no_grad():
                console.line(epoch, sums / n, F.cross_entropy(student(data.x_val), data.y_val).item())
        return console.shown

    return Case(fit, model=student)


PROGRAMS = family(
    "curriculum",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "reference_is_policy": ("the copy is not made",),
        "term_always_zero": ("another code for unlabelled",),
    },
)
