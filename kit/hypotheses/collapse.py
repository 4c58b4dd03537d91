"""Beyond the report: every sample gets the same output."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import loss_at_margin, outputs_collapse

HYPOTHESIS = Hypothesis(
    key="collapse",
    title="The outputs collapse to one point",
    claim="A loss of distances is met best by giving every sample the same embedding.",
    predicts="The loss settles at its margin, or at 0, while the outputs of different samples become equal.",
    mechanism="The outputs of all samples draw together; what the loss compares no longer differs, and its gradient fades.",
    fix="Mine pairs less hard at first, normalise the embeddings, lower the learning rate, or add a term that keeps them apart.",
    signs=(outputs_collapse, loss_at_margin),
    decisive=(outputs_collapse, loss_at_margin),
    fixed="The outputs of a batch keep differing.",
    proves_not="It does not prove that the loss or the rate is to blame: equal inputs, or a normalization that removes what differs, give equal outputs as well.",
    guard="""output = model(batch)
assert (output - output.mean(0)).norm() > 1e-3 * output.norm(), "every sample gets the same output"
""",
)
