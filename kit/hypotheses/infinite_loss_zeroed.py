"""Beyond the report: a loss that is infinite or NaN is replaced by 0."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import infinity_zeroed, nan_replaced

HYPOTHESIS = Hypothesis(
    key="infinite_loss_zeroed",
    title="An infinite loss, or NaN in it, is turned to 0",
    claim="ctc_loss(zero_infinity=True) on targets longer than the input; nan_to_num in the loss.",
    predicts="The loss reads 0, or lacks the samples that were infinite; their gradient is 0.",
    mechanism="What is infinite is replaced by a constant, which has no gradient: the number looks fine and nothing is learned from it.",
    fix="Find why it is infinite (targets longer than the input, log of 0) and let such a batch fail instead.",
    signs=(infinity_zeroed, nan_replaced),
    decisive=(infinity_zeroed, nan_replaced),
    explains=("nan_gradients", "constant_by_design", "empty_targets"),
    proves_not="It does not prove that the replaced samples are bad: in half precision a correct one overflows as well.",
    guard="""assert (input_lengths >= target_lengths).all(), "a target is longer than its input: its loss is infinite"
""",
)
