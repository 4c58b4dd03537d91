"""Hypothesis 3 of the report: R_blend is missing from the predictions."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from kit.hypotheses.base import Hypothesis, Preset, Symptoms
from kit.hypotheses.checks.outputs import prediction_missing

_FACTORS = ("cov_fact_angle", "cov_fact_range")


def _without_blend(prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in prediction.items() if key != "R_blend"}


def _zero_factors(prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # zero in value, but not cut off: that their gradient is exactly 0 is the loss's doing
    return {
        key: value - value.detach() if key in _FACTORS else value for key, value in _without_blend(prediction).items()
    }


HYPOTHESIS = Hypothesis(
    key="missing_prediction",
    title="A prediction is missing (R_blend)",
    prior=0.03,
    claim="Without R_blend the loss builds R_hat from the factors; if the factors are all zeros, the loss would be zero.",
    predicts=(
        "Zero factors are not a zero loss: after trace norm and loading they become white noise, whose normalised error is about 1. "
        "Their gradient is exactly 0, so they explain a plateau, not a zero."
    ),
    mechanism=(
        "The loss leaves the term out or replaces the missing prediction by something else, and what should have "
        "made it is not trained by that term."
    ),
    plain="A prediction that the loss reads is missing",
    signs=(prediction_missing,),
    symptoms={
        "blend_missing": Symptoms(train_zero=False, validation_level=False, gradient="non-zero", steps="every batch"),
        "blend_missing_factors_zero": Symptoms(
            train_zero=False, validation_level=False, gradient="partly zero", steps="every batch"
        ),
    },
    rank=3,
    presets=(
        Preset(
            "no_blend",
            "no R_blend, live factors",
            alter=_without_blend,
            condition="R_blend is absent",
            needs_outputs=("R_blend",),
        ),
        Preset(
            "no_blend_zero_factors",
            "no R_blend, zero factors",
            alter=_zero_factors,
            condition="R_blend is absent and both factors are 0",
            needs_outputs=_FACTORS,
        ),
    ),
    fix="Return every prediction that the loss reads, and let the loss fail on one that is missing.",
    proves_not="It does not prove that the network cannot make the prediction: it may return it under another name, or only in another mode.",
    guard="""prediction = model(batch)
missing = [key for key in loss.expects if key not in prediction]
assert not missing, f"the loss reads {missing}, and the model returns {sorted(prediction)}"
""",
)
