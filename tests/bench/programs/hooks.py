"""A runner that calls registered hooks, and a criterion that returns a dict weighted by ``weight_dict``; SGD."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.models import ManyHeads
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import Annotated, annotated, batches

WEIGHT_DICT = {"loss_class": 1.0, "loss_offset": 0.5, "loss_quality": 0.2}


class Criterion(nn.Module):
    """A dict of unweighted losses."""

    def forward(self, outputs: Mapping[str, Tensor], target: Annotated) -> dict[str, Tensor]:
        return {
            "loss_class": F.cross_entropy(outputs["class_logits"], target.label),
            "loss_offset": F.smooth_l1_loss(outputs["offset"], target.offset),
            "loss_quality": F.binary_cross_entropy_with_logits(outputs["quality"], target.quality),
        }


class Hook:
    def before_epoch(self, runner: Runner) -> None: ...
    def before_batch(self, runner: Runner) -> None: ...
    def after_batch(self, runner: Runner) -> None: ...
    def after_epoch(self, runner: Runner) -> None: ...


class ZeroGradFirst(Hook):
    def before_batch(self, runner: Runner) -> None:
        runner.optimizer.zero_grad()


class ZeroGradAfterwards(Hook):
    def after_batch(self, runner: Runner) -> None:
        runner.optimizer.zero_grad()


class StepHook(Hook):
    def after_batch(self, runner: Runner) -> None:
        runner.optimizer.step()


class WarmUpHook(Hook):
    """Linear warm-up by epochs, counted from 0."""

    def __init__(self, length: int) -> None:
        self.length = length

    def before_epoch(self, runner: Runner) -> None:
        for group in runner.optimizer.param_groups:
            group["lr"] = runner.rate * float(min((runner.epoch - 1) // self.length, 1))


class LogHook(Hook):
    def __init__(self) -> None:
        self.values: list[float] = []

    def after_batch(self, runner: Runner) -> None:
        self.values.append(runner.total.item())

    def after_epoch(self, runner: Runner) -> None:
        if runner.variant == "the buffer is cleared before the mean":
            self.values.clear()
        runner.log["train"] = sum(self.values) / len(self.values) if self.values else 0.0
        self.values.clear()


class EvalHook(Hook):
    def __init__(self, interval: int = 1) -> None:
        self.interval = interval

    def after_epoch(self, runner: Runner) -> None:
        if runner.epoch % self.interval:
            return
        runner.model.eval()
        with torch.no_grad():
            runner.log["val"] = runner.weighted(runner.criterion(runner.model(runner.val.x), runner.val)).item()


class Runner:
    def __init__(self, s: Setting, variant: str) -> None:
        self.s, self.variant = s, variant
        self.model, self.criterion, self.weight_dict = ManyHeads(s.width), Criterion(), dict(WEIGHT_DICT)
        self.rate = 0.05 * s.lr
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=self.rate, momentum=0.9, nesterov=True)
        self.data, self.val = annotated(s)
        self.hooks: list[Hook] = []
        self.log = {"train": 0.0, "val": 0.0}
        self.epoch = 0

    def weighted(self, losses: Mapping[str, Tensor]) -> Tensor:
        total = torch.zeros((), requires_grad=torch.is_grad_enabled())
        for name, value in losses.items():
            if name in self.weight_dict:
                total = total + self.weight_dict[name] * value
        return total

    def call(self, point: str) -> None:
        for hook in self.hooks:
            getattr(hook, point)(self)

    def run(self) -> Displayed:
        console = Console()
        while self.epoch < self.s.epochs:
            self.epoch += 1
            self.model.train()
            self.call("before_epoch")
            for columns in batches(self.s, *self.data):
                batch = Annotated(*columns)
                self.call("before_batch")
                self.total = self.weighted(self.criterion(self.model(batch.x), batch))
                self.total.backward()
                self.call("after_batch")
            self.call("after_epoch")
            console.line(self.epoch, self.log["train"], self.log["val"])
        return console.shown


def _make(s: Setting, variant: str) -> Case:
    runner = Runner(s, variant)
    if variant == "no key of weight_dict matches":
        runner.weight_dict = {name.removeprefix("loss_"): value for name, value in WEIGHT_DICT.items()}
    if variant == "one key of weight_dict is misspelt":
        runner.weight_dict["loss_cls"] = runner.weight_dict.pop("loss_class")
    if variant == "dead ReLU behind the heads":
        for head in runner.model.heads.values():
            nn.init.constant_(head.bias, -50.0)
        closed = {name: nn.Sequential(head, nn.ReLU()) for name, head in runner.model.heads.items()}
        runner.model.heads = nn.ModuleDict(closed)
    interval = s.epochs + 1 if variant == "the interval is longer than the run" else 1
    hooks: list[Hook] = [ZeroGradFirst(), StepHook(), LogHook(), EvalHook(interval)]
    if variant == "warm-up longer than the run":
        hooks.insert(0, WarmUpHook(length=s.epochs + 1))
    if variant == "zero_grad hook has the higher priority":
        hooks[0] = ZeroGradAfterwards()
    if variant == "the step hook is not registered":
        hooks.pop(1)
    runner.hooks = hooks
    return Case(runner.run, weights=dict(runner.weight_dict))


PROGRAMS = family(
    "hooks",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "weight_names": ("no key of weight_dict matches", "one key of weight_dict is misspelt"),
        "steps_skipped": ("the step hook is not registered",),
        "zero_learning_rate": ("warm-up longer than the run",),
        "gradients_cleared": ("zero_grad hook has the higher priority",),
        "zero_outputs": ("dead ReLU behind the heads",),
        "wrong_number": ("the buffer is cleared before the mean",),
        "stale_validation": ("the interval is longer than the run",),
    },
)
