"""The adaptive (MVDR, Capon) spectrum of a matrix, by one Cholesky factor, and of factors, by that of their few columns.

Both in double precision: E is nearly singular by design, in single precision 1e-4 of the value is lost.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

from kit.covariance.conditioning import identity_like

_WIDE = torch.complex128


class _InversePower(torch.autograd.Function):
    """D_q = Re[a_q^H E^-1 a_q] = |C^-1 a_q|^2 with E = C C^H.  With x_q = E^-1 a_q the gradient is -sum_q g_q x_q x_q^H: one product."""

    @staticmethod
    def forward(ctx: FunctionCtx, E: Tensor, a: Tensor, sample: Tensor, loading: float) -> Tensor:
        order, groups = _by_count(sample, len(E))
        loaded = E[order].to(_WIDE)
        loaded.diagonal(dim1=-2, dim2=-1).add_(loading)
        C, info = torch.linalg.cholesky_ex(loaded)
        C = _usable(C, info > 0, E[order])
        D = E.real.new_empty(len(a), a.shape[-1])
        solved = []
        for rows, sources in groups:
            y = torch.linalg.solve_triangular(C[rows], a[sources].movedim(1, 2).flatten(-2).to(_WIDE), upper=False)
            D[sources] = torch.view_as_real(y).square().sum((-3, -1)).to(D.dtype).unflatten(-1, (sources.shape[1], -1))
            solved.append(y)
        ctx.save_for_backward(C, sample, *solved)
        return D

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, g: Tensor) -> tuple[Tensor, None, None, None]:
        saved: tuple[Tensor, ...] = ctx.saved_tensors  # torch's stubs know one tensor only
        C, sample, solved = saved[0], saved[1], saved[2:]
        order, groups = _by_count(sample, len(C))
        G = torch.zeros(C.shape, dtype=g.dtype.to_complex(), device=C.device)
        for (rows, sources), y in zip(groups, solved, strict=True):
            x = torch.linalg.solve_triangular(C[rows].mH, y, upper=True).to(G.dtype)
            G[order[rows]] = (x * -g[sources].flatten(1)[:, None]) @ x.mH
        return G, None, None, None


def _by_count(sample: Tensor, B: int) -> tuple[Tensor, list[tuple[slice, Tensor]]]:
    """An order of the samples by their number of sources; of each number the rows in that order, and their sources ``[rows, number]``.

    Samples with the same number of sources are solved together.
    """
    counts = torch.bincount(sample, minlength=B)
    first, order = counts.cumsum(0) - counts, counts.argsort(stable=True)
    groups, begin = [], 0
    for count, rows in enumerate(torch.bincount(counts).tolist()):
        chosen = slice(begin, begin + rows)
        if count and rows:
            groups.append((chosen, first[order[chosen], None] + torch.arange(count, device=sample.device)))
        begin += rows
    return order, groups


def inverse_power(E: Tensor, a: Tensor, sample: Tensor, loading: float = 0.0) -> Tensor:
    """Re[a_q^H (E + loading I)^-1 a_q], the reciprocal of the adaptive spectrum.

    Args:
        E: ``[B, N, N]`` Hermitian positive definite.
        a: ``[S, N, Q]`` steering vectors of S sources; they come from labels and receive no gradient.
        sample: ``[S]``, ascending: the sample that a source belongs to.
        loading: added to the diagonal.

    Returns:
        ``[S, Q]`` real; nan for a sample whose E is not finite. Differentiable once with respect to E.

    Raises:
        ValueError: E is finite but not positive definite.
    """
    return _InversePower.apply(E, a, sample, loading)


def inverse_power_of_factors(F: Tensor, scale: Tensor, c: Tensor, a: Tensor, sample: Tensor) -> Tensor:
    """Re[a_q^H (scale F F^H + c I)^-1 a_q] = (|a_q|^2 - |C^-1 W_q|^2) / c,  W = sqrt(scale) F^H a,  C C^H = c I + scale F^H F.

    Args:
        F: ``[B, N, M]``. scale, c: ``[B]``, > 0.
        a, sample: as in ``inverse_power``.

    Returns:
        ``[S, Q]`` real; nan for a sample whose F is not finite.
    """
    F, c, a = F.to(_WIDE) * scale.sqrt()[:, None, None], c.to(torch.float64), a.to(_WIDE)
    gram = F.mH @ F
    C, _ = torch.linalg.cholesky_ex(gram + c[:, None, None] * identity_like(gram))
    y = torch.linalg.solve_triangular(C[sample], F.mH[sample] @ a, upper=False)
    power, inside = (torch.view_as_real(v).square().sum((-3, -1)) for v in (a, y))
    return ((power - inside) / c[sample, None]).to(scale.dtype)


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
