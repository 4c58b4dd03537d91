"""What the terms share, computed once and only when a term asks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance import effective
from kit.loss import checks
from kit.loss.covariances import Covariance, Factors, Matrix
from kit.loss.terms import nmse

_STENCIL_RAD = (-0.1, -0.05, 0.0, 0.05, 0.1)


class LossInputs:
    """Checked labels and the matrices made from predictions, for one evaluation of the loss.

    Args:
        prediction, target: the mappings given to the loss.
        array, k_max: geometry and number of slots.
        load, rho, alpha0: diagonal load of predictions, weight of the range factor, shrinkage base.
        differentiable_blend: refuse an ``R_blend`` without gradient (training).
    """

    def __init__(
        self,
        prediction: Mapping[str, Tensor],
        target: Mapping[str, Tensor],
        *,
        array: PlanarArray,
        k_max: int,
        load: float,
        rho: float,
        alpha0: float,
        differentiable_blend: bool,
    ) -> None:
        for name, value in (("prediction", prediction), ("target", target)):
            if not isinstance(value, Mapping):
                raise TypeError(f"{name} should be a mapping from keys to tensors. Found a {type(value).__name__}.")
        self.prediction, self.array, self.k_max = prediction, array, k_max
        self.load, self.rho, self.alpha0 = load, rho, alpha0
        self._differentiable_blend = differentiable_blend
        self._read_labels(target)

    def _read_labels(self, target: Mapping[str, Tensor]) -> None:
        N = self.array.n
        K = checks.require(target, "K", "target", "every term")
        self.K = checks.check_source_count(checks.check_shape("K", K, (len(K),) if K.ndim else (1,), "B"), self.k_max)
        self.B = B = len(self.K)
        real = self._precision()
        ptr = checks.require(target, "ptr", "target", "every term")
        checks.check_shape("ptr", ptr, (B, 3 * self.k_max), "B, 3 K_max: phi | theta | r")
        self.ptr = checks.check_finite("ptr", checks.check_real("ptr", ptr)).to(real)
        R = checks.require(target, "R_true", "target", "every term")
        if not R.is_complex() and R.ndim == 4:
            checks.check_shape("R_true", checks.check_real("R_true", R), (B, N, N, 2), "B, N, N, (re, im)")
            R = torch.view_as_complex(R.contiguous())
        checks.check_shape("R_true", checks.check_complex("R_true", R), (B, N, N), "B, N, N")
        self.R_true = checks.check_finite("R_true", R).to(real.to_complex())
        snr_db = target.get("snr_db")
        if snr_db is not None:
            checks.check_shape("snr_db", snr_db, (B,), "B")
            snr_db = checks.check_finite("snr_db", checks.check_real("snr_db", snr_db)).to(real)
        self.snr_db = snr_db
        self.active = torch.arange(self.k_max, device=self.K.device) < self.K[:, None]  # [B, K_max]

    def _precision(self) -> torch.dtype:
        """The predictions' real type: labels follow it, so that a float32 network may be given float64 labels."""
        kinds = (value.dtype for value in self.prediction.values() if isinstance(value, Tensor))
        floats = [kind.to_real() for kind in kinds if kind.is_floating_point or kind.is_complex]
        return torch.float64 if torch.float64 in floats else torch.float32

    def predicted(self, key: str, width: int, needed_for: str) -> Tensor:
        """A real prediction ``[B, width]``; NaN is let through, it is evidence."""
        value = checks.require(self.prediction, key, "prediction", needed_for)
        return checks.check_real(key, checks.check_shape(key, value, (self.B, width), "B, ..."))

    def factor(self, key: str, needed_for: str) -> Tensor:
        """Interleaved (re, im) to complex ``[B, N, K_max]``: flat index 2 (n K_max + k) is the real part of entry n, k."""
        flat = self.predicted(key, 2 * self.array.n * self.k_max, needed_for)
        return torch.view_as_complex(flat.reshape(self.B, self.array.n, self.k_max, 2))

    @cached_property
    def A(self) -> Tensor:
        return self.factor("cov_fact_angle", "the predicted covariance")

    @property
    def has_own_covariance(self) -> bool:
        """R_pred is given, or both factors are there to build it."""
        present = [self.prediction.get(key) is not None for key in ("R_pred", "cov_fact_angle", "cov_fact_range")]
        return present[0] or all(present[1:])

    @cached_property
    def pred(self) -> Covariance:
        """A A^H + rho C C^H by its factors, or ``R_pred`` as given."""
        if self.prediction.get("R_pred") is not None:
            return self._conditioned(Matrix, self._matrix("R_pred"))
        C = self.factor("cov_fact_range", "the predicted covariance")
        return self._conditioned(Factors, torch.cat([self.A, math.sqrt(self.rho) * C], -1))

    @property
    def is_blended(self) -> bool:
        return self.prediction.get("R_blend") is not None

    @cached_property
    def hat(self) -> Covariance:
        """``R_blend`` if given, else the prediction alone."""
        if not self.is_blended:
            return self.pred
        R_blend = self._matrix("R_blend")
        if self._differentiable_blend and not R_blend.requires_grad:
            raise ValueError(
                "R_blend should require grad while training. Found R_blend without a graph, so loss_nmse could not "
                "teach the network anything; build it with kit.covariance.blend from the factors, outside "
                "torch.no_grad and without detach."
            )
        return self._conditioned(Matrix, R_blend)

    @cached_property
    def T(self) -> Tensor:
        """The conditioned label: shrunk like the prediction, but never loaded."""
        return effective(self.R_true, self.snr_db, 0.0, self.alpha0)

    @cached_property
    def nmse_pred(self) -> Tensor:
        return nmse(self.pred.E, self.T).mean()

    @cached_property
    def nmse_hat(self) -> Tensor:
        """Without R_blend the two covariance errors are the same number."""
        return nmse(self.hat.E, self.T).mean() if self.is_blended else self.nmse_pred

    @cached_property
    def A_true(self) -> Tensor:
        """True steering vectors ``[B, N, K_max]``, zero columns in unused slots."""
        A = self.array.steering(*self._positions()).to(self.R_true.dtype)
        return torch.where(self.active[:, None, :], A, torch.zeros((), dtype=A.dtype))

    @cached_property
    def stencil(self) -> Tensor:
        """Steering vectors on the 5 x 5 grid round each of the S true sources, at its range, ``[S, N, 25]``; 12 is the centre."""
        phi, theta, r = (value[self.active][:, None] for value in self._positions())
        offset = torch.tensor(_STENCIL_RAD, dtype=phi.dtype, device=phi.device)
        d_phi, d_theta = (grid.reshape(-1) for grid in torch.meshgrid(offset, offset, indexing="ij"))
        return self.array.steering(phi + d_phi, theta + d_theta, r).to(self.R_true.dtype)

    @property
    def sample(self) -> Tensor:
        """The sample of each true source, ``[S]``."""
        return self.active.nonzero()[:, 0]

    def anchor(self) -> Tensor:
        """An exact 0 attached to the graph of every prediction, whatever their values are."""
        pieces = [value.flatten()[:0].sum() for value in self.prediction.values() if isinstance(value, Tensor)]
        zero = torch.zeros((), dtype=self.R_true.real.dtype)
        return sum((piece.real if piece.is_complex() else piece for piece in pieces), start=zero)

    def _positions(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.ptr.unflatten(-1, (3, self.k_max)).unbind(1)

    def _conditioned(self, form: type[Covariance], R: Tensor) -> Covariance:
        return form(R, self.snr_db, self.load, self.alpha0)

    def _matrix(self, key: str) -> Tensor:
        value = checks.check_complex(key, checks.require(self.prediction, key, "prediction", "loss_nmse"))
        return checks.check_shape(key, value, (self.B, self.array.n, self.array.n), "B, N, N")
