"""The report's presets at one step, against the loss itself evaluated under each of them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch

import kit
from kit.hypotheses import REPORT
from tests.training._runs import small_system

FORWARD = partial(kit.training.predict, beta=0.3)


@pytest.fixture(scope="module")
def system():
    return small_system()


@pytest.fixture(scope="module")
def step(system):
    return kit.hypotheses.at_one_step(REPORT, system.new_model(), system.new_loss(), system.batch(), predict=FORWARD)


def _result(step, key):
    return next(result for result in step.results if result.key == key)


def _loss_under(system, change=lambda prediction: prediction, **weights) -> float:
    """The second way: build the altered predictions by hand and call the loss."""
    loss = system.with_weights(**weights).new_loss()
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", kit.loss.ZeroWeightWarning)
        return loss(change(FORWARD(system.new_model(), system.batch())), system.batch().target).item()


def test_the_priors_are_the_reports():
    assert [hypothesis.prior for hypothesis in REPORT] == [0.90, 0.05, 0.03, 0.01, 0.01]
    assert sum(hypothesis.prior for hypothesis in REPORT) == pytest.approx(1.0)
    assert [hypothesis.key for hypothesis in REPORT] == [
        "loss_weights",
        "loss_initialisation",
        "missing_prediction",
        "zero_outputs",
        "nan_gradients",
    ]


def test_weights_are_answered_as_the_loss_answers(system, step):
    assert _result(step, "as_it_is").loss == pytest.approx(_loss_under(system), rel=1e-5)
    assert _result(step, "lam_cov_zero").loss == pytest.approx(_loss_under(system, lam_cov=0.0), rel=1e-5)
    assert _result(step, "search_sets_zero").loss == _result(step, "lam_cov_zero").loss


def test_altered_predictions_are_what_the_preset_says(system, step):
    factors = ("cov_fact_angle", "cov_fact_range")

    def no_blend(prediction):
        return {key: value for key, value in prediction.items() if key != "R_blend"}

    def zero_factors(prediction):
        return {k: torch.zeros_like(v) if k in factors else v for k, v in no_blend(prediction).items()}

    def all_zero(prediction):
        return {k: torch.zeros_like(v) for k, v in no_blend(prediction).items()}

    for key, change in (
        ("no_blend", no_blend),
        ("no_blend_zero_factors", zero_factors),
        ("all_outputs_zero", all_zero),
    ):
        assert _result(step, key).loss == pytest.approx(_loss_under(system, change), rel=1e-5), key


def test_only_all_weights_zero_reads_zero(step):
    assert [result.key for result in step.results if result.loss == 0] == ["all_zero"]
    assert _result(step, "all_zero").grad_norm == 0


def test_zero_factors_get_no_gradient_and_the_heads_beside_them_do(step):
    report = step.reports["no R_blend, zero factors"]
    norms = kit.plots.layer_norms(report)
    nmse = report.names.index("loss_nmse")
    assert (norms[:, nmse] == 0).all(), "a saddle: exactly zero"
    assert _result(step, "no_blend_zero_factors").grad_norm > 0


def test_nan_gradients_leave_the_loss_as_it_is(step):
    poisoned, healthy = _result(step, "all_gradients_nan"), _result(step, "as_it_is")
    assert poisoned.loss == pytest.approx(healthy.loss, rel=1e-6)
    assert poisoned.grad_norm != poisoned.grad_norm, "not finite, and not zero"


def test_the_table_has_a_row_for_every_reading(step):
    assert len(step.table) == 1 + sum(len(hypothesis.presets) for hypothesis in REPORT)
    assert step.table["reads_zero"].tolist().count(True) == 1
    assert 0.9 in step.table["prior"].tolist()


def test_a_hypothesis_of_ones_own_is_one_object(system):
    """A sixth claim needs nothing but data."""
    sixth = kit.hypotheses.Hypothesis(
        key="half_everything",
        title="Everything is halved",
        prior=0.5,
        claim="the loss halves",
        predicts="linear",
        presets=(kit.hypotheses.Preset("halved", "all halved", weights=lambda w: {k: v / 2 for k, v in w.items()}),),
        fix="double it",
    )
    step = kit.hypotheses.at_one_step([sixth], system.new_model(), system.new_loss(), system.batch())
    assert step.results[1].loss == pytest.approx(step.results[0].loss / 2, rel=1e-12)


def test_a_negative_weight_keeps_its_value():
    """An entropy bonus is a legal weight of anybody's loss."""

    class Bonus:
        lam_fit, lam_entropy = 1.0, -0.1

        def __call__(self, prediction, target):
            return (
                self.lam_fit * (prediction["y"] - target).square().mean()
                + self.lam_entropy * prediction["y"].abs().mean()
            )

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    batch = (torch.randn(4, 3), torch.randn(4, 2))
    claim = replace(REPORT[0], presets=REPORT[0].presets[:1])  # all weights 0; another loss has no lam_cov
    step = kit.hypotheses.at_one_step([claim], model, Bonus(), batch, predict=lambda m, b: {"y": m(b[0])})
    assert step.results[0].loss == pytest.approx(Bonus()({"y": model(batch[0])}, batch[1]).item(), rel=1e-5)


class _TwoWeights(torch.nn.Module):
    """Somebody else's loss: no lam_cov, no mapping of predictions."""

    lam_a, lam_b = 1.0, 0.5

    def forward(self, prediction, target):
        return self.lam_a * (prediction - target).square().mean() + self.lam_b * prediction.abs().mean()


def test_readings_that_mean_nothing_for_another_loss_say_so():
    batch = type("Pair", (), {"inputs": torch.ones(4, 3), "target": torch.zeros(4, 2)})()
    step = kit.hypotheses.at_one_step(REPORT, torch.nn.Linear(3, 2), _TwoWeights(), batch)
    assert [result.key for result in step.results] == ["as_it_is", "all_zero"]
    assert _result(step, "all_zero").loss == 0
    reasons = {skipped.key: skipped.reason for skipped in step.not_applicable}
    assert reasons["lam_cov_zero"] == "the loss has no weight lam_cov"
    assert reasons["no_blend"] == "the prediction is not a mapping but a Tensor"
    assert set(reasons) == {r.key for h in REPORT for r in h.presets} - {"all_zero"}
    assert (step.table["not_applicable"] != "").sum() == len(reasons)


def test_earlier_names_of_presets_and_results_warn(step):
    with pytest.warns(DeprecationWarning, match="OneStep.trials is now OneStep.results"):
        assert step.trials is step.results
    with pytest.warns(DeprecationWarning, match=r"kit.hypotheses.Reading is now kit.hypotheses.Preset"):
        assert kit.hypotheses.Reading is kit.hypotheses.Preset
    with pytest.raises(AttributeError, match="module 'kit.hypotheses' has no attribute 'Readings'"):
        _ = kit.hypotheses.Readings


def test_every_result_but_the_step_itself_is_a_button(step):
    buttons = kit.panel.presets_of(step)
    assert [button.key for button in buttons] == [result.key for result in step.results[1:]]
    assert [button.weights for button in buttons] == [result.weights for result in step.results[1:]]
