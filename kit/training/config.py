"""Settings of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; the defaults are the report's trainer.

    Args:
        epochs, batch_size: >= 1.
        lr: AdamW rate of the trunk; heads get four times as much.
        weight_decay: AdamW.
        clip_norm: gradients are clipped to this norm after the gate.
        ema_decay: validate on an exponential moving average of the weights; ``None`` validates the weights themselves.
        blend: final share beta of the sample covariance in R_blend; 0 passes no R_blend.
        blend_jitter: half width of beta's jitter after its ramp.
        validate_with_blend: pass R_blend in validation too. Off as in the original: its two losses measure different objects.
        structure_schedule: set lam_subspace_align and lam_peak_contrast in every epoch.
        stage_mix: use the optional three-stage mix of lam_cov, lam_K and lam_aux.
        search_weights: applied once before the first epoch (``apply_hpo_loss_weights``).
        require_steps: an epoch without a single optimiser step is an error; off for experiments that provoke it.
        seed: order of the batches and jitter.
    """

    epochs: int = 10
    batch_size: int = 64
    lr: float = 3e-4
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float | None = 0.999
    blend: float = 0.30
    blend_jitter: float = 0.05
    validate_with_blend: bool = False
    structure_schedule: bool = True
    stage_mix: bool = False
    search_weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    require_steps: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} should be an integer >= 1. Found {name} = {value!r}.")
        for name in ("lr", "weight_decay", "blend_jitter"):
            self._check(name, getattr(self, name) >= 0, "finite and >= 0")
        self._check("clip_norm", self.clip_norm > 0, "finite and > 0")
        self._check("blend", 0 <= self.blend < 1, "in [0, 1)")
        if self.ema_decay is not None:
            self._check("ema_decay", 0 <= self.ema_decay < 1, "in [0, 1), or None")

    def _check(self, name: str, fits: bool, rule: str) -> None:
        value = getattr(self, name)
        if not (fits and math.isfinite(value)):
            raise ValueError(f"{name} should be {rule}. Found {name} = {value!r}.")

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {**values, "search_weights": dict(self.search_weights)}
