"""What is done to a covariance before it is compared: Hermitian part, trace norm, loading, shrinkage, blend.

All functions are batched over ``R [..., N, N]`` complex and differentiable.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TRACE_FLOOR = 1e-9
_ALPHA_RANGE = (1e-4, 5e-2)


def trace(R: Tensor) -> Tensor:
    """Real part of the trace, ``[..., N, N] -> [...]``."""
    return R.diagonal(dim1=-2, dim2=-1).real.sum(-1)


def identity_like(R: Tensor) -> Tensor:
    """The identity ``[N, N]`` in the type and on the device of ``R``."""
    return torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)


def herm(R: Tensor) -> Tensor:
    """herm(R) = (R + R^H) / 2."""
    return 0.5 * (R + R.mH)


def trace_norm(R: Tensor) -> Tensor:
    """TN(R) = herm(R) N / max(tr herm(R), 1e-9): Hermitian, with trace N. TN(0) = 0."""
    tr = trace(R).clamp_min(_TRACE_FLOOR)
    return herm(R) * (R.shape[-1] / tr)[..., None, None]


def shrinkage_alpha(snr_db: Tensor, alpha0: float = 1e-3) -> Tensor:
    """alpha(SNR) = clamp(alpha0 10^(-SNR/20), 1e-4, 5e-2), SNR in dB."""
    return (alpha0 * 10 ** (-snr_db / 20)).clamp(*_ALPHA_RANGE)


def shrink(R: Tensor, snr_db: Tensor | None, alpha0: float = 1e-3) -> Tensor:
    """(1 - alpha) R + alpha mu I with mu = max(tr R, 1e-9) / N: keeps the trace. ``snr_db = None`` leaves R as it is."""
    if snr_db is None:
        return R
    alpha = shrinkage_alpha(snr_db, alpha0)[..., None, None].to(R.real.dtype)
    mu = (trace(R).clamp_min(_TRACE_FLOOR) / R.shape[-1])[..., None, None]
    return (1 - alpha) * R + (alpha * mu) * identity_like(R)


def load(R: Tensor, delta: float) -> Tensor:
    """Diagonal loading: TN(R + delta I), or R itself for delta = 0."""
    return R if delta == 0 else trace_norm(R + delta * identity_like(R))


def effective(R: Tensor, snr_db: Tensor | None = None, delta: float = 1e-3, alpha0: float = 1e-3) -> Tensor:
    """eff(R, s, delta) = shrink(load(TN(R), delta), s): the matrix that the loss really compares.

    ``eff(0, s, delta) = I`` for any delta > 0: zero factors do not disappear, they become white noise.
    """
    return shrink(load(trace_norm(R), delta), snr_db, alpha0)


def blend(R_pred: Tensor, R_samp: Tensor | None, beta: float) -> Tensor:
    """R_blend = TN((1 - beta) TN(R_pred) + beta TN(R_samp)), or TN(R_pred) for beta = 0 or no R_samp.

    Measured data receives no gradient: R_samp is detached, so the gradient that reaches the prediction is scaled by 1 - beta.

    Raises:
        ValueError: beta outside [0, 1).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta should be in [0, 1). Found beta = {beta!r}.")
    if R_samp is None or beta == 0:
        return trace_norm(R_pred)
    return trace_norm((1 - beta) * trace_norm(R_pred) + beta * trace_norm(R_samp.detach()))
