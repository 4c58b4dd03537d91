"""Hypothesis 4 of the report: every output of the model is zero."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kit.hypotheses.base import Hypothesis, Preset, Symptoms
from kit.hypotheses.checks.outputs import an_output_stays_zero, outputs_all_zero, outputs_constant


def _all_zero(prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
    mechanism=(
        "The loss compares its targets with numbers that do not depend on the input, and an output multiplied by "
        "0 passes no gradient back: what lies before it does not learn."
    ),
    plain="Outputs of the network are 0, or the same for every sample",
    signs=(outputs_all_zero, an_output_stays_zero, outputs_constant),
    symptoms={
        "factor_heads_zero": Symptoms(
            train_zero=False, validation_level=False, gradient="partly zero", steps="every batch"
        ),
        "all_outputs_zero": Symptoms(train_zero=False, validation_level=True, gradient="zero", steps="none"),
        "heads_start_at_zero": Symptoms(
            train_zero=False, validation_level=False, gradient="partly zero", steps="every batch"
        ),
    },
    rank=4,
    presets=(Preset("all_outputs_zero", "all outputs are 0", alter=_all_zero, condition="every head returns 0"),),
    fix="Find what kills the outputs: a dead activation, a mask, a scale of 0.",
    proves_not="It does not prove where the outputs vanish, nor that the loss reads 0 for this reason: against targets that are not 0 it does not.",
    guard="""prediction = model(batch)
for key, value in prediction.items():
    assert value.abs().max() > 0, f"the output {key} is exactly 0 for every sample"
""",
)
