"""What a training leaves behind, and what a watch puts somewhere while it is open."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.modules.module as modules
import torch.optim.optimizer as optimizers
from torch import nn

TABLES = [
    *(getattr(modules, f"_global_{name}") for name in (
        "forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks",
        "forward_hooks_always_called", "forward_hooks_with_kwargs",
    )),
    optimizers._global_optimizer_pre_hooks,
    optimizers._global_optimizer_post_hooks,
]  # fmt: skip


def outside():
    """All that a watch puts somewhere while it is open."""
    scaler = torch.amp.GradScaler
    places = (torch.autograd.backward, scaler.scale, scaler.step, torch.Tensor.backward, nn.Module.__call__)
    return places, [dict(table) for table in TABLES]


def everything(one, loop: str):
    """Run a job from a fixed start and return all that it leaves."""
    torch.manual_seed(3)
    np.random.seed(3)
    getattr(one, loop)()
    state = one.optimizer.state_dict()
    return {
        "weights": {name: value.clone() for name, value in one.model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in one.model.parameters()],
        "optimizer": state["state"],
        "groups": state["param_groups"],
        "random": torch.get_rng_state(),
        "numpy": np.random.get_state()[1],
        "attributes": [(type(m).__name__, sorted(map(str, vars(m)))) for m in (*one.model.modules(), one.loss)],
        "hooks": [[len(v) for k, v in vars(m).items() if k.endswith("hooks")] for m in one.model.modules()],
        "modes": [m.training for m in one.model.modules()],
        "on_parameters": [(p._backward_hooks, p._post_accumulate_grad_hooks) for p in one.model.parameters()],
    }


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b
