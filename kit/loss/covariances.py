"""A predicted covariance in the two forms in which the loss meets it, and what the terms ask of either.

A ``Matrix`` was handed over. ``Factors`` is F F^H with few columns: its norms and its inverse follow from products of F^H with F, with
projections and with steering vectors, none of them N x N.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from kit.covariance.conditioning import effective_coefficients, hermitian_affine, trace
from kit.loss.spectrum import inverse_power, inverse_power_of_factors


class Covariance(ABC):
    """R ``[B, N, N]``, and E = eff(R) = a herm(R) + c I, which the loss compares.

    Args:
        R: the matrices, or their factors.
        snr_db, load, alpha0: of the conditioning, see ``kit.covariance.effective``.
    """

    def __init__(self, R: Tensor, snr_db: Tensor | None, load: float, alpha0: float) -> None:
        self._R, self._conditioning = R, (snr_db, load, alpha0)

    @cached_property
    def coefficients(self) -> tuple[Tensor, Tensor]:
        """a and c, ``[B]``."""
        return effective_coefficients(self.trace(), self._R.shape[-2], *self._conditioning)

    @property
    @abstractmethod
    def E(self) -> Tensor:
        """eff(R)."""

    @abstractmethod
    def trace(self) -> Tensor:
        """tr R, ``[B]``."""

    @abstractmethod
    def energy(self) -> Tensor:
        """||R||^2, ``[B]``."""

    @abstractmethod
    def energy_outside(self, A: Tensor, U: Tensor) -> Tensor:
        """||Pi R Pi||^2 with Pi = I - A U Hermitian, ``A [B, N, K]``, ``U [B, K, N]`` -> ``[B]``."""

    @abstractmethod
    def inverse_power(self, a: Tensor, sample: Tensor, loading: float) -> Tensor:
        """Re[a^H (E + loading I)^-1 a], see ``kit.loss.spectrum``."""


class Matrix(Covariance):
    """R as it was handed over, ``[B, N, N]`` complex."""

    @cached_property
    def E(self) -> Tensor:
        return hermitian_affine(self._R, *self.coefficients)

    def trace(self) -> Tensor:
        return trace(self._R)

    def energy(self) -> Tensor:
        return energy(self._R)

    def energy_outside(self, A: Tensor, U: Tensor) -> Tensor:
        return energy(_Outside.apply(self._R, A, U))

    def inverse_power(self, a: Tensor, sample: Tensor, loading: float) -> Tensor:
        return inverse_power(self.E, a, sample, loading)


class Factors(Covariance):
    """R = F F^H, by F ``[B, N, M]`` complex."""

    @cached_property
    def E(self) -> Tensor:
        return _OuterAffine.apply(self._R, *self.coefficients)

    def trace(self) -> Tensor:
        return energy(self._R)

    def energy(self) -> Tensor:
        return energy(self._R.mH @ self._R)

    def energy_outside(self, A: Tensor, U: Tensor) -> Tensor:
        outside = self._R - A @ (U @ self._R)
        return energy(outside.mH @ outside)

    def inverse_power(self, a: Tensor, sample: Tensor, loading: float) -> Tensor:
        scale, c = self.coefficients
        return inverse_power_of_factors(self._R, scale, c + loading, a, sample)


class _Energy(torch.autograd.Function):
    """||R||^2; its gradient is 2 R."""

    @staticmethod
    def forward(ctx: Any, R: Tensor) -> Tensor:
        ctx.save_for_backward(R)
        # row by row: as exact as a sum of squares, without a second array of their size
        return torch.linalg.vector_norm(torch.view_as_real(R.resolve_conj()).flatten(-2), dim=-1).square().sum(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (R,) = ctx.saved_tensors
        return R * (2 * g[..., None, None])


def energy(R: Tensor) -> Tensor:
    """||R||^2 over the last two axes, ``[..., N, M] -> [...]``."""
    return _Energy.apply(R)


class _Outside(torch.autograd.Function):
    """Pi R Pi with Pi = I - A U Hermitian: O(N^2 K), and its own adjoint. A and U come from labels and receive no gradient."""

    @staticmethod
    def forward(ctx: Any, R: Tensor, A: Tensor, U: Tensor) -> Tensor:
        ctx.save_for_backward(A, U)
        UR = U @ R
        left, right = torch.cat([A, R @ A], -1), torch.cat([UR - (UR @ A) @ U, U], -2)
        return torch.baddbmm(R, left, right, alpha=-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return _Outside.apply(g, *ctx.saved_tensors), None, None


class _OuterAffine(torch.autograd.Function):
    """a F F^H + c I.  With P = (g + g^H) F the gradients are a P, Re<P, F> / 2 and Re tr g."""

    @staticmethod
    def forward(ctx: Any, F: Tensor, a: Tensor, c: Tensor) -> Tensor:
        ctx.save_for_backward(F, a)
        E = (a[:, None, None] * F) @ F.mH
        E.diagonal(dim1=-2, dim2=-1).add_(c[:, None])
        return E

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        F, a = ctx.saved_tensors
        P = g @ F + (F.mH @ g).mH
        return a[:, None, None] * P, 0.5 * (P.conj() * F).real.sum((-2, -1)), trace(g)
