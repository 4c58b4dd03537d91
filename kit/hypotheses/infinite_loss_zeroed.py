"""Beyond the report: a loss that is infinite is replaced by 0."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import infinity_zeroed

HYPOTHESIS = Hypothesis(
    key="infinite_loss_zeroed",
    title="An infinite loss is turned to 0",
    claim="ctc_loss(zero_infinity=True) on targets longer than the input.",
    predicts="The loss reads 0, or lacks the samples that were infinite; their gradient is 0.",
    mechanism="What is infinite is replaced by a constant, which has no gradient: the number looks fine and nothing is learned from it.",
    fix="Find why it is infinite (targets longer than the input, log of 0) and let such a batch fail instead.",
    signs=(infinity_zeroed,),
    decisive=(infinity_zeroed,),
    explains=("nan_gradients", "constant_by_design", "empty_targets"),
    guard="""assert (input_lengths >= target_lengths).all(), "a target is longer than its input: its loss is infinite"
""",
)
