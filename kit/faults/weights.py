"""Hypotheses 1 and 2 of the report: the weights of the sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from kit.faults.base import Fault
from kit.loss import ALL_ZERO, CLASS_DEFAULT, WEIGHT_NAMES, UltimateHybridLoss
from kit.training import TrainingLoop


def _keep(loop: TrainingLoop, weights: Mapping[str, float]) -> None:
    """These weights in every epoch, whatever the schedules set."""
    scheduled = loop.set_weights

    def set_weights(epoch: int) -> None:
        scheduled(epoch)
        loop.loss.set_weights(weights)

    loop.loss.set_weights(weights)
    loop.set_weights = set_weights


@dataclass(frozen=True)
class AllWeightsZero(Fault):
    """Every lam_* is 0, in every epoch: the only reading of hypothesis 1 that makes the loss 0."""

    key: ClassVar[str] = "all_weights_zero"
    title: ClassVar[str] = "All loss weights are 0"
    what: ClassVar[str] = "Every lam_* is 0 in every epoch, so the loss is 0 and so is its gradient."
    hypothesis: ClassVar[str] = "loss_weights"

    def _apply(self, loop: TrainingLoop) -> None:
        _keep(loop, ALL_ZERO)


@dataclass(frozen=True)
class LamCovZero(Fault):
    """lam_cov is 0, the other six are as they were."""

    key: ClassVar[str] = "lam_cov_zero"
    title: ClassVar[str] = "lam_cov is 0"
    what: ClassVar[str] = "lam_cov is 0 in every epoch; the other six weights stay as they are."
    hypothesis: ClassVar[str] = "loss_weights"

    def _apply(self, loop: TrainingLoop) -> None:
        _keep(loop, {"lam_cov": 0.0})


class _SignError(UltimateHybridLoss):
    """loss_nmse_pred enters the sum with a minus."""

    def combine(self, components: Mapping[str, Tensor]) -> Tensor | float:
        return super().combine({**components, "loss_nmse_pred": -components["loss_nmse_pred"]})


@dataclass(frozen=True)
class TermsCancel(Fault):
    """A sign error between two terms that are equal without R_blend, and no other term: the total is exactly 0.

    With weights >= 0 and terms >= 0 nothing cancels; it takes an error in the sum itself.
    """

    key: ClassVar[str] = "terms_cancel"
    title: ClassVar[str] = "Two terms cancel"
    what: ClassVar[str] = (
        "A sign error: loss_nmse minus loss_nmse_pred, equal without R_blend, and no other term. The total is exactly 0."
    )
    hypothesis: ClassVar[str] = "loss_weights"

    def _apply(self, loop: TrainingLoop) -> None:
        loss = loop.loss
        loop.loss = _SignError(
            array=loss.array,
            k_max=loss.k_max,
            load=loss.load,
            rho=loss.rho,
            alpha0=loss.alpha0,
            range_floor=loss.range_floor,
        )
        loop.config = replace(loop.config, blend=0.0)
        _keep(loop, {**ALL_ZERO, "lam_cov": 1.0, "lam_cov_pred": 1.0})


@dataclass(frozen=True)
class WeightNotPassed(Fault):
    """``name`` is not passed to the constructor: its default is in force."""

    name: str = "lam_cov"
    key: ClassVar[str] = "weight_not_passed"
    hypothesis: ClassVar[str] = "loss_initialisation"

    @property
    def title(self) -> str:
        return f"{self.name} is not passed"

    @property
    def what(self) -> str:
        return f"{self.name} is not passed to the constructor: its default {CLASS_DEFAULT.get(self.name, 'value')} is in force."

    def applies_to(self, loop: TrainingLoop) -> str | None:
        return None if self.name in WEIGHT_NAMES.values() else f"the loss has no weight {self.name!r}."

    def _apply(self, loop: TrainingLoop) -> None:
        loop.loss.set_weights({self.name: CLASS_DEFAULT[self.name]})


@dataclass(frozen=True)
class SearchSetsLamCovZero(Fault):
    """Search weights, applied when the run begins, overwrite lam_cov with 0."""

    key: ClassVar[str] = "search_sets_lam_cov_zero"
    title: ClassVar[str] = "Search sets lam_cov to 0"
    what: ClassVar[str] = "The weights of a search are applied when the run begins and overwrite lam_cov with 0."
    hypothesis: ClassVar[str] = "loss_initialisation"

    def _apply(self, loop: TrainingLoop) -> None:
        loop.config = replace(loop.config, search_weights={"lam_cov": 0.0})


@dataclass(frozen=True)
class ScheduleOmitsLamCov(Fault):
    """The report's suspicion: the schedule sets two weights and not lam_cov. What is not set keeps its value."""

    key: ClassVar[str] = "schedule_omits_lam_cov"
    title: ClassVar[str] = "Schedule leaves lam_cov out"
    what: ClassVar[str] = (
        "The schedule sets lam_subspace_align and lam_peak_contrast; lam_cov keeps the value that it had."
    )
    hypothesis: ClassVar[str] = "loss_initialisation"

    def _apply(self, loop: TrainingLoop) -> None:
        loop.config = replace(loop.config, structure_schedule=True)
