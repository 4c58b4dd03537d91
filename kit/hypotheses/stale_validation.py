"""Beyond the report: validation looks at other weights, or does not run."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.validation import evaluated_copy_nearly_still, validation_never_ran, validation_stale

HYPOTHESIS = Hypothesis(
    key="stale_validation",
    title="Validation does not see what is trained",
    claim="Validation runs on a copy made earlier, or not at all, and an old number is shown again.",
    predicts="The network trains and its parameters change; the validation loss is the same number in every epoch.",
    fix="Evaluate the object that is trained, or a copy that is updated, and compute the loss anew each time.",
    mechanism=(
        "What is evaluated is not what is trained, or an old number is shown again: training goes on, and the "
        "validation loss does not change."
    ),
    signs=(validation_stale, validation_never_ran, evaluated_copy_nearly_still),
    decisive=(evaluated_copy_nearly_still,),
    fixed="The evaluated weights move when the trained ones do.",
    proves_not="It does not prove that the training works: the parameters were seen to move, not to get better.",
    guard="""assert all(torch.equal(a, b) for a, b in zip(model.parameters(), evaluated.parameters())), "another copy is evaluated"
""",
)
