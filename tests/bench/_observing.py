"""What a loop does, seen with a few of torch's own global hooks: a way to the answer that shares nothing with kit.watch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook


@dataclass
class Backward:
    value: float
    reached: frozenset[int]  # parameters with a gradient afterwards
    size: float  # largest entry of all gradients, 0 without any
    finite: bool


@dataclass
class Step:
    optimizer: int
    size: float  # largest entry of the gradients as handed over
    lr: float  # largest over the groups with a gradient that is not 0


@dataclass
class Seen:
    parameters: dict[int, Tensor] = field(default_factory=dict)
    start: dict[int, Tensor] = field(default_factory=dict)
    called: set[int] = field(default_factory=set)  # parameters of modules that ran
    held: dict[int, Tensor] = field(default_factory=dict)  # parameters in an optimizer that stepped
    backwards: list[Backward] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    forwards: int = 0  # outermost, training
    outputs: list[Tensor] = field(default_factory=list)  # of those
    losses: list[float] = field(default_factory=list)  # returned by modules in training
    loss_dicts: list[Mapping[str, Tensor]] = field(default_factory=list)
    loss_calls: list[tuple[nn.Module, tuple, dict]] = field(default_factory=list)  # of modules with lam_*, training
    replaced: int = 0  # non-finite entries that nan_to_num took away

    def note(self, parameter: Tensor) -> None:
        if id(parameter) not in self.parameters:
            self.parameters[id(parameter)] = parameter
            self.start[id(parameter)] = parameter.detach().clone()

    def restart(self) -> None:
        """Forget what building did."""
        self.start = {key: p.detach().clone() for key, p in self.parameters.items()}
        self.forwards, self.outputs = 0, []

    def moved(self, key: int) -> bool:
        return not torch.equal(self.parameters[key].detach(), self.start[key])

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters.values() if p.grad is not None]


def tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for item in value.values() for t in tensors_in(item)]
    return [t for item in value for t in tensors_in(item)] if isinstance(value, (tuple, list)) else []


def largest(gradients: list[Tensor]) -> float:
    return max((float(g.abs().max()) for g in gradients), default=0.0)


@contextmanager
def observing(monkeypatch) -> Iterator[Seen]:
    seen, depth = Seen(), [0]

    def before_forward(module: nn.Module, _inputs: tuple) -> None:
        depth[0] += 1
        for parameter in module.parameters(recurse=False):
            seen.note(parameter)
            seen.called.add(id(parameter))

    def after_forward(module: nn.Module, inputs: tuple, kwargs: dict, output: Any) -> None:
        depth[0] -= 1
        if not torch.is_grad_enabled():
            return
        found = [t.detach().clone() for t in tensors_in(output)]
        scalar = isinstance(output, Tensor) and output.ndim == 0 or isinstance(output, Mapping) and "loss" in output
        if any(name.startswith("lam_") for name in vars(module)):
            seen.loss_calls.append((module, inputs, kwargs))
        if scalar:
            seen.losses.append(float(found[0]))
        elif found and all(t.ndim == 0 for t in found):
            seen.loss_dicts.append(output)
        elif depth[0] == 0 and found:
            seen.forwards += 1
            seen.outputs += found
        if isinstance(output, Mapping) and "loss" in output:
            seen.forwards += 1

    def before_step(optimizer: torch.optim.Optimizer, _args: tuple, _kwargs: dict) -> None:
        sizes, rates = [0.0], [0.0]
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                seen.note(parameter)
                seen.held[id(parameter)] = parameter
            size = largest([p.grad for p in group["params"] if p.grad is not None])
            sizes.append(size)
            rates += [group["lr"]] if size else []
        seen.steps.append(Step(id(optimizer), max(sizes), max(rates)))

    add_group = torch.optim.Optimizer.add_param_group

    def noting(self: torch.optim.Optimizer, group: dict[str, Any]) -> None:
        add_group(self, group)
        for parameter in self.param_groups[-1]["params"]:
            seen.note(parameter)

    backward, nan_to_num, nan_to_num_ = Tensor.backward, Tensor.nan_to_num, Tensor.nan_to_num_

    def counted(self: Tensor, *args: Any, **kwargs: Any) -> None:
        backward(self, *args, **kwargs)
        reached = frozenset(key for key, p in seen.parameters.items() if p.grad is not None)
        gradients = seen.gradients()
        finite = all(bool(g.isfinite().all()) for g in gradients)
        seen.backwards.append(Backward(self.item(), reached, largest(gradients), finite))

    def replacing(original):
        def replace(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            seen.replaced += int((~self.detach().isfinite()).sum())
            return original(self, *args, **kwargs)

        return replace

    handles = [
        register_module_forward_pre_hook(before_forward),
        register_module_forward_hook(after_forward, with_kwargs=True),
        register_optimizer_step_pre_hook(before_step),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "backward", counted)
        patch.setattr(torch.optim.Optimizer, "add_param_group", noting)
        patch.setattr(Tensor, "nan_to_num", replacing(nan_to_num))
        patch.setattr(Tensor, "nan_to_num_", replacing(nan_to_num_))
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()
                # torch 2.13 keeps the note that the hook takes keywords: a hook to come could get them, and torch.compile warns
                torch.nn.modules.module._global_forward_hooks_with_kwargs.pop(handle.id, None)


def per_epoch(values: list[float], epochs: int) -> list[list[float]]:
    size = max(len(values) // epochs, 1)
    return [values[i * size : (i + 1) * size] for i in range(epochs)]


def finite(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]
