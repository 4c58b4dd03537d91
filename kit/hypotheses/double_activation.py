"""Beyond the report: an activation is applied twice."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.graph import activation_twice

HYPOTHESIS = Hypothesis(
    key="double_activation",
    title="An activation is applied twice",
    claim="The network ends in a sigmoid or softmax, and the loss applies one itself.",
    predicts="The loss can reach only a part of its range and sits near ln 2, or ln of the number of classes.",
    mechanism="What should be any real number lies between 0 and 1, so no prediction can be confident: the loss stops far from 0.",
    fix="Hand the loss the values before the activation (logits), or take the loss without one.",
    signs=(activation_twice,),
    decisive=(activation_twice,),
    fixed="The loss falls below the level at which it stood.",
    proves_not="It does not prove that nothing is learned: the classes may be ranked well, so that accuracy rises while the loss stays high.",
    guard="""prediction = model(batch)
assert prediction.min() < 0 or prediction.max() > 1, "these are probabilities, and the loss expects logits"
""",
)
