"""Every reading of every hypothesis, tried at one training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from kit import whatif
from kit.hypotheses.base import Hypothesis
from kit.probe import ProbeReport, probe

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Trial:
    """One reading at one step: the loss it gives, the norm of its gradient, and the setting that shows it in a panel."""

    hypothesis: Hypothesis | None
    key: str
    title: str
    case: str
    weights: Mapping[str, float]
    loss: float
    grad_norm: float
    what: str


@dataclass(frozen=True)
class OneStep:
    """What the readings do to the loss of one batch.

    Attributes:
        reports: case -> ProbeReport: the step as it is, and each alteration of the predictions.
        trials: one per reading, in the order of the hypotheses; the step as it is comes first.
    """

    reports: Mapping[str, ProbeReport]
    trials: tuple[Trial, ...]

    @property
    def table(self) -> pd.DataFrame:
        """Hypothesis, the report's prior, the reading, the train loss it gives, the gradient norm, and whether the loss reads 0."""
        rows = [
            {
                "hypothesis": trial.hypothesis.title if trial.hypothesis else "(the step as it is)",
                "report's prior": f"{trial.hypothesis.prior:.0%}" if trial.hypothesis else "",
                "reading": trial.title,
                "train loss": trial.loss,
                "gradient norm": trial.grad_norm,
                "reads 0?": "yes" if trial.loss == 0 else "no",
            }
            for trial in self.trials
        ]
        return pd.DataFrame(rows)


def at_one_step(
    hypotheses: Iterable[Hypothesis],
    model: Any,
    loss_fn: Any,
    batch: Any,
    *,
    predict: Callable[[Any, Any], Mapping[str, Any]] | None = None,
) -> OneStep:
    """Try every reading on one batch of a model with a loss, both left as they are.

    Readings that change weights are answered from the Gram matrix of the step as it is; readings that change predictions are probed.

    Args:
        hypotheses: what to try.
        model, loss_fn, batch, predict: as for ``kit.probe``; predictions must be a mapping.
    """
    forward = predict or (lambda model, batch: model(batch.inputs))
    seen = probe(model, loss_fn, batch, predict=forward)
    reports = {AS_IT_IS: seen}
    # what can be set: a rest without a weight, and a negative weight, keep what they have
    settable = zip(seen.weight_names, seen.weights, seen.adjustable, strict=True)
    now = {name: float(value) for name, value, free in settable if free and value >= 0}
    trials = [_trial(None, "as_it_is", AS_IT_IS, AS_IT_IS, now, seen, "the weights and outputs of this step")]
    for hypothesis in hypotheses:
        for reading in hypothesis.readings:
            case = AS_IT_IS
            if reading.alter is not None:
                case = reading.title if reading.title not in reports else f"{hypothesis.title}: {reading.title}"
                reports[case] = probe(
                    model,
                    loss_fn,
                    batch,
                    predict=lambda model, batch, alter=reading.alter: alter(forward(model, batch)),
                )
            weights = now if reading.weights is None else dict(reading.weights(now))
            trials.append(
                _trial(hypothesis, reading.key, reading.title, case, weights, reports[case], reading.condition)
            )
    return OneStep(MappingProxyType(reports), tuple(trials))


def _trial(hypothesis, key, title, case, weights, report, what) -> Trial:
    loss, norm = whatif.total(report, weights), whatif.grad_norm(report, weights)
    return Trial(hypothesis, key, title, case, MappingProxyType(weights), float(loss), float(norm), what)
