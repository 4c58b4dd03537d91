"""The seven terms, one pure function each, unweighted. Shapes: B samples, N elements, K slots (K_max), Q stencil points.

``active [B, K]`` is True in the first K_b slots of sample b. Every function returns a 0-d tensor unless it says otherwise.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.covariance.conditioning import identity_like
from kit.loss.covariances import Covariance, energy

ANGLE_HUBER = math.pi / 720  # rad
LOG_RANGE_HUBER = 0.2
ELEVATION_WEIGHT = 1.5
LABEL_SMOOTHING = 0.05
UNDERCOUNT_WEIGHT = 2.0
PEAK_TEMPERATURE = 0.1
_PROJECTOR_RIDGE = 1e-4
_SPECTRUM_LOADING = 1e-4


def nmse(P: Tensor, T: Tensor) -> Tensor:
    """nmse_b = ||P_b - T_b||^2 / max(||T_b||^2, 1e-12), ``[B, N, N] -> [B]``. nmse(T, T) = 0, nmse(0, T) = 1."""
    return energy(P - T) / energy(T).clamp_min(1e-12)


def ortho(A: Tensor, active: Tensor) -> Tensor:
    """<sum_ij m_i m_j |A^H A - I|_ij^2 / K_b^2>_b on the angle factor A ``[B, N, K]``, active columns only."""
    G = A.mH @ A - torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    pair = active[:, :, None] & active[:, None, :]
    squared = torch.where(pair, G.real.square() + G.imag.square(), torch.zeros((), dtype=G.real.dtype))
    return (squared.sum((1, 2)) / pair.sum((1, 2)).clamp_min(1e-9)).mean()


def source_count(k_logits: Tensor, K: Tensor) -> Tensor:
    """<omega_b CE_b>_b: cross-entropy with smoothing 0.05, doubled where the count is underestimated. ``k_logits [B, K]``.

    The floor is the entropy of the smoothed target (0.2234 for five classes), not 0.
    """
    target = K - 1
    cross_entropy = F.cross_entropy(k_logits, target, label_smoothing=LABEL_SMOOTHING, reduction="none")
    undercounted = k_logits.argmax(dim=-1) < target
    return (cross_entropy * torch.where(undercounted, UNDERCOUNT_WEIGHT, 1.0)).mean()


def wrap(e: Tensor) -> Tensor:
    """The angle e in [-pi, pi)."""
    return torch.remainder(e + math.pi, 2 * math.pi) - math.pi


def huber(e: Tensor, delta: float) -> Tensor:
    """H(e) = e^2 / (2 delta) for |e| <= delta, else |e| - delta / 2: slope 1 far out."""
    return F.huber_loss(e, torch.zeros_like(e), reduction="none", delta=delta) / delta


def positions(ptr_hat: Tensor, ptr: Tensor, active: Tensor, range_floor: float) -> Tensor:
    """Huber errors of azimuth, elevation (x 1.5) and log-range, slot by slot, averaged over all active sources of the batch.

        e_phi = wrap(phi^ - phi),  e_theta = wrap(theta^ - theta),  e_r = ln max(r^, floor) - ln max(r, floor)

    ``ptr_hat, ptr [B, 3 K]``. Below the floor (metres) the gradient with respect to r^ is exactly 0.
    """
    shape = (len(ptr), 3, active.shape[-1])
    truth = ptr.reshape(shape)
    # unused slots are replaced before anything is computed: not even a NaN may leak out of them
    found = torch.where(active[:, None, :], ptr_hat.reshape(shape), truth)
    angle = huber(wrap(found[:, :2] - truth[:, :2]), ANGLE_HUBER)
    log_range = huber(
        found[:, 2].clamp_min(range_floor).log() - truth[:, 2].clamp_min(range_floor).log(), LOG_RANGE_HUBER
    )
    return (angle[:, 0] + ELEVATION_WEIGHT * angle[:, 1] + log_range).sum() / (active.sum() + 1e-9)


def subspace_align(R: Covariance, A_g: Tensor) -> Tensor:
    """Share of the energy of R outside the true signal subspace, <||Pi R Pi||^2 / (||R||^2 + 1e-12)>_b in [0, 1].

        Q = A_g (A_g^H A_g + 1e-4 I)^-1 A_g^H,   Pi = I - Q

    ``A_g [B, N, K]`` holds the true steering vectors, zero columns in unused slots.
    """
    gram = A_g.mH @ A_g
    U = torch.linalg.solve(gram + _PROJECTOR_RIDGE * identity_like(gram), A_g.mH)  # [B, K, N], Q = A_g U
    return (R.energy_outside(A_g, U) / (R.energy() + 1e-12)).mean()


def peak_contrast(R: Covariance, a: Tensor, sample: Tensor) -> Tensor:
    """The adaptive (MVDR) spectrum on a stencil round each true source must peak at its centre.

        D_sq = max(Re[a^H (E_b + 1e-4 I)^-1 a], 1e-12),   z = -ln(D) / tau,   tau = 0.1
        loss = <-log_softmax_q(z_s)[centre]>_s

    ``a [S, N, Q]`` of all sources of the batch, with the centre at Q // 2; ``sample [S]``, ascending, says whose. A flat spectrum gives ln Q.

    Raises:
        ValueError: E is finite but not positive definite.
    """
    D = R.inverse_power(a, sample, _SPECTRUM_LOADING).clamp_min(1e-12)
    z = -D.log() / PEAK_TEMPERATURE
    return -F.log_softmax(z, dim=-1)[:, z.shape[-1] // 2].sum() / (len(sample) + 1e-9)
