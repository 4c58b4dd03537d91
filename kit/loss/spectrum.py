"""The adaptive (MVDR, Capon) spectrum: one Cholesky factor per matrix, and its gradient in closed form."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable


class _InversePower(torch.autograd.Function):
    """D_q = Re[a_q^H E^-1 a_q] = |C^-1 a_q|^2 with E = C C^H.  With x_q = E^-1 a_q the gradient is -sum_q g_q x_q x_q^H: one product.

    Samples with the same number of sources are solved together: what stands in unused slots is never computed.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, E: Tensor, a: Tensor, active: Tensor, loading: float) -> Tensor:
        # in double precision: E is nearly singular by design, in single precision 1e-4 of the value is lost
        wide = torch.complex128
        loaded = E.to(wide, copy=True)
        loaded.diagonal(dim1=-2, dim2=-1).add_(loading)
        C, info = torch.linalg.cholesky_ex(loaded)
        C = _usable(C, info > 0, E)
        D = E.real.new_ones(len(a), *a.shape[2:])
        solved = []
        for count, chosen in _by_count(active):
            y = torch.linalg.solve_triangular(C[chosen], a[chosen, :, :count].flatten(-2).to(wide), upper=False)
            D[chosen, :count] = torch.view_as_real(y).square().sum((-3, -1)).to(D.dtype).unflatten(-1, (count, -1))
            solved.append(y)
        ctx.save_for_backward(C, active, *solved)
        return D

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, g: Tensor) -> tuple[Tensor, None, None, None]:
        saved: tuple[Tensor, ...] = ctx.saved_tensors  # torch's stubs know one tensor only
        C, active, solved = saved[0], saved[1], saved[2:]
        G = torch.empty(C.shape, dtype=g.dtype.to_complex(), device=C.device)
        for (count, chosen), y in zip(_by_count(active), solved, strict=True):
            x = torch.linalg.solve_triangular(C[chosen].mH, y, upper=True).to(G.dtype)
            G[chosen] = (x * -g[chosen, None, :count].flatten(-2)) @ x.mH
        return G, None, None, None


def _by_count(active: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each number of sources that occurs, and the samples that have it."""
    counts = active.sum(-1)
    for count in counts.unique().tolist():
        yield count, (counts == count).nonzero()[:, 0]


def inverse_power(E: Tensor, a: Tensor, active: Tensor, loading: float = 0.0) -> Tensor:
    """Re[a_q^H (E + loading I)^-1 a_q], the reciprocal of the adaptive spectrum.

    Args:
        E: ``[B, N, N]`` Hermitian positive definite.
        a: ``[B, N, K, Q]`` steering vectors; they come from labels and receive no gradient.
        active: ``[B, K]``, True in the first slots of a sample; elsewhere the result is 1.
        loading: added to the diagonal.

    Returns:
        ``[B, K, Q]`` real; nan for a sample whose E is not finite. Differentiable once with respect to E.

    Raises:
        ValueError: E is finite but not positive definite.
    """
    return _InversePower.apply(E, a, active, loading)


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
