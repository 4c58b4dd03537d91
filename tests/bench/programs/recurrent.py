"""A GRU cell unrolled by hand, several forwards for one backward; clipping, RMSprop, running sum in a tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, waves


class Unrolled(nn.Module):
    """One step: ``x [B, 1]``, state ``[B, width]`` -> prediction ``[B, 1]``, state. All layers but the gain are in one list."""

    def __init__(self, width: int, python_list: bool) -> None:
        super().__init__()
        layers = [nn.GRUCell(1, width), nn.Linear(width, 1)]
        self.layers = layers if python_list else nn.ModuleList(layers)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = self.layers[0](x, state)
        return self.gain * self.layers[1](state), state


def _make(s: Setting, variant: str) -> Case:
    data = waves(s)
    model = Unrolled(s.width, python_list=variant == "layers in a python list")
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.003 * s.lr)
    limit = 0.0 if variant == "clipped to a norm of 0" else 1.0

    def unroll(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        state = torch.zeros(len(x), s.width)
        losses = []
        for t in range(x.shape[1]):
            y_hat, state = model(x[:, t], state)
            if variant == "predictions kept with .data":
                y_hat = y_hat.data
            losses.append(((y_hat - y[:, t]) ** 2 * mask[:, t]).sum())
        return torch.stack(losses).sum() / mask.sum().clamp(min=1)

    def lengths_to_mask(x: Tensor) -> Tensor:
        lengths = torch.full((len(x),), x.shape[1])
        if variant == "lengths counted after padding is cut":
            lengths = lengths - x.shape[1]
        return (torch.arange(x.shape[1]) < lengths[:, None]).unsqueeze(-1)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            whole = variant == "running sum of whole numbers"
            running = torch.zeros((), dtype=torch.long if whole else torch.float32)
            for x, y in batches(s, data.x, data.y):
                optimizer.zero_grad()
                loss = unroll(x, y, lengths_to_mask(x))
                if variant == "predictions kept with .data":
                    loss.requires_grad_(True)
                loss.backward()
                norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
                if variant == "skipped when the norm is above 1e-6" and norm > 1e-6:
                    continue
                if variant != "never stepped":
                    optimizer.step()
                running += loss.detach().to(running.dtype)
            model.eval()
            with torch.no_grad():
                full = torch.ones_like(data.x_val, dtype=torch.bool)
                console.line(epoch, float(running), unroll(data.x_val, data.y_val, full).item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "recurrent",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "graph_cut": ("predictions kept with .data",),
        "parameters_not_trained": ("layers in a python list",),
        "empty_targets": ("lengths counted after padding is cut",),
        "gradients_cleared": ("clipped to a norm of 0",),
        "steps_skipped": ("skipped when the norm is above 1e-6", "never stepped"),
        "wrong_number": ("running sum of whole numbers",),
    },
)
