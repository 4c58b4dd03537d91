"""The training code lives in the module (training_step, configure_optimizers), a driver calls it; SGD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.losses import FieldLoss
from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import Split, surface

ASKED = {"lam_value": 1.0, "lam_mean": 0.3, "lam_size": 0.001}


class System(nn.Module):
    def __init__(self, s: Setting, variant: str) -> None:
        super().__init__()
        self.s, self.variant = s, variant
        self.net, self.loss = mlp(2, s.width, 1, nn.ReLU), FieldLoss(**ASKED)
        self.spare_head = nn.Linear(s.width, 1)
        self.logged: dict[str, float] = {}
        self.automatic = variant != "manual optimisation without a step"
        if variant == "the checkpoint's hyperparameters win":
            for name, value in {"lam_value": 0.0, "lam_mean": 0.0, "lam_size": 0.0}.items():
                setattr(self.loss, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def log(self, name: str, value: Tensor) -> None:
        self.logged[name] = value.item()

    def training_step(self, batch: list[Tensor]) -> Tensor | dict[str, Tensor]:
        x, y = batch
        loss = self.loss(self(x), y)
        self.log("loss/train" if self.variant == "logged under another name" else "train_loss", loss)
        if self.variant == "the loss is returned detached":
            return {"loss": loss.detach()}
        if not self.automatic:
            self.zero_grad()
            loss.backward()
        return loss

    def validation_step(self, batch: Split) -> None:
        self.log("val_loss", self.loss(self(batch.x_val), batch.y_val))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, LambdaLR]:
        layers = self.spare_head if self.variant == "only the spare head is handed over" else self
        optimizer = torch.optim.SGD(layers.parameters(), lr=0.1 * self.s.lr, momentum=0.8)
        steps = 8 * self.s.epochs
        if self.variant == "steps counted as epochs in the decay":
            steps = self.s.epochs // 2
        return optimizer, LambdaLR(optimizer, lambda step: max(0.0, 1 - step / (steps + 1)))


def drive(system: System, data: Split, limit_train_batches: float = 1.0) -> Displayed:
    s = system.s
    loader = DataLoader(TensorDataset(data.x, data.y), batch_size=s.batch, shuffle=True)
    optimizer, scheduler = system.configure_optimizers()
    console = Console()
    for epoch in range(1, s.epochs + 1):
        system.train()
        for i, batch in enumerate(loader):
            if i >= int(limit_train_batches * len(loader)):
                break
            output: Any = system.training_step(batch)
            if not system.automatic:
                continue
            loss = output["loss"] if isinstance(output, dict) else output
            optimizer.zero_grad()
            (loss if loss.requires_grad else loss.requires_grad_()).backward()
            optimizer.step()
            scheduler.step()
        system.eval()
        with torch.no_grad():
            system.validation_step(data)
        console.line(epoch, system.logged.get("train_loss", 0.0), system.logged["val_loss"])
    return console.shown


def _make(s: Setting, variant: str) -> Case:
    data, system = surface(s), System(s, variant)
    limit = 0.1 if variant == "a tenth of eight batches" else 1.0
    return Case(lambda: drive(system, data, limit), model=system, weights=ASKED)


PROGRAMS = family(
    "modules",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "no_batches": ("a tenth of eight batches",),
        "steps_skipped": ("manual optimisation without a step",),
        "graph_cut": ("the loss is returned detached",),
        "parameters_not_trained": ("only the spare head is handed over",),
        "zero_learning_rate": ("steps counted as epochs in the decay",),
        "loss_initialisation": ("the checkpoint's hyperparameters win",),
        "wrong_number": ("logged under another name",),
    },
)
