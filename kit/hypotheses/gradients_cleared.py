"""Beyond the report: gradients are set to 0, or cleared, between backward and step."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.gradients import gradients_cleared
from kit.hypotheses.checks.steps import one_optimizer_without_gradient

HYPOTHESIS = Hypothesis(
    key="gradients_cleared",
    title="The gradients are gone before the step",
    claim="Between backward() and step() stands zero_grad(), a clipping to 0, or a factor of 0.",
    predicts="The raw gradient is not 0, the optimizer is handed nothing, no parameter moves (but for weight decay), validation does not change.",
    fix="Look between backward() and step(): zero_grad() belongs before or after both; clipping needs a limit above 0; no factor may be 0.",
    mechanism=(
        "The backward pass fills the gradients, something between it and the step sets them to 0 or removes them, and the optimizer "
        "steps without them: no parameter changes, but for weight decay."
    ),
    signs=(gradients_cleared, one_optimizer_without_gradient),
    decisive=(gradients_cleared, one_optimizer_without_gradient),
    fixed="The optimizer is handed the gradient that the backward pass left.",
    proves_not="It does not prove that the gradients were right before they were gone: whether a step along them lowers the loss was not tried.",
    guard="""# just before optimizer.step()
assert any(p.grad is not None and p.grad.abs().max() > 0 for g in optimizer.param_groups for p in g["params"]), "no gradient to step with"
""",
)
