"""Beyond the report: the number on display is not the number that was computed."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.symptoms import display_differs, display_divided, validation_display_differs

HYPOTHESIS = Hypothesis(
    key="wrong_number",
    title="The displayed number is wrong",
    claim="The running sum is not updated, divided by the wrong count, reset too early, or rounded away.",
    predicts="The network learns; the computed losses and the displayed ones are different numbers.",
    fix="Display the mean of the losses of all batches, and compare it once with the losses themselves.",
    mechanism="One number is computed and another is displayed: the display says nothing of how the training goes.",
    signs=(display_differs, validation_display_differs, display_divided),
    decisive=(display_differs, validation_display_differs, display_divided),
    verdict="wrong_number",
    fixed="The displayed loss lies within the range of the losses of the epoch's batches.",
    proves_not="It does not prove that the training is healthy: the computed losses are the ones to judge, and may show a fault of their own.",
    guard="""assert min(batch_losses) <= displayed <= max(batch_losses), f"displayed {displayed}, computed {batch_losses}"
""",
)
