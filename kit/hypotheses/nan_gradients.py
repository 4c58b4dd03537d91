"""Hypothesis 5 of the report: NaN gradients replaced by 0."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis, Reading


def _poisoned(prediction):
    def pass_on(value):
        out = value * 1
        if out.requires_grad:
            out.register_hook(lambda gradient: gradient * float("nan"))
        return out * 1

    return {key: pass_on(value) for key, value in prediction.items()}


HYPOTHESIS = Hypothesis(
    key="nan_gradients",
    title="Numerical instability: NaN becomes 0",
    prior=0.01,
    claim="If gradients are NaN and being sanitised to 0, this could cause zero loss.",
    predicts=(
        "Sanitising acts on gradients, after the loss has been computed: the loss keeps its value. With every gradient NaN no step is "
        "taken, so this explains a validation loss that does not change, not a train loss of 0."
    ),
    readings=(
        Reading(
            "all_gradients_nan",
            "every gradient is NaN",
            alter=_poisoned,
            condition="the backward pass turns every gradient into NaN",
        ),
    ),
    fix="Find the operation whose gradient is NaN (torch.autograd.detect_anomaly) instead of replacing the result.",
)
