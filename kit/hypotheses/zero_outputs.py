"""Hypothesis 4 of the report: every output of the model is zero."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis, Reading


def _all_zero(prediction):
    # zero in value, but not cut off: the network behind it still receives its gradient
    return {key: value - value.detach() for key, value in prediction.items() if key != "R_blend"}


HYPOTHESIS = Hypothesis(
    key="zero_outputs",
    title="All model outputs are zero",
    prior=0.01,
    claim="If the model is outputting all zeros, the loss would be zero.",
    predicts=(
        "Zero is a wrong answer to every question the loss asks: uniform logits, sources at broadside and range 0, a white covariance. "
        "The loss is larger than with random outputs."
    ),
    readings=(Reading("all_outputs_zero", "all outputs are 0", alter=_all_zero, condition="every head returns 0"),),
    fix="Find what kills the outputs: a dead activation, a mask, a scale of 0.",
)
