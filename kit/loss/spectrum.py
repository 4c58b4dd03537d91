"""The adaptive (MVDR, Capon) spectrum: one Cholesky factor per matrix, and its gradient in closed form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable


class _InversePower(torch.autograd.Function):
    """D_q = Re[a_q^H E^-1 a_q].  With x_q = E^-1 a_q the gradient is -sum_q g_q x_q x_q^H: one product, no second solve."""

    @staticmethod
    def forward(ctx: FunctionCtx, E: Tensor, a: Tensor) -> Tensor:
        # in double precision: E is nearly singular by design, in single precision 1e-4 of the value is lost
        wide = torch.complex128
        C, info = torch.linalg.cholesky_ex(E.to(wide))
        C = _usable(C, info > 0, E)
        a = a.to(wide)
        x = torch.cholesky_solve(a, C)
        ctx.save_for_backward(x.to(E.dtype))
        return (a.real * x.real + a.imag * x.imag).sum(-2).to(E.real.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return -(x * g[..., None, :]) @ x.mH, None


def inverse_power(E: Tensor, a: Tensor) -> Tensor:
    """Re[a_q^H E^-1 a_q] for every column of ``a``, the reciprocal of the adaptive spectrum.

    Args:
        E: ``[B, N, N]`` Hermitian positive definite.
        a: ``[B, N, Q]`` steering vectors; they come from labels and receive no gradient.

    Returns:
        ``[B, Q]`` real; nan for a sample whose E is not finite. Differentiable once with respect to E.

    Raises:
        ValueError: E is finite but not positive definite.
    """
    return _InversePower.apply(E, a)


def _usable(C: Tensor, failed: Tensor, E: Tensor) -> Tensor:
    if not failed.any():
        return C
    if not torch.isfinite(torch.view_as_real(E[failed])).all():
        # a NaN prediction gives a NaN term, which the bookkeeping reports; it is not an error of the caller
        return torch.where(failed[:, None, None], torch.full_like(C, torch.nan), C)
    raise ValueError(
        "R_blend (or R_pred) should be positive semi-definite for loss_peak_contrast. Found "
        f"{int(failed.sum())} of {len(failed)} matrices with a negative eigenvalue; build it with kit.covariance.blend."
    )
