"""The training loop, in pieces that a fault can take out and put back."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kit.covariance import Batch, blend
from kit.loss import UltimateHybridLoss
from kit.training import sanitise, schedule
from kit.training.config import TrainingConfig
from kit.training.history import TrainingHistory

HEAD_LR_FACTOR = 4.0
COUNTED = ("forward_passes", "loss_calls", "backward_calls")


class NoStepTakenError(RuntimeError):
    """An epoch ended without a single optimiser step. ``.history`` holds the run up to and including that epoch."""

    def __init__(self, message: str, history: TrainingHistory) -> None:
        super().__init__(message)
        self.history = history


class Records(Protocol):
    """Rows in the order of the run: a list, or what holds them in less memory."""

    def append(self, row: dict[str, Any], /) -> None: ...
    def extend(self, rows: Iterable[dict[str, Any]], /) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def __getitem__(self, place: int, /) -> dict[str, Any]: ...


@dataclass
class RunningLoss:
    """The mean that is displayed: the sum over all batches, stepped or not, divided by their number."""

    total: float = 0.0
    batches: int = 0

    def add(self, loss: float, stepped: bool) -> None:
        self.total += loss
        self.batches += 1

    @property
    def mean(self) -> float:
        return self.total / self.batches if self.batches else math.nan


def predict(model: nn.Module, batch: Batch, beta: float = 0.0, *, rho: float = 0.3) -> dict[str, Tensor]:
    """The network's predictions, with ``R_blend`` of share beta added for beta > 0 (``rho`` as in the loss)."""
    prediction = model(batch.inputs)
    if beta > 0:
        A, C = (
            torch.view_as_complex(prediction[key].unflatten(-1, (batch.R_samp.shape[-1], -1, 2)))
            for key in ("cov_fact_angle", "cov_fact_range")
        )
        factors = torch.cat([A, math.sqrt(rho) * C], -1)
        prediction["R_blend"] = blend(factors @ factors.mH, batch.R_samp, beta)
    return prediction


