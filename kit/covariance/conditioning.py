"""What is done to a covariance before it is compared: Hermitian part, trace norm, loading, shrinkage, blend.

All functions are batched over ``R [..., N, N]`` complex and differentiable. Trace norm and ``effective`` are a herm(R) + c I with two numbers
a sample, and are computed as that: one pass over the matrices, however many steps the formula has.
"""

from __future__ import annotations

from typing import Any

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


class _HermitianAffine(torch.autograd.Function):
    """a herm(R) + c I.  With H = g + g^H the gradients are a H / 2, Re<H, R> / 2 and Re tr g."""

    @staticmethod
    def forward(ctx: Any, R: Tensor, a: Tensor, c: Tensor) -> Tensor:
        ctx.save_for_backward(R, a)
        E = (R + R.mH).mul_(0.5 * a[..., None, None])
        E.diagonal(dim1=-2, dim2=-1).add_(c[..., None])
        return E

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        R, a = ctx.saved_tensors
        H = g + g.mH
        return H * (0.5 * a[..., None, None]), 0.5 * inner(H, R), trace(g)


def hermitian_affine(R: Tensor, a: Tensor, c: Tensor) -> Tensor:
    """a herm(R) + c I for ``R [..., N, N]`` complex, ``a, c [...]`` real: Hermitian to the last bit."""
    return _HermitianAffine.apply(R, a, c)


def inner(P: Tensor, T: Tensor) -> Tensor:
    """Re<P, T> over the last two axes, ``[..., N, N] -> [...]``."""
    p, t = (torch.view_as_real(R.resolve_conj()) for R in (P, T))
    return (p * t).sum((-3, -2, -1))


def herm(R: Tensor) -> Tensor:
    """herm(R) = (R + R^H) / 2."""
    return 0.5 * (R + R.mH)


def trace_norm(R: Tensor) -> Tensor:
    """TN(R) = herm(R) N / max(tr herm(R), 1e-9): Hermitian, with trace N. TN(0) = 0."""
    a = _to_trace_n(trace(R), R.shape[-1])
    return hermitian_affine(R, a, torch.zeros_like(a))


def trace_normed_outer(F: Tensor) -> Tensor:
    """TN(F F^H) for ``F [..., N, L]``: its columns are scaled before the product, so that the trace comes out as N."""
    tr = torch.view_as_real(F).square().sum((-3, -2, -1))
    F = F * _to_trace_n(tr, F.shape[-2]).sqrt()[..., None, None]
    return F @ F.mH


def _to_trace_n(tr: Tensor, N: int) -> Tensor:
    return N / tr.clamp_min(_TRACE_FLOOR)


def shrinkage_alpha(snr_db: Tensor, alpha0: float = 1e-3) -> Tensor:
    """alpha(SNR) = clamp(alpha0 10^(-SNR/20), 1e-4, 5e-2), SNR in dB."""
    return (alpha0 * 10 ** (-snr_db / 20)).clamp(*_ALPHA_RANGE)


def shrink(R: Tensor, snr_db: Tensor | None, alpha0: float = 1e-3) -> Tensor:
    """(1 - alpha) R + alpha mu I with mu = max(tr R, 1e-9) / N: keeps the trace. ``snr_db = None`` leaves R as it is."""
    if snr_db is None:
        return R
    kept, added = _shrunk(trace(R), R.shape[-1], snr_db, alpha0)
    return kept[..., None, None] * R + added[..., None, None] * identity_like(R)


def _shrunk(tr: Tensor, N: int, snr_db: Tensor, alpha0: float) -> tuple[Tensor, Tensor]:
    """1 - alpha and alpha mu."""
    alpha = shrinkage_alpha(snr_db, alpha0).to(tr.dtype)
    return 1 - alpha, alpha * tr.clamp_min(_TRACE_FLOOR) / N


def load(R: Tensor, delta: float) -> Tensor:
    """Diagonal loading: TN(R + delta I), or R itself for delta = 0."""
    return R if delta == 0 else trace_norm(R + delta * identity_like(R))


def effective(R: Tensor, snr_db: Tensor | None = None, delta: float = 1e-3, alpha0: float = 1e-3) -> Tensor:
    """eff(R, s, delta) = shrink(load(TN(R), delta), s): the matrix that the loss really compares.

    ``eff(0, s, delta) = I`` for any delta > 0: zero factors do not disappear, they become white noise.
    """
    a, c = effective_coefficients(trace(R), R.shape[-1], snr_db, delta, alpha0)
    return hermitian_affine(R, a, c)


def effective_coefficients(
    tr: Tensor, N: int, snr_db: Tensor | None, delta: float, alpha0: float
) -> tuple[Tensor, Tensor]:
    """a and c of eff(R, s, delta) = a herm(R) + c I, from the trace of R alone; all ``[...]``."""
    a = _to_trace_n(tr, N)
    tr, c = a * tr, torch.zeros_like(a)
    if delta:
        again = _to_trace_n(tr + N * delta, N)
        a, c, tr = again * a, again * delta, again * (tr + N * delta)
    if snr_db is not None:
        kept, added = _shrunk(tr, N, snr_db, alpha0)
        a, c = kept * a, kept * c + added
    return a, c


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
    R_samp, N = R_samp.detach(), R_pred.shape[-1]
    pred, samp = (1 - beta) * _to_trace_n(trace(R_pred), N), beta * _to_trace_n(trace(R_samp), N)
    return trace_norm(torch.addcmul(samp[..., None, None] * R_samp, pred[..., None, None], R_pred))
