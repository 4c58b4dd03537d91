"""Hypothesis 2 of the report: lam_cov is not passed to the constructor."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis, Preset, Symptoms
from kit.hypotheses.checks.weights import weight_asked_but_zero, weight_left_at_default, weight_overwritten_with_zero

CONSTRUCTOR_DEFAULT = 0.3

HYPOTHESIS = Hypothesis(
    key="loss_initialisation",
    title="Loss function initialisation",
    prior=0.05,
    claim="lam_cov is not passed when the loss is built; search weights applied later might set it to 0.",
    predicts=(
        "Without the argument the default 0.3 applies: the main term counts less, but the loss stays positive. A later overwrite with 0 "
        "is lam_cov = 0 again."
    ),
    mechanism=(
        "The weight in force is another number than the configuration says, so its term counts too little, or not "
        "at all."
    ),
    plain="A weight of the loss is not the one that was asked for",
    signs=(weight_left_at_default, weight_overwritten_with_zero, weight_asked_but_zero),
    explains=("loss_weights",),
    symptoms={
        "weight_not_passed": Symptoms(
            train_zero=False, validation_level=False, gradient="non-zero", steps="every batch"
        ),
        "search_sets_lam_cov_zero": Symptoms(
            train_zero=False, validation_level=False, gradient="non-zero", steps="every batch"
        ),
        "schedule_omits_lam_cov": Symptoms(
            train_zero=False, validation_level=False, gradient="non-zero", steps="every batch"
        ),
    },
    rank=2,
    presets=(
        Preset(
            "default_applies",
            "lam_cov is not passed",
            weights=lambda w: {**w, "lam_cov": CONSTRUCTOR_DEFAULT},
            condition="the constructor's default, lam_cov = 0.3, is in force",
            needs=("lam_cov",),
        ),
        Preset(
            "search_sets_zero",
            "search weights set lam_cov to 0",
            weights=lambda w: {**w, "lam_cov": 0.0},
            condition="lam_cov is overwritten with 0 after construction",
            needs=("lam_cov",),
        ),
    ),
    fix="Pass every weight when the loss is built, and leave a weight alone where a search or a schedule does not name it.",
    proves_not="It does not prove that the weight in force is a bad one, nor that it makes the loss 0: it is another number than was asked for.",
    guard="""asked = {"lam_cov": 1.0}  # the weights of your configuration
for name, value in asked.items():
    assert getattr(loss, name) == value, f"{name} should be {value} when training starts. Found {getattr(loss, name)}"
""",
)
