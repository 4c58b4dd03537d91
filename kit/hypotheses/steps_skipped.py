"""Beyond the report: the optimizer does not step, or steps with no gradient."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.steps import (
    epochs_without_step,
    gradients_without_step,
    no_backward,
    no_steps,
    optimizer_idle,
    scaler_skips_most,
    steps_without_gradient,
)

HYPOTHESIS = Hypothesis(
    key="steps_skipped",
    title="Optimizer steps are skipped, or have no gradient",
    claim=(
        "A gate that never opens, accumulation longer than the epoch, a gradient scaler that overflows, a step that is never called, or "
        "one without the backward pass that it needs (a training_step that returns nothing)."
    ),
    predicts="Losses are computed, the parameters do not move, validation does not change. Train reads 0 where only taken steps are counted.",
    fix=(
        "Count backward passes and steps, and say why each one was skipped; return the loss; restart no accumulation counter within the "
        "epoch; lower the scaler's scale."
    ),
    mechanism=(
        "Losses are computed and no optimizer step uses them, or hardly any: the parameters stay as they are, and "
        "the validation loss does not change. Where only taken steps are counted, train reads 0."
    ),
    signs=(
        no_steps,
        no_backward,
        scaler_skips_most,
        optimizer_idle,
        gradients_without_step,
        epochs_without_step,
        steps_without_gradient,
    ),
    decisive=(optimizer_idle, gradients_without_step, epochs_without_step, steps_without_gradient),
    explains=("stale_validation",),
    fixed="Steps are taken, and validation moves.",
    proves_not="It does not prove why a step was left out, nor that it would have helped: a scaler skips steps since their gradients are not finite.",
    guard="""before = [parameter.detach().clone() for parameter in model.parameters()]
train_one_epoch()
moved = any(not torch.equal(old, new) for old, new in zip(before, model.parameters()))
assert moved, "an epoch of training changed no parameter"
""",
)
