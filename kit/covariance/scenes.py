"""Where the sources are: number, direction, range and SNR of each scene, drawn from one explicit generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PHI_RANGE = (-math.pi / 3, math.pi / 3)  # rad
THETA_RANGE = (-math.pi / 6, math.pi / 6)  # rad
R_RANGE = (0.5, 10.0)  # m
SNR_RANGE_DB = (-5.0, 20.0)

_SPLITS = ("train", "validation", "test")
_SEED_SPACE = 2**61


@dataclass(frozen=True)
class Scenes:
    """B scenes: K ``[B]`` int64; active, phi, theta, r ``[B, K_max]`` (rad, rad, m; zero in unused slots); snr_db ``[B]``."""

    K: Tensor
    active: Tensor
    phi: Tensor
    theta: Tensor
    r: Tensor
    snr_db: Tensor

    @property
    def ptr(self) -> Tensor:
        """phi | theta | r, ``[B, 3 K_max]``."""
        return torch.cat([self.phi, self.theta, self.r], dim=-1)

    def path_gain(self, wavelength: float) -> Tensor:
        """Free-space amplitude g = wavelength / (4 pi r), ``[B, K_max]``; zero in unused slots."""
        gain = wavelength / (4 * math.pi * self.r.clamp_min(1e-6))
        return torch.where(self.active, gain, torch.zeros_like(gain))


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Uniform draws in [low, high)."""
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=dtype)


def complex_normal(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Circular CN(0, 1) draws: variance 1/2 in each real part."""
    return torch.randn(shape, generator=generator, dtype=dtype)


def draw_scenes(n: int, k_max: int, generator: torch.Generator, dtype: torch.dtype) -> Scenes:
    """n scenes with K uniform on 1..k_max and positions and SNR uniform on their ranges; ``dtype`` is real."""
    K = torch.randint(1, k_max + 1, (n,), generator=generator)
    active = torch.arange(k_max) < K[:, None]
    phi, theta, r = (
        torch.where(active, uniform((n, k_max), *limits, generator, dtype), torch.zeros((), dtype=dtype))
        for limits in (PHI_RANGE, THETA_RANGE, R_RANGE)
    )
    snr_db = uniform((n,), *SNR_RANGE_DB, generator, dtype)
    return Scenes(K, active, phi, theta, r, snr_db)


def split_generators(seed: int) -> dict[str, torch.Generator]:
    """One generator each for "train", "validation" and "test", whose streams share no seed for any pair of user seeds.

    The three seeds of ``seed`` are 3 seed, 3 seed + 1 and 3 seed + 2, so no split of one seed is a split of another one:
    offsets that are smaller than the number of samples (0 / 123 / 456, one seed per sample) would repeat training samples in
    the validation set.

    Raises:
        ValueError: seed is not an integer in [0, 2^61).
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < _SEED_SPACE:
        raise ValueError(f"seed should be an integer in [0, 2**61). Found seed = {seed!r}.")
    return {name: torch.Generator().manual_seed(3 * seed + i) for i, name in enumerate(_SPLITS)}
