"""Beyond the report: the steps are smaller than the rounding of the parameters."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.steps import learning_rate_zero, update_rounded

HYPOTHESIS = Hypothesis(
    key="update_rounded_away",
    title="The update is rounded away",
    claim="A step is smaller than half the distance to the next number that the parameter can hold: bfloat16 weights, a tiny learning rate.",
    predicts="Losses and gradients are as usual, steps are taken with a rate above 0, and parameters stay bit for bit as they are.",
    mechanism=(
        "Parameter plus update is rounded to the parameter: bfloat16 and float16 keep two to three digits, so that a step below a few "
        "thousandths of a weight is lost, in every step anew."
    ),
    fix="Keep the parameters in float32 and compute under autocast, let the optimizer hold float32 copies, or raise the learning rate.",
    signs=(update_rounded,),
    decisive=(update_rounded,),
    excluded_by=(learning_rate_zero,),
    explains=("stale_validation",),
    fixed="A step changes most of the numbers that have a gradient.",
    proves_not="It does not prove that every later update is lost: a larger gradient, or a parameter closer to 0, may still change.",
    guard="""before = [p.detach().clone() for p in model.parameters()]
optimizer.step()  # after a backward pass
assert any(not torch.equal(old, p) for old, p in zip(before, model.parameters())), "the update was rounded away"
""",
)
