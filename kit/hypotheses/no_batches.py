"""Beyond the report: the loader yields nothing."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.steps import batches_run_dry, no_batches

HYPOTHESIS = Hypothesis(
    key="no_batches",
    title="The training loader is empty",
    claim="No batch is ever drawn: drop_last with a batch larger than the data, an empty split, a filter that keeps nothing.",
    predicts="The running sum stays 0, and so does what is displayed; nothing is learned.",
    fix="Compare len(loader) with what you expect: a smaller batch, or drop_last=False. Make a generator or an iterator anew for every epoch: it serves once.",
    mechanism=(
        "No batch is drawn, so nothing is added to the running sum and no parameter changes: train reads 0, and "
        "validation repeats the same number."
    ),
    signs=(no_batches, batches_run_dry),
    decisive=(no_batches, batches_run_dry),
    proves_not="It does not prove that the data set is empty: drop_last with a large batch, a filter, or an iterator that is used up looks the same.",
    guard="""assert len(train_loader) > 0, "the training loader yields no batch"
""",
)
