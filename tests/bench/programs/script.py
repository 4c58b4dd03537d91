"""One long main(): a student learns from a teacher, everything is built inside; AdamW, mean over the batches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, blobs


class Net(nn.Module):
    """``[B, 6]`` -> logits ``[B, 3]`` and, if asked, hidden ``[B, width]``."""

    def __init__(self, width: int, hidden_too: bool = True) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(6, width), nn.Tanh()), nn.Linear(width, 3)
        self.hidden_too = hidden_too

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.body(x)
        outputs = {"logits": self.head(hidden)}
        return {**outputs, "hidden": hidden} if self.hidden_too else outputs


class DistillationLoss(nn.Module):
    """Soft labels at temperature 2 and agreement of the hidden states."""

    expects = ("logits", "hidden")

    def __init__(self, lam_soft: float = 1.0, lam_hidden: float = 1.0) -> None:
        super().__init__()
        self.lam_soft, self.lam_hidden = lam_soft, lam_hidden
        self.shift = 0.0

    def forward(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        aim = (teacher["logits"] / 2).softmax(-1)
        soft = 4 * (aim * (aim.log() - ((student["logits"] / 2).softmax(-1) - self.shift).log())).sum(-1).mean()
        hidden = student.get("hidden")
        agreement = F.mse_loss(hidden, teacher["hidden"]) if hidden is not None else torch.tensor(0.0)
        return self.lam_soft * soft + self.lam_hidden * agreement


def main(s: Setting, variant: str) -> Displayed:
    data, console = blobs(s), Console()
    teacher = Net(s.width).requires_grad_(False).eval()
    teacher.head.weight *= 4
    student = Net(s.width, hidden_too=variant != "hidden states are not returned")
    loss_fn = DistillationLoss()
    if variant == "the search space holds zeros":
        loss_fn = DistillationLoss(lam_soft=0.0, lam_hidden=0.0)
    if variant == "logarithm of a negative number, nan_to_num on the loss":
        loss_fn.shift = 1.0
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.02 * s.lr, weight_decay=0.0)
    for epoch in range(1, s.epochs + 1):
        student.train()
        losses = []
        for x, _ in batches(s, data.x, data.y):
            with torch.no_grad():
                aim = teacher(x)
            outputs = student(x)
            if variant == "hidden states compared under detach":
                outputs = {"logits": outputs["logits"].detach(), "hidden": outputs["hidden"]}
            loss = loss_fn(outputs, aim)
            if variant == "logarithm of a negative number, nan_to_num on the loss":
                loss = loss.nan_to_num(0.0)
            losses.append(loss)
            if variant == "losses are collected, one step an epoch":
                continue
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if variant == "losses are collected, one step an epoch":
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
        train = torch.stack(losses).mean().item()
        if variant == "rounded to whole numbers":
            train = float(int(train))
        student.eval()
        with torch.no_grad():
            val = loss_fn(student(data.x_val), teacher(data.x_val)).nan_to_num(0.0).item()
        console.line(epoch, train, val)
    return console.shown


def _make(s: Setting, variant: str) -> Case:
    return Case(lambda: main(s, variant), weights={"lam_soft": 1.0, "lam_hidden": 1.0})


PROGRAMS = family(
    "script",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "missing_prediction": ("hidden states are not returned",),
        "loss_initialisation": ("the search space holds zeros",),
        "nan_gradients": ("logarithm of a negative number, nan_to_num on the loss",),
        "graph_cut": ("hidden states compared under detach",),
        "loss_outside_loop": ("losses are collected, one step an epoch",),
        "wrong_number": ("rounded to whole numbers",),
    },
)
