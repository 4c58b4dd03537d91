"""One batch of the system: as it is, and under every way that a hypothesis can be tried."""

from __future__ import annotations

from functools import partial

from kit.hypotheses import REPORT, Hypothesis, OneStep, at_one_step
from kit.training import System, predict

# as in the main phase of the report's trainer: R_blend holds 30 % of the sample covariance
blended_predict = partial(predict, beta=0.3)


def one_batch(system: System, *hypotheses: Hypothesis) -> OneStep:
    """Every reading of these hypotheses (the report's five, if none is given), tried on one batch of the system's fresh network."""
    return at_one_step(
        hypotheses or REPORT, system.new_model(), system.new_loss(), system.batch(), predict=blended_predict
    )
