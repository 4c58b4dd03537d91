"""Hypothesis 5 of the report: NaN gradients replaced by 0."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from torch import Tensor

from kit.hypotheses.base import Hypothesis, Preset, Symptoms
from kit.hypotheses.checks.gradients import gradient_nonfinite
from kit.hypotheses.checks.outputs import outputs_nonfinite
from kit.hypotheses.checks.symptoms import loss_nonfinite


def with_nan_gradient(prediction: Mapping[str, Tensor], only: Collection[str] | None = None) -> dict[str, Tensor]:
    """The same values; the backward pass turns the gradient of every prediction (or of ``only`` some) into NaN."""

    def poison(value: Tensor) -> Tensor:
        out = value * 1
        if out.requires_grad:
            out.register_hook(lambda gradient: gradient * math.nan)
        return out * 1

    return {key: poison(value) if only is None or key in only else value for key, value in prediction.items()}


HYPOTHESIS = Hypothesis(
    key="nan_gradients",
    title="Numerical instability: NaN becomes 0",
    prior=0.01,
    claim="If gradients are NaN and being sanitised to 0, this could cause zero loss.",
    predicts=(
        "Sanitising acts on gradients, after the loss has been computed: the loss keeps its value. With every gradient NaN no step is "
        "taken, so this explains a validation loss that does not change, not a train loss of 0."
    ),
    mechanism=(
        "A step with such a gradient is either skipped, and the parameters stay as they are, or taken, and they "
        "become NaN: nothing is learned."
    ),
    plain="NaN or infinity in gradients or losses",
    signs=(gradient_nonfinite, loss_nonfinite, outputs_nonfinite),
    decisive=(gradient_nonfinite,),
    explains=("steps_skipped",),
    symptoms={
        "nan_gradients": Symptoms(train_zero=False, validation_level=True, gradient="non-finite", steps="none"),
        "nan_loss_read_as_zero": Symptoms(train_zero=True, validation_level=True, gradient="non-finite", steps="none"),
    },
    rank=5,
    presets=(
        Preset(
            "all_gradients_nan",
            "every gradient is NaN",
            alter=with_nan_gradient,
            condition="the backward pass turns every gradient into NaN",
        ),
    ),
    fix="Find the operation whose gradient is NaN (torch.autograd.detect_anomaly), instead of replacing the result or skipping the step.",
    proves_not="It does not prove which operation made the first NaN, nor that replacing it helps: the reason may be an earlier step, the data or the rate.",
    guard="""total = loss(model(batch), target)
total.backward()
assert total.isfinite(), f"the loss is {total}"
for name, parameter in model.named_parameters():
    assert parameter.grad is None or parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"
""",
)
