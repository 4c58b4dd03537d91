"""Born again: a student of its own architecture learns from a trained teacher where that one is sure; weights in a dict."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.models import ConvNet
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import images

CFG = {"temperature": 2.0, "sure": 0.45, "weights": {"hard": 0.5, "soft": 0.5}}


def pretrain(net: nn.Module, x: Tensor, y: Tensor) -> nn.Module:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return net


def kd_losses(cfg: dict, logits: Tensor, aim: Tensor, label: Tensor) -> dict[str, Tensor]:
    T = cfg["temperature"]
    sure = aim.softmax(-1).amax(-1) > cfg["sure"]
    kl = F.kl_div((logits / T).log_softmax(-1), (aim / T).log_softmax(-1), reduction="none", log_target=True).sum(-1)
    return {"hard": F.cross_entropy(logits, label), "soft": T**2 * (kl * sure).sum() / len(label)}


def _make(s: Setting, variant: str) -> Case:
    x, y, x_val, y_val = images(s)
    factory: Callable[[int], nn.Module] = ConvNet
    if variant == "the factory is cached":
        factory = cache(ConvNet)
    cfg = {**CFG, "sure": 45.0} if variant == "the threshold in percent" else CFG
    teacher = pretrain(factory(s.width), x, y)
    student = factory(s.width)
    loader = DataLoader(TensorDataset(x, y), batch_size=s.batch, shuffle=True)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05 * s.lr, momentum=0.8, nesterov=True)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            logged = 0.0
            for image, label in loader:
                with torch.no_grad():
                    aim = teacher(image)
                parts = kd_losses(cfg, student(image), aim, label)
                loss = sum(cfg["weights"][name] * part for name, part in parts.items())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                logged += loss.item() * len(label)
            with torch.no_grad():
                console.line(epoch, logged / len(x), F.cross_entropy(student(x_val), y_val).item())
        return console.shown

    return Case(fit, model=student)


PROGRAMS = family(
    "distilled",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "reference_is_policy": ("the factory is cached",),
        "term_always_zero": ("the threshold in percent",),
    },
)
