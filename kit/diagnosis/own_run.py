"""A few plain steps with copies of somebody's model, loss and optimizer: as they are, or with one cause mended."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from kit.hypotheses import Observed
from kit.stepgraph.arguments import check_step, kind
from kit.stepgraph.sandbox import RandomState
from kit.stepgraph.weights import weight_attributes

EPOCHS = 5  # parts that the steps are told in
_RATE, _WEIGHT = 1e-3, 1.0  # of a mended optimizer without a rate of its own, of a mended weight


@dataclass
class Parts:
    """Copies of what is trained."""

    model: nn.Module
    loss: Any
    optimizer: torch.optim.Optimizer

    @property
    def trainable(self) -> list[nn.Parameter]:
        owners = [part for part in (self.model, self.loss) if isinstance(part, nn.Module)]
        return list({id(p): p for owner in owners for p in owner.parameters() if p.requires_grad}.values())


def _rate_above_0(parts: Parts) -> None:
    usual = parts.optimizer.defaults.get("lr")
    for group in parts.optimizer.param_groups:
        group["lr"] = group["lr"] or usual or _RATE


def _every_parameter(parts: Parts) -> None:
    if not parts.trainable:
        parts.model.requires_grad_(True)
    held = {id(p) for group in parts.optimizer.param_groups for p in group["params"]}
    missing = [p for p in parts.trainable if id(p) not in held]
    if missing:
        parts.optimizer.add_param_group({"params": missing})


def _no_weight_0(parts: Parts) -> None:
    for name in (name for name, value in weight_attributes(parts.loss).items() if value == 0):
        held = getattr(parts.loss, name)
        setattr(parts.loss, name, torch.full_like(held, _WEIGHT) if isinstance(held, Tensor) else _WEIGHT)


# cause -> what mends the parts; a cause of the loop is mended by the plain loop itself
MENDS: Mapping[str, Callable[[Parts], None]] = MappingProxyType(
    {
        "zero_learning_rate": _rate_above_0,
        "parameters_not_trained": _every_parameter,
        "loss_weights": _no_weight_0,
        "loss_initialisation": _no_weight_0,
    }
)
OF_THE_LOOP = frozenset(
    ("loss_outside_loop", "no_batches", "steps_skipped", "gradients_cleared", "stale_validation", "wrong_number")
)


@dataclass(frozen=True)
class OwnRun:
    """``run()`` trains copies of the parts in a plain loop on one batch; the parts themselves are left as they are.

    Args:
        model, loss, batch: as for ``kit.probe``: ``loss(model(inputs), target)``.
        optimizer: one of ``torch.optim``, as it is configured.
        steps: optimizer steps; validation is the loss on the same batch in eval mode, five times in a run.
    Raises:
        TypeError: a model, loss, batch or optimizer of another kind.
        ValueError: fewer steps than five, or a batch that is no pair (inputs, target).
    """

    model: nn.Module
    loss: Any
    batch: Any
    optimizer: torch.optim.Optimizer
    steps: int = 20

    def __post_init__(self) -> None:
        check_step(self.model, self.loss, self.batch, ())
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer should be one of torch.optim. Found {kind(self.optimizer)}.")
        if self.steps < EPOCHS:
            raise ValueError(f"steps should be at least {EPOCHS}. Found {self.steps}.")
        pair = isinstance(self.batch, tuple | list) and len(self.batch) == 2
        if not pair and not (hasattr(self.batch, "inputs") and hasattr(self.batch, "target")):
            raise ValueError(f"batch should be a pair (inputs, target). Found {kind(self.batch)}.")

    def run(self, fix: str | None = None) -> Observed:
        """Raises KeyError for a cause that is not one of these parts."""
        mend = None if fix is None else MENDS[fix]
        before = RandomState()
        try:
            parts = Parts(*copy.deepcopy((self.model, self.loss, self.optimizer)))
            if mend is not None:
                mend(parts)
            return self._trained(parts, *copy.deepcopy(self._pair))
        finally:
            before.put_back()

    @property
    def _pair(self) -> tuple[Any, Any]:
        pair = self.batch if isinstance(self.batch, tuple | list) else (self.batch.inputs, self.batch.target)
        return pair[0], pair[1]

    def _trained(self, parts: Parts, inputs: Any, target: Any) -> Observed:
        steps, epochs = [], []
        for epoch in range(1, EPOCHS + 1):
            parts.model.train()
            for _ in range(self.steps // EPOCHS):
                parts.optimizer.zero_grad()
                total = parts.loss(parts.model(inputs), target)
                reaches = isinstance(total, Tensor) and total.requires_grad
                if reaches:
                    total.backward()
                parts.optimizer.step()
                steps.append({"epoch": epoch, "loss": _number(total), "backwards": int(reaches), "steps": 1})
            parts.model.eval()
            with torch.no_grad():
                validation = _number(parts.loss(parts.model(inputs), target))
            mean = sum(row["loss"] for row in steps[-(self.steps // EPOCHS) :]) / (self.steps // EPOCHS)
            epochs.append({"epoch": epoch, "train_loss": mean, "val_loss": validation})
        table = pd.DataFrame(epochs).set_index("epoch")
        return Observed(pd.DataFrame(steps), table, MappingProxyType({}))


def _number(total: Any) -> float:
    return total.item() if isinstance(total, Tensor) else float(total)
