"""Generator G1: plain array snapshots, the default."""

from __future__ import annotations

import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance.conditioning import trace_normed_outer
from kit.covariance.scenes import Scenes, complex_normal

_MIN_NOISE_POWER = 1e-12


def array_snapshots(array: PlanarArray, scenes: Scenes, snapshots: int, generator: torch.Generator) -> Tensor:
    """Noisy snapshots at the array, ``[B, N, L]`` complex.

    X = A diag(g) S,  s_kl ~ CN(0, 1)
    sigma^2 = max(mean |X|^2 / 10^(SNR/10), 1e-12)
    Y = X + sigma V,  V_nl ~ CN(0, 1)
    """
    A, g = array.steering(scenes.phi, scenes.theta, scenes.r), scenes.path_gain(array.wavelength)
    B, N, k_max = A.shape
    S = complex_normal((B, k_max, snapshots), generator, A.dtype)
    X = (A * g[:, None, :]) @ S  # [B, N, L]
    power = torch.view_as_real(X).square().sum(-1).mean(dim=(1, 2))
    sigma = (power / 10 ** (scenes.snr_db / 10)).clamp_min(_MIN_NOISE_POWER).sqrt()
    return X + sigma[:, None, None] * complex_normal((B, N, snapshots), generator, A.dtype)


def sample_covariance(Y: Tensor) -> Tensor:
    """R_samp = TN(Y Y^H / L), ``[B, N, L] -> [B, N, N]``, rank <= L."""
    return trace_normed_outer(Y / Y.shape[-1] ** 0.5)


def covariance_of(A: Tensor, power: Tensor) -> Tensor:
    """R_true = TN(A diag(power) A^H): steering vectors ``[B, N, K]``, source powers ``[B, K]`` -> ``[B, N, N]``, noise free."""
    return trace_normed_outer(A * power.sqrt()[:, None, :])


def true_covariance(array: PlanarArray, scenes: Scenes) -> Tensor:
    """R_true of scenes with unit-power symbols: ``power`` is the squared path gain."""
    A = array.steering(scenes.phi, scenes.theta, scenes.r)
    return covariance_of(A, scenes.path_gain(array.wavelength).square())
