"""Beyond the report: loss, backward and step stand after the batch loop."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis, Symptoms
from kit.hypotheses.checks.steps import epochs_without_step, forwards_unreached, one_step_an_epoch
from kit.hypotheses.checks.symptoms import accumulates

HYPOTHESIS = Hypothesis(
    key="loss_outside_loop",
    title="The loss, or the step, stands after the batch loop",
    claim="Every batch passes through the network, and the weights move once an epoch: by its last batch, or by all of them at once.",
    predicts=(
        "One step an epoch; often one loss and one backward pass as well. A running sum divided by the number of batches is too small by that number, and "
        "validation hardly moves."
    ),
    fix="Move loss, backward and step into the loop over the batches: one level of indentation.",
    mechanism=(
        "Every batch passes through the network, and the optimizer steps once an epoch: there are far fewer steps "
        "than batches, so the losses hardly move."
    ),
    signs=(forwards_unreached, one_step_an_epoch),
    excluded_by=(accumulates, epochs_without_step),
    symptoms={
        "loss_outside_loop": Symptoms(
            train_zero=False, validation_level=False, gradient="non-zero", steps="one an epoch"
        )
    },
    fixed="As many loss calls, backward passes and steps as batches.",
    proves_not="It does not prove that one step an epoch is unwanted: training on the full batch does so on purpose.",
    guard="""# count calls while one epoch runs
assert steps == batches, f"{batches} batches, {steps} optimizer steps: is the step inside the loop?"
""",
)
