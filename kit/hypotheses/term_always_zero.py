"""Beyond the report: one term of the loss is 0 in every step."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import term_always_zero

HYPOTHESIS = Hypothesis(
    key="term_always_zero",
    title="A term of the loss is 0 in every step",
    claim="No sample fits what the term asks for: no anchor matches, no pair is mined, a margin is always met, a mask is empty.",
    predicts="The other terms fall; what the term is there for is not learned.",
    mechanism="A sum over nothing, or a difference that is rounded away, is 0 and has no gradient: the total falls by its other terms, and this one trains nothing.",
    fix="Count how many elements the term is computed from, and fail where it is none.",
    signs=(term_always_zero,),
    decisive=(term_always_zero,),
    explains=("dead_branch", "zero_outputs"),
    fixed="The term is above 0 in some batch.",
    proves_not="It does not prove that the term is wrong: a margin that is met, or a penalty for what never happened, is 0 as it should be.",
    guard="""terms = loss.components(model(batch), target)
assert all(value != 0 for value in terms.values()), f"a term is 0: {terms}"
""",
)
