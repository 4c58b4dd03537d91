"""Beyond the report: the loss is 0, or constant, because that is what it is."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.gradients import constant_loss_live_gradient
from kit.hypotheses.checks.outputs import batch_of_one, one_class
from kit.hypotheses.checks.symptoms import loss_constant

HYPOTHESIS = Hypothesis(
    key="constant_by_design",
    title="The loss is constant by design",
    claim="One class to choose from, a contrastive loss over a batch of one, a centred advantage whose mean is 0.",
    predicts="The loss is exactly 0 or constant with a healthy network; with a centred advantage its gradient is not 0 and the network learns.",
    fix="If the task is so, nothing in the loop is broken: look at a number that can move (accuracy, reward), or change the task.",
    mechanism=(
        "One class to choose from, one sample to a batch, or a centred advantage: the loss has one value, whatever the network does, and "
        "says nothing of how well it learns."
    ),
    signs=(one_class, constant_loss_live_gradient, loss_constant, batch_of_one),
    verdict="not_a_fault",
    fixed="There is nothing to fix in the loop.",
    proves_not="It does not prove that the network learns, nor that it does not: this loss cannot tell.",
    guard="""assert target.unique().numel() > 1, "one class only: the loss cannot move"
""",
)
