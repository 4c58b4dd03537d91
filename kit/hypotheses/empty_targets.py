"""Beyond the report: nothing is supervised."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.outputs import nothing_supervised
from kit.hypotheses.checks.symptoms import loss_constant

HYPOTHESIS = Hypothesis(
    key="empty_targets",
    title="No element of the targets is supervised",
    claim="All labels carry the ignore index, or the mask is empty.",
    predicts="The loss is 0, or 0/0 = NaN displayed as 0; nothing is learned.",
    fix="Count the supervised elements of each batch after truncation and masking, and fail on a batch without one.",
    mechanism="No element counts, so the loss is a sum over nothing: 0, or 0/0 = NaN. There is nothing to learn from.",
    signs=(nothing_supervised, loss_constant),
    decisive=(nothing_supervised,),
    explains=("nan_gradients",),
    guard="""supervised = (target != ignore_index).sum()
assert supervised > 0, "no element of this batch is supervised"
""",
)
