"""Weighted sums as people write them: float attributes ``lam_*``, sometimes with their terms on offer, sometimes not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.tasks import Annotated


class HeadsLoss(nn.Module):
    """Reads a mapping, offers its terms; a prediction that is not there counts 0."""

    expects = ("class_logits", "offset", "quality")

    def __init__(self, lam_class: float = 1.0, lam_offset: float = 1.0, lam_quality: float = 0.2) -> None:
        super().__init__()
        self.lam_class, self.lam_offset, self.lam_quality = lam_class, lam_offset, lam_quality

    def components(self, prediction: Mapping[str, Tensor], target: Annotated) -> dict[str, Tensor]:
        terms = {name: torch.zeros(()) for name in ("class", "offset", "quality")}
        if "class_logits" in prediction:
            terms["class"] = F.cross_entropy(prediction["class_logits"], target.label)
        if "offset" in prediction:
            terms["offset"] = F.smooth_l1_loss(prediction["offset"], target.offset)
        if "quality" in prediction:
            terms["quality"] = F.binary_cross_entropy_with_logits(prediction["quality"], target.quality)
        return terms

    def forward(self, prediction: Mapping[str, Tensor], target: Annotated) -> Tensor:
        terms = self.components(prediction, target)
        return self.lam_class * terms["class"] + self.lam_offset * terms["offset"] + self.lam_quality * terms["quality"]


class FieldLoss(nn.Module):
    """A value, a roughness within the batch and a size; no terms on offer."""

    def __init__(self, lam_value: float = 1.0, lam_mean: float = 0.3, lam_size: float = 0.01) -> None:
        super().__init__()
        self.lam_value, self.lam_mean, self.lam_size = lam_value, lam_mean, lam_size

    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        value = (y_hat - y).square().mean()
        mean = (y_hat.mean() - y.mean()).square()
        return self.lam_value * value + self.lam_mean * mean + self.lam_size * y_hat.square().mean()


class VaeLoss(nn.Module):
    """Reconstruction and Kullback-Leibler divergence of (reconstruction, mean, log-variance); no terms on offer."""

    def __init__(self, lam_recon: float = 1.0, lam_kl: float = 0.02) -> None:
        super().__init__()
        self.lam_recon, self.lam_kl = lam_recon, lam_kl

    def forward(self, output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        x_hat, mean, logvar = output
        recon = (x_hat - x).square().sum(-1).mean()
        kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(-1).mean()
        return self.lam_recon * recon + self.lam_kl * kl
