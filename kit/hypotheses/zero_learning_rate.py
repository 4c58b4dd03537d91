"""Beyond the report: the optimizer steps with a learning rate of 0."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis, Symptoms
from kit.hypotheses.checks.steps import learning_rate_vanishes, learning_rate_zero

HYPOTHESIS = Hypothesis(
    key="zero_learning_rate",
    title="The learning rate is 0",
    claim="A warm-up that never leaves 0, a schedule that returns 0, a rate of 0.",
    predicts="Losses and gradients are as usual, steps are taken, no parameter moves, validation does not change.",
    fix="Print the learning rate at every step; start the warm-up above 0, and step its scheduler as often as it was planned for.",
    mechanism=(
        "Every step moves the parameters by 0 times the gradient: no parameter changes, and the validation loss "
        "repeats the same number."
    ),
    signs=(learning_rate_zero, learning_rate_vanishes),
    decisive=(learning_rate_zero, learning_rate_vanishes),
    symptoms={
        "warm_up_at_zero": Symptoms(train_zero=False, validation_level=True, gradient="non-zero", steps="every batch")
    },
    fixed="The learning rate is above 0 from the second step on, and validation moves.",
    proves_not="It does not prove that the rate is the only fault: nothing was trained, so what comes after the step was not tried.",
    guard="""assert all(group["lr"] > 0 for group in optimizer.param_groups), "the learning rate is 0 after the warm-up"
""",
)
