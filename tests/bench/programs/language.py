"""A causal language model that computes its own loss from ``labels``; checkpointed blocks, AdamW, warm-up from 0."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.checkpoint import checkpoint

from tests.bench.programs.models import Block
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, sentences

VOCABULARY = 11


class CausalLM(nn.Module):
    """``input_ids, labels [B, T]`` -> {"loss": [], "logits": [B, T, vocabulary]}; labels are already shifted, -100 is left out."""

    def __init__(self, width: int, variant: str) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(VOCABULARY, width), nn.Embedding(16, width)
        self.blocks = nn.ModuleList([Block(width)])
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)
        self.variant = variant

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        h = self.embed(input_ids) + self.position(torch.arange(input_ids.shape[1]))
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=False) if self.training else block(h)
        if self.variant == "hidden states detached":
            h = h.detach()
        logits = self.lm_head(h)
        if labels is None:
            return {"logits": logits}
        flat = logits.flatten(0, 1)
        if self.variant == "all labels -100, divided by at least 1":
            loss = F.cross_entropy(flat, labels.flatten(), reduction="sum") / (labels != -100).sum().clamp(min=1)
        else:
            loss = F.cross_entropy(flat, labels.flatten())
        if self.variant == "root of 0 in a penalty" and self.training:
            loss = loss + (flat - flat.detach()).square().sum().sqrt()
        return {"loss": loss, "logits": logits}


def _make(s: Setting, variant: str) -> Case:
    data = sentences(s)
    y = torch.full_like(data.y, -100) if variant.startswith("all labels -100") else data.y
    model = CausalLM(s.width, variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01 * s.lr)
    if variant == "the head is resized after the optimizer was built":
        model.lm_head, model.embed = nn.Linear(s.width, VOCABULARY, bias=False), nn.Embedding(VOCABULARY, s.width)
        model.blocks.requires_grad_(False)
    scheduler = LambdaLR(optimizer, lambda step: min(step / 4, 1.0))  # the first step has a rate of 0
    if variant == "root of 0 in a penalty":
        for parameter in model.parameters():
            parameter.register_hook(lambda grad: grad.nan_to_num(0.0))

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            logged, steps = 0.0, 0
            for input_ids, labels in batches(s, data.x, y):
                loss = model(input_ids=input_ids, labels=labels)["loss"]
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                if variant != "the warm-up from 0 is never stepped":
                    scheduler.step()
                optimizer.zero_grad()
                value, steps = loss.item(), steps + 1
                if math.isnan(value) or math.isinf(value):
                    logged += logged / steps
                elif variant != "the else of the NaN filter is missing":
                    logged += value
            model.eval()
            with torch.no_grad():
                console.line(epoch, logged / steps, model(input_ids=data.x_val, labels=data.y_val)["loss"].item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "language",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "empty_targets": ("all labels -100, NaN logged as 0", "all labels -100, divided by at least 1"),
        "zero_learning_rate": ("the warm-up from 0 is never stepped",),
        "graph_cut": ("hidden states detached",),
        "parameters_not_trained": ("the head is resized after the optimizer was built",),
        "nan_gradients": ("root of 0 in a penalty",),
        "wrong_number": ("the else of the NaN filter is missing",),
    },
)
