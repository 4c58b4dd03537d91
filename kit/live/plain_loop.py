"""A plain training loop around anybody's model, one batch at a time, with what a diagnosis wants to know of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kit.stepgraph import ProbeReport, probe


class PlainLoop:
    """Forward, loss, backward, step; a validation pass at the end of an epoch. See `OwnSession.of`."""

    _epoch: int
    _losses: list[float]
    _row: dict[str, float]
    _left: Iterator | None
    _next: Any
    _pending: dict[str, Any] | None

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        optimizer: torch.optim.Optimizer,
        batches: Iterable,
        validation: Iterable | None,
        predict: Callable[[nn.Module, Any], Any] | None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.batches, self.validation, self.predict = batches, validation, predict
        self._modules = [part for part in (model, loss) if isinstance(part, nn.Module)]
        self._kept: list[nn.Module | torch.optim.Optimizer] = [*self._modules, optimizer]
        self._start = copy.deepcopy([part.state_dict() for part in self._kept])
        self._random = torch.get_rng_state()
        self._begin()
        self._first = next(iter(batches), None)
        torch.set_rng_state(self._random)
        if self._first is None:
            raise ValueError("batches should hold at least one batch, and begin anew each time. Found none.")

    def planned(self, epochs: int) -> int | None:
        return epochs * len(self.batches) if isinstance(self.batches, Sized) else None

    def step(self) -> dict[str, Any]:
        """Train on the next batch; with the last of an epoch, validate. What raises is tried again by the next call."""
        told = self._pending = self._pending or self._train()
        if self._next is None:
            finite = all(map(math.isfinite, self._losses))
            displayed = {
                "train_loss": math.fsum(self._losses) / len(self._losses) if finite else math.nan,
                "val_loss": self._validate(),
            }
            told |= displayed
            self._losses, self._left = [], None
            self._epoch += 1
        self._pending = None
        return told

    def _train(self) -> dict[str, Any]:
        if self._next is None:
            self._next = self._take()
        assert self._left is not None  # where the next batch came from
        for part in self._modules:
            part.train()
        self.optimizer.zero_grad()
        prediction, target = self._run(self._next)
        total = self.loss(prediction, target)
        total.backward()
        self._row = {
            **_gradients([p for p in self.model.parameters() if p.requires_grad]),
            **outputs_row(prediction),
        }
        self.optimizer.step()
        loss = float(total.detach())
        self._losses.append(loss)
        self._next = next(self._left, None)
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        return {"loss": loss, "epoch": self._epoch, "lr": lr, "grad_norm": self._row["grad_norm"]}

    def row(self) -> Mapping[str, Any]:
        return self._row

    def look(self) -> ProbeReport:
        return probe(self.model, self.loss, self._first, predict=self.predict)

    def restart(self) -> None:
        """Weights, optimizer and random state as at the start."""
        for part, state in zip(self._kept, copy.deepcopy(self._start), strict=True):
            part.load_state_dict(state)
        self.optimizer.zero_grad()
        torch.set_rng_state(self._random)
        self._begin()

    def faults(self) -> Iterator[tuple]:
        """Fields of an `OwnFault` each: what can be broken in any plain loop."""
        yield (
            "nan_gradients", "NaN gradients", self._nan_gradients, "NaN gradients",
            "Every gradient becomes NaN. A step with it makes the weights NaN, and only Reset brings them back.",
        )  # fmt: skip
        yield (
            "all_outputs_zero", "All model outputs are zero", self._outputs_zero, "Zero outputs",
            "Every output is multiplied by 0, so that no gradient passes either.",
        )  # fmt: skip
        yield (
            "zero_learning_rate", "The learning rate is 0", self._no_learning, "Zero learning rate",
            "Steps are taken and change nothing.",
        )  # fmt: skip

    def _begin(self) -> None:
        self._epoch, self._losses, self._row = 1, [], {}
        self._left = self._next = self._pending = None

    def _take(self) -> Any:
        if self._left is None:
            self._left = iter(self.batches)
        batch = next(self._left, None)
        if batch is None:
            raise ValueError(
                "batches should begin anew in every epoch, as a list or a DataLoader does. Found none left."
            )
        return batch

    def _run(self, batch: Any) -> tuple[Any, Any]:
        inputs, target = (batch.inputs, batch.target) if hasattr(batch, "target") else batch
        return (self.model(inputs) if self.predict is None else self.predict(self.model, batch)), target

    @torch.no_grad()
    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        for part in self._modules:
            part.eval()
        values = [float(self.loss(*self._run(batch))) for batch in self.validation]
        return sum(values) / len(values) if values else None

    @contextmanager
    def _nan_gradients(self) -> Iterator[None]:
        hooks = [p.register_hook(lambda g: g * math.nan) for p in self.model.parameters() if p.requires_grad]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def _outputs_zero(self) -> Iterator[None]:
        hook = self.model.register_forward_hook(lambda _model, _inputs, output: _times(output, 0.0))
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def _no_learning(self) -> Iterator[None]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        try:
            yield
        finally:
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate


def _times(output: Any, factor: float) -> Any:
    if isinstance(output, Tensor):
        return output * factor
    if isinstance(output, Mapping):
        return {key: _times(value, factor) for key, value in output.items()}
    if isinstance(output, tuple | list):
        return type(output)(_times(value, factor) for value in output)
    return output


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Mapping):
        output = list(output.values())
    parts = output if isinstance(output, tuple | list) else [output]
    return [part.detach() for part in parts if isinstance(part, Tensor) and part.is_floating_point()]


def outputs_row(prediction: Any) -> dict[str, int]:
    outputs = _tensors(prediction)
    wide = [value for value in outputs if value.ndim and len(value) > 1]
    return {
        "outputs": len(outputs),
        "outputs_zero": sum(not value.any() for value in outputs),
        "outputs_constant": sum(bool((value == value[:1]).all()) for value in wide),
        "outputs_nonfinite": sum(not bool(torch.isfinite(value).all()) for value in outputs),
    }


def _gradients(parameters: list[nn.Parameter]) -> dict[str, float]:
    gradients = [parameter.grad for parameter in parameters]
    there = [gradient for gradient in gradients if gradient is not None]
    return {
        "grad_norm": float(torch.nn.utils.get_total_norm(there)) if there else 0.0,
        "grad_nonfinite": sum(not bool(torch.isfinite(gradient).all()) for gradient in there),
        "grad_zero": sum(not gradient.any() for gradient in there),
        "grad_none": len(gradients) - len(there),
        "grad_tensors": len(gradients),
        "loss_graph": float(bool(there)),
    }
