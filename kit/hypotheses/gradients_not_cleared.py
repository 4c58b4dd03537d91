"""Beyond the report: gradients of all steps add up."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.gradients import gradients_left

HYPOTHESIS = Hypothesis(
    key="gradients_not_cleared",
    title="Gradients are never cleared",
    claim="zero_grad() is missing, or clears another optimizer's parameters.",
    predicts="Each step follows the sum of all gradients so far: the loss swings, grows, or falls slowly.",
    mechanism="A backward pass adds to what is there: without zero_grad() each step is taken with the gradients of all steps before as well.",
    fix="Call optimizer.zero_grad() once for each step, before the backward pass.",
    signs=(gradients_left,),
    decisive=(gradients_left,),
    fixed="The gradient norm no longer grows from step to step.",
    proves_not="It does not prove that the losses swing for this reason alone: a rate that is too high looks the same.",
    guard="""assert all(p.grad is None or not p.grad.any() for p in model.parameters()), "gradients of the last step are still there"
total.backward()
""",
)