class TrainingLoop:
    """One run of one model. The methods below ``run`` and the last attributes are its replaceable parts.

    Args:
        model: maps ``batch.inputs`` to the prediction mapping; with a ``heads`` submodule, that one learns four times as fast.
        loss: the composite loss; its weights are set by the schedules of the config.
        data, validation: batches; validation defaults to the training data (the overfit protocol).
        config: settings.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: UltimateHybridLoss,
        data: Batch,
        config: TrainingConfig,
        validation: Batch | None = None,
    ) -> None:
        for name, scenes in (("data", data), ("validation", data if validation is None else validation)):
            if not isinstance(scenes, Batch) or len(scenes) == 0:
                raise ValueError(f"{name} should be a Batch of at least one scene. Found {scenes!r}.")
        self.model, self.loss, self.data, self.config = model, loss, data, config
        self.validation = data if validation is None else validation
        self.generator = torch.Generator().manual_seed(config.seed)
        self.steps_planned = config.epochs * math.ceil(len(data) / config.batch_size)
        self.optimizer = self._optimizer()
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: schedule.lr_multiplier(min(step, self.steps_planned), self.steps_planned)
        )
        self.average = None
        if config.ema_decay is not None:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
            # it starts from the initial weights, which it has just copied; otherwise the first update would copy the
            # weights after one step in full
            self.average.n_averaged.fill_(1)
        self.epoch_records: Records = []
        self.step_records: Records = []
        self.calls: Counter[str] = Counter()
        self.new_running_loss: Callable[[], RunningLoss] = RunningLoss
        self.predict: Callable[..., dict[str, Tensor]] = predict
        self.read_loss: Callable[[Tensor], float] = lambda total: float(total.detach())
        self.before_backward: Callable[[], None] = lambda: None
        self.after_backward: Callable[[], None] = lambda: None

    def run(self, progress: Callable[[int, int], None] | None = None) -> TrainingHistory:
        """Train for all epochs; ``progress(done, epochs)`` is called after each.

        Raises:
            NoStepTakenError: an epoch took no step and the config requires steps; the history so far is in the exception.
        """
        if self.config.search_weights:
            schedule.apply_hpo_loss_weights(self.loss, self.config.search_weights)
        for epoch in range(self.config.epochs):
            record = self.train_epoch(epoch)
            self.epoch_records.append(record)
            if self.config.require_steps and record["steps_taken"] == 0:
                raise NoStepTakenError(
                    f"Every epoch should take at least one optimiser step. Found 0 steps in the {record['batches']} batches of epoch "
                    f"{record['epoch']} (train loss {record['train_loss']:.6g}, median gradient norm {record['grad_norm']:.3g}, "
                    f"{record['nan_replaced']} NaN entries replaced); "
                    "look at .history, or set require_steps=False to go on.",
                    self.history(),
                )
            if progress is not None:
                progress(epoch + 1, self.config.epochs)
        return self.history()

    def history(self) -> TrainingHistory:
        settings = {
            "config": self.config.as_dict(),
            "samples": len(self.data),
            "validation_samples": len(self.validation),
            "versions": {"torch": torch.__version__, "python": platform.python_version()},
        }
        return TrainingHistory(tuple(self.epoch_records), tuple(self.step_records), MappingProxyType(settings))

    def train_epoch(self, epoch: int) -> dict[str, Any]:
        self.set_weights(epoch)
        self.model.train()
        self.loss.train()
        self.calls.clear()
        running = self.new_running_loss()
        steps = []
        for number, step in enumerate(self.steps_of(epoch, running), start=1):
            steps.append({"epoch": epoch + 1, "batch": number, **step})
        calls = {name: self.calls[name] for name in COUNTED}
        self.step_records.extend(steps)
        taken = sum(step["stepped"] for step in steps)
        return {
            "epoch": epoch + 1,
            "train_loss": running.mean,
            **self.validate(epoch),
            "batches": running.batches,
            **calls,
            "steps_taken": taken,
            "steps_skipped": len(steps) - taken,
            "nan_replaced": sum(step["nan_replaced"] for step in steps),
            "grad_norm": median(step["grad_norm"] for step in steps),
            "lr": steps[-1]["lr"],
            "beta": steps[-1]["beta"],
            **self.loss.weights,
        }

    def steps_of(self, epoch: int, running: RunningLoss) -> Iterator[dict[str, Any]]:
        """One record per batch; every batch counts in the displayed mean, whether or not it stepped."""
        for batch in self.batches():
            beta = self.beta(epoch)
            step = self.update(self.forward(batch, beta), batch)
            running.add(step["loss"], step["stepped"])
            yield {**step, "beta": beta}

    def batches(self) -> Iterator[Batch]:
        return self.data.split(self.config.batch_size, generator=self.generator)

    def forward(self, batch: Batch, beta: float) -> dict[str, Tensor]:
        self.calls["forward_passes"] += 1
        return self.predict(self.model, batch, beta, rho=self.loss.rho)

    def set_weights(self, epoch: int) -> None:
        """The schedules' weights of this epoch; lam_cov is touched by the optional mix alone."""
        if self.config.stage_mix:
            stage = schedule.mix_stage(epoch, self.config.epochs)
            self.loss.set_weights(schedule.phase_weights(stage, self.config.search_weights))
        if self.config.structure_schedule:
            schedule.update_structure_loss_weights(self.loss, epoch, self.config.epochs)

    def beta(self, epoch: int, *, jitter: bool = True) -> float:
        if self.config.blend == 0:
            return 0.0
        width = self.config.blend_jitter if jitter else 0.0
        return schedule.blend_beta(epoch, self.config.epochs, self.config.blend, width, self.generator)

    def update(self, prediction: dict[str, Tensor], batch: Batch) -> dict[str, Any]:
        """Loss, backward, sanitise, gate, clip, step, average: in this order."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        lr = self.optimizer.param_groups[0]["lr"]
        self.optimizer.zero_grad()
        total = self.loss(prediction, batch.target)
        self.calls["loss_calls"] += 1
        self.before_backward()
        total.backward()
        self.calls["backward_calls"] += 1
        self.after_backward()
        replaced = sanitise.replace_nan_gradients(parameters)
        norm = sanitise.gradient_norm(parameters)
        stepped = sanitise.step_allowed(norm)
        if stepped:
            nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
            self.optimizer.step()
            self.scheduler.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
        else:
            self.optimizer.zero_grad()
        loss = self.read_loss(total)
        return {"loss": loss, "grad_norm": norm, "nan_replaced": replaced, "stepped": stepped, "lr": lr}

    @torch.no_grad()
    def validate(self, epoch: int) -> dict[str, float]:
        """Mean over the validation batches of the total and of each measured term (those with a weight, and loss_nmse)."""
        model = self.model if self.average is None else self.average
        beta = self.beta(epoch, jitter=False) if self.config.validate_with_blend else 0.0
        terms = tuple(dict.fromkeys(("loss_nmse", *self.loss.active_terms)))
        modes = {module: module.training for module in (model, self.loss)}
        model.eval()
        self.loss.eval()
        sums: dict[str, float] = dict.fromkeys(("val_loss", *terms), 0.0)
        batches = 0
        for batch in self.validation.split(self.config.batch_size):
            values = self.loss.components(self.predict(model, batch, beta, rho=self.loss.rho), batch.target, only=terms)
            sums["val_loss"] += float(self.loss.combine(values))
            for term, value in values.items():
                sums[term] += float(value)
            batches += 1
        for module, training in modes.items():
            module.train(training)
        return {("val_loss" if key == "val_loss" else f"val_{key}"): value / batches for key, value in sums.items()}

    def _optimizer(self) -> torch.optim.AdamW:
        heads = getattr(self.model, "heads", None)
        fast = [] if heads is None else [p for p in heads.parameters() if p.requires_grad]
        known = {id(parameter) for parameter in fast}
        slow = [p for p in self.model.parameters() if p.requires_grad and id(p) not in known]
        if not fast and not slow:
            raise ValueError(
                "model should have trainable parameters. Found none; call requires_grad_(True) on what should learn."
            )
        rates = ((slow, self.config.lr), (fast, HEAD_LR_FACTOR * self.config.lr))
        groups = [{"params": params, "lr": lr} for params, lr in rates if params]
        return torch.optim.AdamW(groups, weight_decay=self.config.weight_decay)


def train(
    model: nn.Module,
    loss: UltimateHybridLoss,
    data: Batch,
    config: TrainingConfig | None = None,
    *,
    validation: Batch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingHistory:
    """Train ``model`` in place and return what happened; see ``TrainingLoop`` and ``TrainingConfig``."""
    return TrainingLoop(model, loss, data, config or TrainingConfig(), validation).run(progress)
