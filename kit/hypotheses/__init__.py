"""The report's hypotheses, one file each, in the order of their prior."""

from kit.hypotheses import loss_initialisation, loss_weights, missing_prediction, nan_gradients, zero_outputs
from kit.hypotheses.base import Hypothesis, Reading
from kit.hypotheses.one_step import OneStep, at_one_step

REPORT = (
    loss_weights.HYPOTHESIS,
    loss_initialisation.HYPOTHESIS,
    missing_prediction.HYPOTHESIS,
    zero_outputs.HYPOTHESIS,
    nan_gradients.HYPOTHESIS,
)

__all__ = ["REPORT", "Hypothesis", "OneStep", "Reading", "at_one_step"]
