"""The planar array: element positions and near-field steering vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_MIN_RANGE_M = 1e-6  # keeps the curvature finite where an unused slot carries r = 0


@dataclass(frozen=True)
class PlanarArray:
    """A uniform planar array of ``n_h`` columns and ``n_v`` rows; the default is 12 x 12 at 1 GHz, half a wavelength apart.

    Element ``n = v * n_h + h`` (columns run fastest) stands at

        x_n = (h - n_h // 2) * spacing,    y_n = (v - n_v // 2) * spacing,    z_n = 0        [m]

    so for even sizes the centroid is *not* the origin: angles and ranges refer to element (n_h // 2, n_v // 2).

    Args:
        n_h, n_v: columns and rows, >= 1.
        wavelength: metres, > 0.
        spacing: metres, > 0; ``None`` means half a wavelength.
    """

    n_h: int = 12
    n_v: int = 12
    wavelength: float = 0.3
    spacing: float | None = None

    def __post_init__(self) -> None:
        for name in ("n_h", "n_v"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} should be an integer >= 1. Found {name} = {value!r}.")
        if self.spacing is None:
            object.__setattr__(self, "spacing", self.wavelength / 2)
        for name in ("wavelength", "spacing"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} should be a finite length > 0 in metres. Found {name} = {value!r}.")

    @property
    def n(self) -> int:
        """Number of elements, N."""
        return self.n_h * self.n_v

    @property
    def k0(self) -> float:
        """Wavenumber 2 pi / wavelength in rad/m."""
        return 2 * math.pi / self.wavelength

    @property
    def positions(self) -> Tensor:
        """Element positions (x, y, 0) in metres, float64 ``[N, 3]``."""
        assert self.spacing is not None  # __post_init__ has put half a wavelength for it
        n = torch.arange(self.n)
        x = (n % self.n_h - self.n_h // 2).double() * self.spacing
        y = (n // self.n_h - self.n_v // 2).double() * self.spacing
        return torch.stack([x, y, torch.zeros_like(x)], dim=-1)

    def steering(self, phi: Tensor, theta: Tensor, r: Tensor) -> Tensor:
        """Unit-norm near-field steering vectors (Fresnel approximation: second order in position over range).

            u = sin(phi) cos(theta)        w = sin(theta)
            psi_n = k0 [ u x_n + w y_n - (x_n^2 + y_n^2) / (2 r) ]
            a_n = exp(j psi_n) / sqrt(N)

        The common phase ``k0 r`` and the mixed second-order terms are left out; the far field is the limit r -> inf. psi_n is a
        column's share plus a row's, so a_n is a product of n_h + n_v exponentials.

        Args:
            phi, theta: azimuth and elevation in radians.
            r: range in metres from the reference element; broadcast with the angles to ``[..., Q]``.

        Returns:
            Complex ``[..., N, Q]`` (``[N]`` for three scalars), complex128 where any input is float64, else complex64.
        """
        phi, theta, r = torch.broadcast_tensors(*(torch.as_tensor(value) for value in (phi, theta, r)))
        real = torch.float64 if torch.float64 in (phi.dtype, theta.dtype, r.dtype) else torch.float32
        phi, theta, r = (value.to(real) for value in (phi, theta, r))
        scalar = phi.ndim == 0
        if scalar:
            phi, theta, r = (value[None] for value in (phi, theta, r))
        half_curvature = 0.5 / r.clamp_min(_MIN_RANGE_M)
        p = self._phases(self.n_h, phi.sin() * theta.cos(), half_curvature)  # [..., n_h, Q]
        q = self._phases(self.n_v, theta.sin(), half_curvature) * self.n**-0.5  # [..., n_v, Q]
        a = (q[..., :, None, :] * p[..., None, :, :]).flatten(-3, -2)
        return a[..., 0] if scalar else a

    def _phases(self, count: int, slope: Tensor, half_curvature: Tensor) -> Tensor:
        """exp(j k0 [slope x - x^2 half_curvature]) of ``count`` elements in a line, ``[..., Q] -> [..., count, Q]``."""
        assert self.spacing is not None  # __post_init__ has put half a wavelength for it
        places = (torch.arange(count, dtype=torch.float64, device=slope.device) - count // 2) * self.spacing
        x = places.to(slope.dtype)[:, None]
        psi = self.k0 * (x * slope[..., None, :] - x * x * half_curvature[..., None, :])
        return torch.polar(torch.ones_like(psi), psi)
