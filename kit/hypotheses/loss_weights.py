"""Hypothesis 1 of the report: the loss weights."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis, Preset, Symptoms
from kit.hypotheses.checks.graph import graph_weights_zero
from kit.hypotheses.checks.weights import all_weights_zero, main_weight_zero, terms_cancel

HYPOTHESIS = Hypothesis(
    key="loss_weights",
    title="Loss weight configuration",
    prior=0.90,
    claim="All loss weights are 0, or lam_cov is 0, or the loss components cancel out.",
    predicts=(
        "lam_cov = 0 removes one term of seven: the rest still makes a positive loss with a gradient. All weights zero make the train "
        "loss exactly 0, and the validation loss too, since both are the same function. Terms cannot cancel: none is negative."
    ),
    mechanism=(
        "A term whose weight is 0 adds nothing to the total and is not learned; with every weight 0 the total and "
        "its gradient are 0, whatever the network predicts."
    ),
    plain="Weights of the loss are 0, or its terms cancel",
    signs=(all_weights_zero, main_weight_zero, terms_cancel, graph_weights_zero),
    decisive=(graph_weights_zero,),
    explains=("constant_by_design", "empty_targets"),
    symptoms={
        "all_weights_zero": Symptoms(train_zero=True, validation_level=True, gradient="zero", steps="none"),
        "lam_cov_zero": Symptoms(train_zero=False, validation_level=False, gradient="non-zero", steps="every batch"),
        "terms_cancel": Symptoms(train_zero=True, validation_level=True, gradient="zero", steps="none"),
    },
    rank=1,
    presets=(
        Preset(
            "all_zero",
            "all weights are 0",
            weights=lambda w: dict.fromkeys(w, 0.0),
            condition="every lam_* is 0",
        ),
        Preset(
            "lam_cov_zero",
            "lam_cov is 0",
            weights=lambda w: {**w, "lam_cov": 0.0},
            condition="lam_cov is 0, the others are as they were",
            needs=("lam_cov",),
        ),
    ),
    fix="Print the weights when training starts, set each of them explicitly, and fail where the one that matters is 0.",
    proves_not="It does not prove that the loss reads 0 for this reason: one weight of 0 leaves the other terms, and a term may be off on purpose.",
    guard="""weights = {name: value for name, value in vars(loss).items() if name.lstrip("_").startswith("lam")}
assert any(weights.values()), f"every loss weight is 0: {weights}"
""",
)
