"""Every preset of every hypothesis, tried at one training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import pandas as pd

from kit import whatif
from kit.hypotheses.base import Hypothesis, Preset
from kit.renamed import warn_renamed
from kit.stepgraph import ProbeReport, probe

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class PresetResult:
    """One preset at one step: the loss it gives, the norm of its gradient, and the setting that shows it in a panel."""

    hypothesis: Hypothesis | None
    key: str
    title: str
    case: str
    weights: Mapping[str, float]
    loss: float
    grad_norm: float
    what: str


@dataclass(frozen=True)
class NotApplicable:
    """A preset that means nothing for this model and loss, and why."""

    hypothesis: Hypothesis
    key: str
    title: str
    reason: str


@dataclass(frozen=True)
class OneStep:
    """What the presets do to the loss of one batch.

    Attributes:
        reports: case -> ProbeReport: the step as it is, and each alteration of the predictions.
        results: one per preset, in the order of the hypotheses; the step as it is comes first.
        not_applicable: presets that need a weight or a prediction which is not there.
    """

    reports: Mapping[str, ProbeReport]
    results: tuple[PresetResult, ...]
    not_applicable: tuple[NotApplicable, ...] = ()

    @property
    def trials(self) -> tuple[PresetResult, ...]:
        """The earlier name of ``results``."""
        warn_renamed("OneStep.trials", "OneStep.results")
        return self.results

    @property
    def table(self) -> pd.DataFrame:
        """One row per preset: hypothesis, the report's prior, the reading, train loss, gradient norm, whether the loss reads 0, and why
        a preset could not be tried."""
        rows: list[dict[str, object]] = [
            {
                "hypothesis": result.hypothesis.key if result.hypothesis else "",
                "prior": result.hypothesis.prior if result.hypothesis else None,
                "reading": result.title,
                "train_loss": result.loss,
                "grad_norm": result.grad_norm,
                "reads_zero": result.loss == 0,
                "not_applicable": "",
            }
            for result in self.results
        ]
        rows += [
            {
                "hypothesis": skipped.hypothesis.key,
                "prior": skipped.hypothesis.prior,
                "reading": skipped.title,
                "train_loss": float("nan"),
                "grad_norm": float("nan"),
                "reads_zero": None,
                "not_applicable": skipped.reason,
            }
            for skipped in self.not_applicable
        ]
        return pd.DataFrame(rows)


def at_one_step(
    hypotheses: Iterable[Hypothesis],
    model: Any,
    loss: Any,
    batch: Any,
    *,
    predict: Callable[[Any, Any], Mapping[str, Any]] | None = None,
) -> OneStep:
    """Try every preset on one batch of a model with a loss, both left as they are.

    Presets that change weights are answered from the Gram matrix of the step as it is; presets that change predictions are probed.

    Args:
        hypotheses: what to try.
        model, loss, batch, predict: as for ``kit.probe``; predictions must be a mapping.
    """
    forward = predict or (lambda model, batch: model(batch.inputs))
    seen = probe(model, loss, batch, predict=forward)
    reports = {AS_IT_IS: seen}
    # what can be set: a rest without a weight, and a negative weight, keep what they have
    settable = zip(seen.weight_names, seen.weights, seen.adjustable, strict=True)
    now = {name: float(value) for name, value, free in settable if free and value >= 0}
    results = [_result(None, "as_it_is", AS_IT_IS, AS_IT_IS, now, seen, "the weights and outputs of this step")]
    skipped = []
    for hypothesis in hypotheses:
        for preset in hypothesis.presets:
            case = AS_IT_IS
            try:
                weights = _weights_under(preset, now)
                if preset.alter is not None:
                    case = preset.title if preset.title not in reports else f"{hypothesis.title}: {preset.title}"
                    altered = partial(_altered, forward, preset.needs_outputs, preset.alter)
                    reports[case] = probe(model, loss, batch, predict=altered)
            except _Lacks as reason:
                skipped.append(NotApplicable(hypothesis, preset.key, preset.title, str(reason)))
                continue
            results.append(
                _result(hypothesis, preset.key, preset.title, case, weights, reports[case], preset.condition)
            )
    return OneStep(MappingProxyType(reports), tuple(results), tuple(skipped))


class _Lacks(Exception):
    """What a preset needs is not there."""


def _weights_under(preset: Preset, now: Mapping[str, float]) -> Mapping[str, float]:
    if preset.weights is None:
        return now
    missing = [name for name in preset.needs if name not in now]
    if missing or not now:
        raise _Lacks(f"the loss has no weight {', '.join(missing)}" if missing else "the loss has no weight to set")
    return dict(preset.weights(now))


def _altered(
    forward: Callable[[Any, Any], Any],
    needs: tuple[str, ...],
    alter: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    model: Any,
    batch: Any,
) -> Mapping[str, Any]:
    prediction = forward(model, batch)
    if not isinstance(prediction, Mapping):
        raise _Lacks(f"the prediction is not a mapping but a {type(prediction).__name__}")
    missing = [name for name in needs if name not in prediction]
    if missing:
        raise _Lacks(f"there is no prediction {', '.join(missing)}")
    return alter(prediction)


def _result(
    hypothesis: Hypothesis | None,
    key: str,
    title: str,
    case: str,
    weights: Mapping[str, float],
    report: ProbeReport,
    what: str,
) -> PresetResult:
    loss, norm = whatif.total(report, weights), whatif.grad_norm(report, weights)
    return PresetResult(hypothesis, key, title, case, MappingProxyType(weights), float(loss), float(norm), what)
