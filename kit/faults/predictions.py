"""Hypotheses 3 and 4 of the report: what the network hands to the loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from kit.covariance import Batch
from kit.faults.base import Fault, heads_of
from kit.training import TrainingLoop

FACTOR_HEADS = ("cov_fact_angle", "cov_fact_range")


def _factor_parameters(loop: TrainingLoop) -> list[Parameter]:
    heads = getattr(loop.model, "heads", {})
    return [parameter for key in FACTOR_HEADS if key in heads for parameter in heads[key].parameters()]


def _zero(parameters: Iterable[Parameter]) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.zero_()


@dataclass(frozen=True)
class BlendMissing(Fault):
    """R_blend is never passed; the loss builds R_hat from the factors, which are not 0."""

    key: ClassVar[str] = "blend_missing"
    title: ClassVar[str] = "R_blend is not passed"
    what: ClassVar[str] = "The loss gets no R_blend and builds R_hat from the two factors."
    hypothesis: ClassVar[str] = "missing_prediction"

    def _apply(self, loop: TrainingLoop) -> None:
        loop.config = replace(loop.config, blend=0.0)


@dataclass(frozen=True)
class FactorHeadsZero(Fault):
    """The heads of both factors are exactly 0: a saddle of the loss, which they never leave."""

    key: ClassVar[str] = "factor_heads_zero"
    title: ClassVar[str] = "Factor heads are 0"
    what: ClassVar[str] = "The heads of both factors are exactly 0, a saddle of the loss that they never leave."
    hypothesis: ClassVar[str] = "zero_outputs"

    def applies_to(self, loop: TrainingLoop) -> str | None:
        found = len(_factor_parameters(loop))
        return None if found else f"the model has no heads {' and '.join(FACTOR_HEADS)}."

    def _overwrites(self, loop: TrainingLoop) -> Iterable[Parameter]:
        return _factor_parameters(loop)

    def _apply(self, loop: TrainingLoop) -> None:
        _zero(_factor_parameters(loop))


@dataclass(frozen=True)
class BlendMissingFactorsZero(FactorHeadsZero):
    """Hypothesis 3 in full: no R_blend, and both factors are 0."""

    key: ClassVar[str] = "blend_missing_factors_zero"
    title: ClassVar[str] = "No R_blend, factors are 0"
    what: ClassVar[str] = "The loss gets no R_blend, and the heads of both factors are exactly 0."
    hypothesis: ClassVar[str] = "missing_prediction"

    def _apply(self, loop: TrainingLoop) -> None:
        super()._apply(loop)
        loop.config = replace(loop.config, blend=0.0)


@dataclass(frozen=True)
class HeadsStartAtZero(Fault):
    """Every head starts at 0: the outputs are 0 in value, but not cut off (a range of 0 becomes softplus(0) = 0.69 m)."""

    key: ClassVar[str] = "heads_start_at_zero"
    title: ClassVar[str] = "All heads start at 0"
    what: ClassVar[str] = "Every head is set to 0 once: its output is 0, a gradient still passes."
    hypothesis: ClassVar[str] = "zero_outputs"

    def applies_to(self, loop: TrainingLoop) -> str | None:
        return None if hasattr(loop.model, "heads") else "the model has no heads."

    def _overwrites(self, loop: TrainingLoop) -> Iterable[Parameter]:
        return list(heads_of(loop).parameters())

    def _apply(self, loop: TrainingLoop) -> None:
        _zero(heads_of(loop).parameters())


@dataclass(frozen=True)
class AllOutputsZero(Fault):
    """Every output is multiplied by 0, as a dead activation or an empty mask would: no gradient passes either."""

    key: ClassVar[str] = "all_outputs_zero"
    title: ClassVar[str] = "All outputs are 0"
    what: ClassVar[str] = "Every output is multiplied by 0, as by a dead activation: no gradient passes either."
    hypothesis: ClassVar[str] = "zero_outputs"

    def _apply(self, loop: TrainingLoop) -> None:
        predict = loop.predict

        def dead(model: Module, batch: Batch, beta: float = 0.0, **options: float) -> dict[str, Tensor]:
            prediction = predict(model, batch, 0.0, **options)
            return {key: value * 0 for key, value in prediction.items()}

        loop.predict = dead
