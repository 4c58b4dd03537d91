"""Beyond the report: names of weights and names of terms do not meet."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.weights import sum_disagrees, term_unreached, weight_without_term

HYPOTHESIS = Hypothesis(
    key="weight_names",
    title="A term or a weight never reaches the total",
    claim="Keys of terms and weights differ, a term is computed and never added, or a weight is accepted and ignored.",
    predicts="The total is not the sum of its weighted terms; raising the weight changes nothing, or the term is not learned.",
    fix="Form the sum over the terms' own names, and fail on a weight without a term and on a term without a weight.",
    mechanism=(
        "A term that is not part of the total is not learned, and a weight that multiplies nothing changes nothing."
    ),
    signs=(sum_disagrees, weight_without_term, term_unreached),
    decisive=(weight_without_term,),
    fixed="Raising each weight by one raises the total by exactly its term.",
    proves_not="It does not prove that what is missing was needed: with it the total is another one, and how that trains was not tried.",
    guard="""terms = loss.components(prediction, target)
total = loss(prediction, target)
for name, term in terms.items():
    raised = copy.deepcopy(loss)
    setattr(raised, weight_of[name], getattr(loss, weight_of[name]) + 1)
    assert torch.isclose(raised(prediction, target) - total, term), f"{weight_of[name]} does not weigh {name}"
""",
)
