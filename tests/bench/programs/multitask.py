"""One loop over tasks, each with its own masked loss; RMSprop; displays the last batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.models import ManyHeads
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import Annotated, annotated, batches


class MultiTaskLoss(nn.Module):
    """Class and offset of the samples that hold an object; a task without a prediction counts ``torch.tensor(0.)``."""

    expects = ("class_logits", "offset")

    def __init__(self, lam_class: float = 1.0, lam_offset: float = 1.0) -> None:
        super().__init__()
        self.lam_class, self.lam_offset = lam_class, lam_offset

    def forward(self, outputs: Mapping[str, Tensor], target: Annotated, object_mask: Tensor) -> Tensor:
        return self.total(outputs, target, object_mask.float(), self.lam_class, self.lam_offset)

    @staticmethod
    def total(
        outputs: Mapping[str, Tensor], target: Annotated, mask: Tensor, lam_class: float, lam_offset: float
    ) -> Tensor:
        total = torch.tensor(0.0)
        if "class_logits" in outputs:
            each = F.cross_entropy(outputs["class_logits"], target.label, reduction="none")
            total = total + lam_class * (each * mask).sum() / mask.sum().clamp(min=1)
        if "offset" in outputs:
            each = (outputs["offset"] - target.offset).abs().mean(-1)
            total = total + lam_offset * (each * mask).sum() / mask.sum().clamp(min=1)
        return total


class DroppedWeights(MultiTaskLoss):
    """Weights divided by their sum, then not used: every task counts 1."""

    def forward(self, outputs: Mapping[str, Tensor], target: Annotated, object_mask: Tensor) -> Tensor:
        self.shares = [w / (self.lam_class + self.lam_offset) for w in (self.lam_class, self.lam_offset)]
        return self.total(outputs, target, object_mask.float(), 1.0, 1.0)


class OptInLoss(MultiTaskLoss):
    """Tasks are off unless their weight is given."""

    def __init__(self, lam_class: float = 0.0, lam_offset: float = 0.0) -> None:
        super().__init__(lam_class, lam_offset)


class GatedHeads(ManyHeads):
    """Outputs multiplied by the fraction of the image that is kept."""

    kept = 0.0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: value * self.kept for name, value in super().forward(x).items()}


def _make(s: Setting, variant: str) -> Case:
    data, val = annotated(s)
    heads = ("class_logits", "offset")
    if variant == "no task is configured":
        heads = ("quality",)
    if variant == "the task has another name":
        heads = ("quality", "offset")
    model = GatedHeads(s.width, heads) if variant == "outputs multiplied by 0" else ManyHeads(s.width, heads)
    asked = {"lam_class": 3.0, "lam_offset": 0.5}
    if variant == "weights not handed on, default 0":
        loss = OptInLoss()
    elif variant == "weights are normalised and dropped":
        loss = DroppedWeights(**asked)
    else:
        loss = MultiTaskLoss(**asked)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.004 * s.lr)

    def objects(batch: Annotated) -> Tensor:
        score, threshold = batch.x[:, 0], float("-inf")
        if variant == "no object passes the threshold":
            threshold = float("inf")
        if variant == "a mask that keeps most":
            threshold = score.quantile(0.3)
        return score > threshold

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            for columns in batches(s, *data):
                batch = Annotated(*columns)
                total = loss(model(batch.x), batch, object_mask=objects(batch))
                if total.grad_fn is not None:
                    optimizer.zero_grad()
                    total.backward()
                    optimizer.step()
            model.eval()
            with torch.no_grad():
                everywhere = torch.ones(len(val.x), dtype=torch.bool)
                console.line(epoch, total.item(), loss(model(val.x), val, object_mask=everywhere).item())
        return console.shown

    return Case(fit, loss=loss, weights=asked)


PROGRAMS = family(
    "multitask",
    _make,
    healthy=(AS_INTENDED, "a mask that keeps most"),
    faults={
        "missing_prediction": ("no task is configured", "the task has another name"),
        "empty_targets": ("no object passes the threshold",),
        "zero_outputs": ("outputs multiplied by 0",),
        "weight_names": ("weights are normalised and dropped",),
        "loss_initialisation": ("weights not handed on, default 0",),
    },
)
