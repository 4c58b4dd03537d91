"""Beyond the report: two things that should differ are the same object."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import loss_ln2, term_of_the_same

HYPOTHESIS = Hypothesis(
    key="reference_is_policy",
    title="What is compared is the same: reference and policy, or both of a pair",
    claim="The reference model is the trained model itself, or the chosen answer equals the rejected one.",
    predicts="A preference loss is ln 2 = 0.6931 in every step, a distance between the two is 0, and margins are 0.",
    mechanism="The difference between the two is 0 whatever the network does: a distance is 0, a preference loss -log sigmoid(0) = ln 2.",
    fix="Make the reference a frozen copy (copy.deepcopy) before training, and check that the two answers of a pair differ.",
    signs=(loss_ln2, term_of_the_same),
    decisive=(loss_ln2, term_of_the_same),
    explains=("constant_by_design",),
    fixed="The loss leaves 0.6931 after the first steps.",
    proves_not="It does not prove that the two are one object: equal inputs to both, or a copy renewed in every step, give the same numbers.",
    guard="""assert reference is not model, "the reference is the model itself"
""",
)
