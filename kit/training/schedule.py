"""What changes over a run: structure weights, blend, search weights, learning rate. Epochs are counted from 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch

from kit.loss import UltimateHybridLoss

_WARM_UP = (0.02, 0.05)
_MAIN = (0.05, 0.10)
_FINAL = (0.07, 0.12)
_WARM_UP_EPOCHS = 3

BLEND_FINAL = 0.30
BLEND_LIMIT = 0.95

# what a hyper-parameter search draws from; lam_cov = 0 is outside it, so a search that behaves cannot be the cause of a zero
SEARCH_RANGES = MappingProxyType(
    {
        "lam_cov": (0.10, 0.25),
        "lam_ang": (0.5, 1.0),
        "lam_rng": (0.3, 0.6),
        "lam_K": (0.05, 0.25),
        "alpha0": (0.10, 0.20),
    }
)
_ORTHO_RESET = 1e-3
_MIX_DEFAULT = MappingProxyType({"lam_cov": 1.0, "lam_ang": 0.2, "lam_rng": 0.2, "lam_K": 0.12})


def structure_weights(epoch: int, epochs: int) -> tuple[float, float]:
    """(lam_subspace_align, lam_peak_contrast): warm-up for three epochs, final from floor(0.8 E), main in between."""
    if epoch < _WARM_UP_EPOCHS:
        return _WARM_UP
    return _FINAL if epoch >= math.floor(0.8 * epochs) else _MAIN


def update_structure_loss_weights(loss: UltimateHybridLoss, epoch: int, epochs: int) -> None:
    """Set the two structure weights of this epoch, and nothing else: lam_cov keeps whatever value it has."""
    loss.lam_subspace_align, loss.lam_peak_contrast = structure_weights(epoch, epochs)


def apply_hpo_loss_weights(loss: UltimateHybridLoss, weights: Mapping[str, float]) -> None:
    """Apply the weights that a hyper-parameter search found; call it once, after construction.

    lam_cov and lam_K replace the current values, lam_aux becomes lam_ang + lam_rng, alpha0 replaces the shrinkage base, lam_ortho
    goes back to 1e-3. An absent lam_cov means 1.0 (the report's option 2); other absent keys leave what is there.

    Raises:
        ValueError: a key that would not be applied: an unknown one, or lam_ang without lam_rng. Nothing is changed then.
    """
    unknown = sorted(set(weights) - set(SEARCH_RANGES))
    if unknown:
        raise ValueError(
            f"Search weights should be among {', '.join(SEARCH_RANGES)}. Found {', '.join(unknown)}: it would not be applied."
        )
    if ("lam_ang" in weights) != ("lam_rng" in weights):
        found = "lam_ang" if "lam_ang" in weights else "lam_rng"
        raise ValueError(
            f"lam_ang and lam_rng should be given together, their sum is lam_aux. Found only {found}: it would not be applied."
        )
    wanted = {"lam_cov": weights.get("lam_cov", 1.0), "lam_ortho": _ORTHO_RESET}
    if "lam_K" in weights:
        wanted["lam_K"] = weights["lam_K"]
    if "lam_ang" in weights:
        wanted["lam_aux"] = weights["lam_ang"] + weights["lam_rng"]
    alpha0 = weights.get("alpha0", loss.alpha0)
    if not (math.isfinite(alpha0) and alpha0 > 0):
        raise ValueError(f"alpha0 should be finite and > 0. Found alpha0 = {alpha0!r}.")
    loss.set_weights(wanted)
    loss.alpha0 = alpha0
    refused = {name: getattr(loss, name) for name, value in wanted.items() if getattr(loss, name) != value}
    if refused:
        raise ValueError(f"Search weights should read back as applied. Found {refused} where {wanted} was set.")


def mix_stage(epoch: int, epochs: int) -> int:
    """Which third of the run: 0, 1 or 2."""
    return min(2, 3 * epoch // max(epochs, 1))


def phase_weights(stage: int, search: Mapping[str, float] | None = None) -> dict[str, float]:
    """The optional three-stage mix of lam_cov, lam_K and lam_aux, on search values h or (1.0, 0.2, 0.2, 0.12).

    lam_cov = h_cov (0.25, 0.25, 0.7)          lam_K = (0.05, 0.10, h_K)
    lam_aux = (0.7 h_ang,  0.2 h_ang + 0.45 h_rng,  0.25 h_ang + 0.3 h_rng)
    """
    if stage not in (0, 1, 2):
        raise ValueError(f"stage should be 0, 1 or 2. Found stage = {stage!r}.")
    h = {**_MIX_DEFAULT, **(search or {})}
    ang, rng = ((0.7, 0.0), (0.2, 0.45), (0.25, 0.3))[stage]
    return {
        "lam_cov": h["lam_cov"] * (0.25, 0.25, 0.7)[stage],
        "lam_K": (0.05, 0.10, h["lam_K"])[stage],
        "lam_aux": ang * h["lam_ang"] + rng * h["lam_rng"],
    }


def blend_beta(
    epoch: int, epochs: int, final: float = BLEND_FINAL, jitter: float = 0.0, generator: torch.Generator | None = None
) -> float:
    """Share beta of the sample covariance in R_blend: a ramp over W = max(2, floor(0.2 E)) epochs to ``final``, then jittered.

    The first epoch has final / W, not 0. After the ramp: clamp(final + jitter U(-1, 1), 0, 0.95), one draw per call.
    """
    W = max(2, math.floor(0.2 * epochs))
    if epoch + 1 <= W:
        return final * (epoch + 1) / W
    if jitter == 0:
        return final
    u = 2 * torch.rand((), generator=generator).item() - 1
    return min(max(final + jitter * u, 0.0), BLEND_LIMIT)


def lr_multiplier(step: int, steps: int) -> float:
    """Factor on the learning rate of optimiser step i of S: max(0.5, i / w) for i < w = min(10, floor(S / 50)), then half a cosine."""
    w = min(10, steps // 50)
    if step < w:
        return max(0.5, step / w)
    return 0.5 * (1 + math.cos(math.pi * (step - w) / (steps - w)))
