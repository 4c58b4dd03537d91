"""Beyond the report: nothing is supervised."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import nothing_compared
from kit.hypotheses.checks.outputs import nothing_supervised
from kit.hypotheses.checks.symptoms import loss_constant

HYPOTHESIS = Hypothesis(
    key="empty_targets",
    title="Nothing is supervised: no element, no pair, no match",
    claim="All labels carry the ignore index, the mask is empty, or no pair and no match is found.",
    predicts="The loss is 0, or 0/0 = NaN displayed as 0; nothing is learned.",
    fix="Count what is compared in each batch (elements after masking, pairs, matches), and fail on a batch without any.",
    mechanism="No element counts, so the loss is a sum over nothing: 0, or 0/0 = NaN. There is nothing to learn from.",
    signs=(nothing_supervised, nothing_compared, loss_constant),
    decisive=(nothing_supervised, nothing_compared),
    explains=("nan_gradients",),
    proves_not="It does not prove that the data have no labels: masking, cropping or matching may remove them on the way to the loss.",
    guard="""supervised = (target != ignore_index).sum()
assert supervised > 0, "no element of this batch is supervised"
""",
)
