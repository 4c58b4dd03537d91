"""Beyond the report: prediction and target have shapes that broadcast."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import broadcasts

HYPOTHESIS = Hypothesis(
    key="broadcast",
    title="Prediction and target are broadcast against each other",
    claim="The prediction is [n, 1] and the target [n], so the loss compares every sample with every target.",
    predicts="The network learns the mean of the targets; the loss stays near their variance.",
    mechanism="Each prediction is compared with the targets of all samples, so the best answer is their mean, whatever the input.",
    fix="Give both the same shape: prediction.squeeze(1), or target[:, None].",
    signs=(broadcasts,),
    decisive=(broadcasts,),
    fixed="The loss falls below the variance of the targets.",
    proves_not="It does not prove that the targets or the network are good: how well it learns shows only once both have one shape.",
    guard="""assert prediction.shape == target.shape, f"{list(prediction.shape)} is compared with {list(target.shape)}"
""",
)
