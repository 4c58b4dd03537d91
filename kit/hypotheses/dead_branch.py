"""Beyond the report: a part of the network whose gradient is exactly 0."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import branch_gradient_zero

HYPOTHESIS = Hypothesis(
    key="dead_branch",
    title="A branch of the network has a gradient of exactly 0",
    claim="Two layers in a row are initialised with zeros, an activation is dead, or a gate is closed.",
    predicts="The parameters of the branch never move; the rest of the network learns.",
    mechanism="What the branch returns is multiplied by 0 on the way to the loss, or by something that is 0 itself: its parameters stay.",
    fix="Initialise one of the layers with small random values, or open the gate.",
    signs=(branch_gradient_zero,),
    decisive=(branch_gradient_zero,),
    fixed="The gradient of the branch is not 0 after a few steps.",
    proves_not="It does not prove that the branch stays dead: a closed gate or a layer of zeros may open in later steps than those that were read.",
    guard="""dead = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.any()]
assert not dead, f"the gradient is exactly 0 in {dead}"
""",
)
