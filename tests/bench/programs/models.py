"""Tiny networks that several styles share."""

from __future__ import annotations

from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_SIZES = MappingProxyType({"class_logits": 3, "offset": 2, "quality": 1})


def mlp(inputs: int, width: int, outputs: int, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, outputs)
    )


class ConvNet(nn.Module):
    """``[B, 1, 8, 8] -> [B, classes]``."""

    def __init__(self, width: int, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, width // 2, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Linear(width // 2 * 16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class Block(nn.Module):
    """Causal attention with one head and a small feed-forward part, ``[B, T, width] -> [B, T, width]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return x + self.feed(x)


class ManyHeads(nn.Module):
    """``[B, 8]`` -> class_logits ``[B, 3]``, offset ``[B, 2]``, quality ``[B]``: those heads that were asked for."""

    def __init__(self, width: int, heads: tuple[str, ...] = ("class_logits", "offset", "quality")) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(width, HEAD_SIZES[name]) for name in heads})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        outputs = {name: head(features) for name, head in self.heads.items()}
        return {name: value.squeeze(-1) if name == "quality" else value for name, value in outputs.items()}


def dead_relu(layer: nn.Linear) -> nn.Sequential:
    """A last ReLU behind a bias so low that it never opens."""
    with torch.no_grad():
        layer.bias.fill_(-50.0)
    return nn.Sequential(layer, nn.ReLU())
