"""UltimateHybridLoss: seven terms, seven weights, one sum."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor, is_grad_enabled, nn

from kit.array import PlanarArray
from kit.loss import terms
from kit.loss.inputs import LossInputs
from kit.loss.weights import WEIGHT_NAMES, Weight, ZeroWeightWarning


class UltimateHybridLoss(nn.Module):
    """total = sum_i lam_i L_i over seven terms; the weights are attributes and may be assigned at any time.

        total = lam_cov loss_nmse + lam_cov_pred loss_nmse_pred + lam_ortho loss_ortho + lam_K loss_K
              + lam_aux aux_l2 + lam_subspace_align loss_subspace_align + lam_peak_contrast loss_peak_contrast

    Every term is >= 0 and every weight is >= 0, so terms cannot cancel; every zero is legal, also all of them at once: the total
    is then an exact 0 that is still attached to the graph, and its gradient is exactly 0. A zero ``lam_cov``, and all weights zero, are
    warned about once each (``ZeroWeightWarning``).

    Args:
        lam_*: weights, finite and >= 0.
        array: geometry of the labels; the default 12 x 12 array if not given.
        k_max: source slots.
        load: diagonal load delta of predicted covariances, >= 0.
        rho: weight of the range factor in R_pred = A A^H + rho C C^H, >= 0.
        alpha0: base of the shrinkage coefficient, > 0.
        range_floor: metres, > 0; predicted ranges below it get no gradient.
    """

    lam_cov = Weight()
    lam_cov_pred = Weight()
    lam_ortho = Weight()
    lam_K = Weight()
    lam_aux = Weight()
    lam_subspace_align = Weight()
    lam_peak_contrast = Weight()

    weight_names: Mapping[str, str] = WEIGHT_NAMES
    # predictions that a training call is meant to hand over; without R_blend the factors stand in
    expects: Collection[str] = ("R_blend", "cov_fact_angle", "cov_fact_range", "k_logits", "phi_theta_r")

    def __init__(
        self,
        lam_cov: float = 0.3,
        lam_cov_pred: float = 0.02,
        lam_ortho: float = 1e-3,
        lam_K: float = 0.5,
        lam_aux: float = 1.0,
        lam_subspace_align: float = 0.5,
        lam_peak_contrast: float = 0.0,
        *,
        array: PlanarArray | None = None,
        k_max: int = 5,
        load: float = 1e-3,
        rho: float = 0.3,
        alpha0: float = 1e-3,
        range_floor: float = 0.45,
    ) -> None:
        super().__init__()
        self.lam_cov = lam_cov
        self.lam_cov_pred = lam_cov_pred
        self.lam_ortho = lam_ortho
        self.lam_K = lam_K
        self.lam_aux = lam_aux
        self.lam_subspace_align = lam_subspace_align
        self.lam_peak_contrast = lam_peak_contrast
        for name, value, least in (("load", load, 0), ("rho", rho, 0)):
            if not (math.isfinite(value) and value >= least):
                raise ValueError(f"{name} should be finite and >= {least}. Found {name} = {value!r}.")
        for name, value in (("alpha0", alpha0), ("range_floor", range_floor)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} should be finite and > 0. Found {name} = {value!r}.")
        if not isinstance(k_max, int) or k_max < 1:
            raise ValueError(f"k_max should be an integer >= 1. Found k_max = {k_max!r}.")
        self.array = PlanarArray() if array is None else array
        self.k_max, self.load, self.rho, self.alpha0, self.range_floor = k_max, load, rho, alpha0, range_floor
        self._warned: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("lam_") and name not in WEIGHT_NAMES.values():
            raise ValueError(
                f"A weight should be one of {', '.join(WEIGHT_NAMES.values())}. Found {name}: it would do nothing."
            )
        super().__setattr__(name, value)

    @property
    def weights(self) -> dict[str, float]:
        """The weights as they are now, by attribute name, in the order of the sum."""
        return {name: getattr(self, name) for name in WEIGHT_NAMES.values()}

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Assign several weights at once: all of them, or none if a name is unknown or a value is refused.

        Raises:
            ValueError: unknown name, negative or non-finite value. TypeError: not a number.
        """
        unknown = sorted(set(weights) - set(WEIGHT_NAMES.values()))
        if unknown:
            raise ValueError(
                f"Weight names should be among {', '.join(WEIGHT_NAMES.values())}. Found {', '.join(unknown)}."
            )
        before = self.weights
        try:
            for name, value in weights.items():
                setattr(self, name, value)
        except (TypeError, ValueError):
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def components(
        self, prediction: Mapping[str, Tensor], target: Mapping[str, Tensor], *, only: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """All seven terms (or ``only`` some), unweighted, 0-d, with their graph, in the order of the sum.

        Args:
            prediction: ``cov_fact_angle, cov_fact_range [B, 2 N K_max]``, ``k_logits [B, K_max]``, ``phi_theta_r [B, 3 K_max]``,
                optionally ``R_pred``, ``R_blend [B, N, N]`` complex. R_blend takes the place of R_pred in the first term and in the
                last two.
            target: ``R_true [B, N, N]`` complex or ``[B, N, N, 2]`` real, ``ptr [B, 3 K_max]``, ``K [B]``, optionally ``snr_db [B]``.

        Raises:
            ValueError: a missing key, a wrong shape or type, a non-finite label, K outside 1..K_max, an R_blend without gradient
                in training.
        """
        inputs = self._inputs(prediction, target)
        chosen = WEIGHT_NAMES if only is None else only
        unknown = sorted(set(chosen) - set(WEIGHT_NAMES))
        if unknown:
            raise ValueError(f"only should name terms among {', '.join(WEIGHT_NAMES)}. Found {', '.join(unknown)}.")
        return {term: evaluate(inputs) for term, evaluate in self._terms.items() if term in chosen}

    def combine(self, components: Mapping[str, Tensor]) -> Tensor | float:
        """sum_i lam_i L_i over the terms whose weight is not 0."""
        weights = {term: getattr(self, name) for term, name in WEIGHT_NAMES.items()}
        return sum(lam * components[term] for term, lam in weights.items() if lam != 0)

    @property
    def active_terms(self) -> tuple[str, ...]:
        """The terms whose weight is not 0."""
        return tuple(term for term, name in WEIGHT_NAMES.items() if getattr(self, name) != 0)

    def forward(self, prediction: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum; a term whose weight is 0 is not evaluated: it costs nothing and cannot spread a NaN."""
        self._warn_about_zeros()
        if not self.active_terms:
            return self._inputs(prediction, target).anchor()
        total = self.combine(self.components(prediction, target, only=self.active_terms))
        return cast(Tensor, total)  # a number only if nothing is added

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.weights.items())

    @property
    def _terms(self) -> Mapping[str, Callable[[LossInputs], Tensor]]:
        floor = self.range_floor
        return MappingProxyType(
            {
                "loss_nmse": lambda x: x.nmse_hat,
                "loss_nmse_pred": lambda x: x.nmse_pred if x.has_own_covariance else x.anchor(),
                "loss_ortho": lambda x: terms.ortho(x.A, x.active),
                "loss_K": lambda x: terms.source_count(x.predicted("k_logits", x.k_max, "loss_K"), x.K),
                "aux_l2": lambda x: terms.positions(
                    x.predicted("phi_theta_r", 3 * x.k_max, "aux_l2"), x.ptr, x.active, floor
                ),
                "loss_subspace_align": lambda x: terms.subspace_align(x.hat, x.A_true),
                "loss_peak_contrast": lambda x: terms.peak_contrast(x.hat, x.stencil, x.sample),
            }
        )

    def _inputs(self, prediction: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> LossInputs:
        return LossInputs(
            prediction,
            target,
            array=self.array,
            k_max=self.k_max,
            load=self.load,
            rho=self.rho,
            alpha0=self.alpha0,
            differentiable_blend=self.training and is_grad_enabled(),
        )

    def _warn_about_zeros(self) -> None:
        if self.lam_cov == 0:
            self._warn_once(
                "main", "lam_cov is 0: the main covariance term is switched off; the other terms still make the loss."
            )
        if not any(self.weights.values()):
            self._warn_once(
                "all", "All weights are 0 (lam_cov and the other six): the loss is exactly 0 and so is every gradient."
            )

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned |= {kind}
            warnings.warn(message, ZeroWeightWarning, stacklevel=6)
