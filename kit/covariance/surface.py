"""Generator G2: the scene seen through a coded surface by a small receiver, as the public original measures it.

Known weakness, kept because it is the point of having G2: the symbols are constant over the snapshots, so subtracting the
snapshot mean in the sample covariance removes the signal itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance.conditioning import trace_normed_outer
from kit.covariance.scenes import PHI_RANGE, Scenes, complex_normal, uniform

RECEIVER_ANTENNAS = 16
_BEAMS_PER_ROW = 8
_BEAM_STRIDE = 4
_PHASE_STEP = math.pi / 4  # 3-bit phase shifters
_TX_POWER_DBM = (-30.0, 20.0)
_RICIAN_RANGE = (0.5, 10.0)
_AMPLIFIER = 1000.0
_SURFACE_RANGE_M = 100.0
_RIDGE = 1e-3
_MIN_NOISE_POWER = 1e-12


def surface_codes(array: PlanarArray, snapshots: int = 16) -> Tensor:
    """Unit-modulus codes ``[L, N]`` complex128: two-dimensional DFT beams with phases rounded to multiples of pi/4.

    beam beta = 4 l,   i = beta mod 8,   j = floor(beta / 8)
    phase = 2 pi / n_h  i (h - (n_h - 1)/2)  +  2 pi / n_v  j (v - (n_v - 1)/2)
    """
    n, beam = torch.arange(array.n), _BEAM_STRIDE * torch.arange(snapshots)[:, None]
    h, v = (n % array.n_h).double() - (array.n_h - 1) / 2, (n // array.n_h).double() - (array.n_v - 1) / 2
    ideal = 2 * math.pi * (beam % _BEAMS_PER_ROW * h / array.n_h + beam // _BEAMS_PER_ROW * v / array.n_v)  # [L, N]
    phase = (ideal / _PHASE_STEP).round() * _PHASE_STEP
    return torch.polar(torch.ones_like(phase), phase)


def draw_channel(array: PlanarArray, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Rician channel from the surface to the receiver, ``[B, 16, N]`` complex.

    H = sqrt(kappa / (kappa + 1)) q c^H + sqrt(1 / (kappa + 1)) W,    kappa ~ U(0.5, 10),  W ~ CN(0, 1/16)
    """
    assert array.spacing is not None  # an array has put half a wavelength for it
    M = RECEIVER_ANTENNAS
    kappa = uniform((n, 1, 1), *_RICIAN_RANGE, generator, dtype)
    phi0, theta0 = (uniform((n, 1), *PHI_RANGE, generator, dtype) for _ in range(2))  # both on +-pi/3
    m = torch.arange(M, dtype=dtype) - (M - 1) / 2
    psi = -array.k0 * m * array.spacing * phi0.sin() * theta0.cos()  # [B, M]
    q = torch.polar(torch.full_like(psi, M**-0.5), psi)
    c = array.steering(phi0, theta0, torch.full_like(phi0, _SURFACE_RANGE_M))  # [B, N, 1]
    W = complex_normal((n, M, array.n), generator, c.dtype) / math.sqrt(M)
    return (kappa / (kappa + 1)).sqrt() * (q[..., None] @ c.mH) + (1 / (kappa + 1)).sqrt() * W


def surface_measurement(
    array: PlanarArray, scenes: Scenes, snapshots: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Received snapshots through the surface: y ``[B, L, 16]``, H ``[B, 16, N]``, codes ``[L, N]``, source power |s|^2 ``[B, K_max]``.

    y_l = 1000 H diag(code_l) A_g s + noise, with one symbol vector s ~ CN(0, I) for all snapshots of a scene.
    """
    A, g = array.steering(scenes.phi, scenes.theta, scenes.r), scenes.path_gain(array.wavelength)
    B, dtype = len(scenes.K), scenes.phi.dtype
    p_dbm = uniform((B, 1), *_TX_POWER_DBM, generator, dtype)
    s = complex_normal(tuple(g.shape), generator, A.dtype)
    H = draw_channel(array, B, generator, dtype)
    codes = surface_codes(array, snapshots).to(A.dtype)
    source = (A @ (g * (10 ** (p_dbm / 10) / 1000).sqrt() * s)[..., None])[..., 0]  # [B, N]
    clean = _AMPLIFIER * (codes * source[:, None, :]) @ H.mT  # [B, L, 16]
    power = clean.abs().square().mean(dim=(1, 2))
    sigma = (power / 10 ** (scenes.snr_db / 10)).clamp_min(_MIN_NOISE_POWER).sqrt()
    y = clean + sigma[:, None, None] * complex_normal(tuple(clean.shape), generator, A.dtype)
    return y, H, codes, s.abs().square()


def surface_sample_covariance(y: Tensor, H: Tensor, codes: Tensor) -> Tensor:
    """Back-projected sample covariance ``[B, N, N]``.

        x_l = (Phi_l^H Phi_l + eta_l I)^-1 Phi_l^H y_l,   Phi_l = H diag(code_l),   eta_l = 1e-3 tr(Phi_l^H Phi_l) / N
        R_samp = TN( sum_l (x_l - mean)(x_l - mean)^H / (L - 1) )

    Codes have unit modulus, so Phi_l Phi_l^H = H H^H and the inverse is taken once, in the 16 receiver dimensions:
    x_l = conj(code_l) * H^H (H H^H + eta I)^-1 y_l.

    Args:
        y: ``[B, L, 16]``; H: ``[B, 16, N]``; codes: ``[L, N]`` or ``[B, L, N]``, unit modulus.
    """
    HHh = H @ H.mH  # [B, 16, 16]
    eta = _RIDGE * HHh.diagonal(dim1=-2, dim2=-1).real.sum(-1) / H.shape[-1]
    loaded = HHh + eta[:, None, None] * torch.eye(HHh.shape[-1], dtype=H.dtype)
    x = codes.conj() * (H.mH @ torch.linalg.solve(loaded, y.mT)).mT  # [B, L, N]
    return trace_normed_outer((x - x.mean(dim=1, keepdim=True)).mT / (y.shape[1] - 1) ** 0.5)
