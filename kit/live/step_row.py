"""What a batch looked like to the loss: terms, outputs and gradients, in the words of a trace."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from kit.covariance import Batch
from kit.live.plain_loop import outputs_row
from kit.training import TrainingLoop


@dataclass(frozen=True)
class StepSeen:
    """``terms``: every term before weighting, also those whose weight is 0. ``row``: columns of a trace's ``steps``."""

    terms: Mapping[str, float]
    row: Mapping[str, Any]


def look_at_step(
    loop: TrainingLoop, computed: float, prediction: dict[str, Tensor], batch: Batch, step: Mapping[str, Any]
) -> StepSeen:
    """``computed``: the loss of this batch, whatever is displayed for it."""
    terms = _terms(loop, prediction, batch)
    row = {
        "loss": computed,
        "loss_returned": computed,
        "backwards": 1,
        "loss_calls": 1,
        "steps": int(step["stepped"]),
        "seen_norm": step["grad_norm"],
        "lr": step["lr"] if step["stepped"] else math.nan,
        "batch": len(batch),
        **{f"term:{term}": value for term, value in terms.items()},
        **loop.loss.weights,
        **outputs_row(prediction),
        **_gradients(loop, step),
        "missing_keys": ",".join(sorted(set(loop.loss.expects) - set(prediction))),
    }
    return StepSeen(MappingProxyType(terms), MappingProxyType(row))


def _terms(loop: TrainingLoop, prediction: Mapping[str, Tensor], batch: Batch) -> dict[str, float]:
    names = tuple(loop.loss.weight_names)
    values: Mapping[str, Tensor | None]
    with torch.no_grad():
        try:
            values = loop.loss.components(prediction, batch.target, only=names)
        except (RuntimeError, TypeError, ValueError):
            # a term whose weight is 0 may not exist for these outputs; training does not need it, and the others can be shown
            values = {term: _one_term(loop, prediction, batch, term) for term in names}
    return {term: float(value) for term, value in values.items() if value is not None}


def _one_term(loop: TrainingLoop, prediction: Mapping[str, Tensor], batch: Batch, term: str) -> Tensor | None:
    try:
        return loop.loss.components(prediction, batch.target, only=(term,))[term]
    except (RuntimeError, TypeError, ValueError):
        return None


def _gradients(loop: TrainingLoop, step: Mapping[str, Any]) -> dict[str, float]:
    """Raw gradients, as far as they can be told after the hygiene: it replaces NaN by 0, and keeps every other 0."""
    parameters = [parameter for parameter in loop.model.parameters() if parameter.requires_grad]
    row: dict[str, float] = {"grad_nonfinite": step["nan_replaced"] + (not math.isfinite(step["grad_norm"]))}
    if row["grad_nonfinite"]:
        return row
    row["grad_norm"] = step["grad_norm"]
    if step["stepped"]:
        gradients = [parameter.grad for parameter in parameters]
        row["grad_none"] = sum(gradient is None for gradient in gradients)
        row["grad_zero"] = sum(gradient is not None and not gradient.any() for gradient in gradients)
        row["grad_tensors"] = len(gradients)
    elif step["grad_norm"] == 0:
        row |= {"grad_none": 0, "grad_zero": len(parameters), "grad_tensors": len(parameters)}
    return row
