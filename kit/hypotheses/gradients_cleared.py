"""Beyond the report: gradients are cleared between backward and step."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.gradients import gradients_cleared

HYPOTHESIS = Hypothesis(
    key="gradients_cleared",
    title="Gradients are cleared before the step",
    claim="zero_grad() stands between backward() and step().",
    predicts="The raw gradient is alive, the optimizer is handed nothing, no parameter moves (but for weight decay), validation is level.",
    fix="Call zero_grad() before backward(), or after step().",
    mechanism=(
        "The backward pass fills the gradients, they are cleared, and the optimizer steps without them: no "
        "parameter changes, but for weight decay."
    ),
    signs=(gradients_cleared,),
    decisive=(gradients_cleared,),
    fixed="The optimizer is handed the gradient that the backward pass left.",
    guard="""# just before optimizer.step()
assert any(p.grad is not None and p.grad.abs().max() > 0 for g in optimizer.param_groups for p in g["params"]), "no gradient to step with"
""",
)
