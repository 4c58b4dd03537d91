"""The page entries of hypotheses 2 to 5, in both directions; what they predict is worked out a second way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import kit
from kit import faults, studies, whatif
from kit.studies import Claim, Setup
from kit.studies.questions import loss_initialisation, missing_prediction, nan_gradients, zero_outputs
from kit.studies.setup import AS_IT_IS
from kit.studies.symptom import shows_symptom
from kit.studies.tables import claims_table
from tests.training._runs import small_system

PROBED = "as it is"  # the state of a probed batch to which nothing was done


@pytest.fixture(scope="module")
def system():
    return small_system(structure_schedule=False)


@pytest.fixture(scope="module")
def faulty(system):
    return Setup("faulty", (faults.NanGradients(), faults.LossCountedOnStepsOnly())).run(system)


def _results(study):
    return pytest.fixture(scope="module")(lambda system: study.run(system))


initialisation, missing = _results(studies.loss_initialisation), _results(studies.missing_prediction)
zeros, nan = _results(studies.zero_outputs), _results(studies.nan_gradients)


def with_run(results: studies.Results, **changed: kit.training.TrainingHistory) -> studies.Results:
    assert set(changed) <= set(results.runs)
    return replace(results, runs={**results.runs, **changed})


def holding(results: studies.Results) -> list[bool]:
    return [claim.holds for claim in results.claims]


def test_the_table_counts_and_known_runs_are_not_trained_again(system, faulty):
    said = []
    setups = {AS_IT_IS: Setup("as it is"), "faulty": Setup("faulty", (faults.NanGradients(),))}
    study = replace(studies.nan_gradients, setups=setups, before={})
    results = study.run(system, known={"faulty": faulty}, progress=said.append)
    assert said == [AS_IT_IS, "faulty"] and results.runs["faulty"] is faulty and results.seed == system.seed
    healthy, stopped = results.table.loc[AS_IT_IS], results.table.loc["faulty"]
    assert [healthy[name] for name in ("forward", "loss", "backward", "steps", "nan_replaced")] == [6, 6, 6, 6, 0]
    assert [stopped[name] for name in ("forward", "loss", "backward", "steps")] == [6, 6, 6, 0]
    assert stopped["nan_replaced"] == 6 * sum(p.numel() for p in system.new_model().parameters())
    assert stopped["grad_norm"] == 0 < healthy["grad_norm"]
    assert list(results.table["shows_symptom"]) == [False, True]
    assert healthy["val_nmse_last"] == results.runs[AS_IT_IS].epoch_records[-1]["val_loss_nmse"]


def test_runs_columns_and_keys_are_identifiers(nan, missing):
    for study in vars(studies).values():
        if isinstance(study, studies.Study):
            assert all(name.isidentifier() for name in (study.key, *study.setups, *study.shown))
            assert getattr(studies, study.key) is study
    assert all(name.isidentifier() for name in (*nan.table.columns, *missing.facts["zero_factors"].near.columns))


def test_what_is_shown_has_captions(nan):
    assert list(nan.show("symptoms").frame.index) == [setup.caption for setup in studies.nan_gradients.setups.values()]
    with pytest.raises(ValueError, match=r"name should be one of readings, claims, .*layers\. Found 'heatmap'"):
        nan.show("heatmap")


def test_a_study_without_a_system_trains_nothing():
    with pytest.raises(ValueError, match="should have a system to train"):
        studies.nan_gradients.of(step=None).train()


def test_a_fact_that_a_study_does_not_have_is_refused(system):
    with pytest.raises(ValueError, match="facts of 'nan_gradients' should be of step. Found 'steps'"):
        studies.nan_gradients.prepare(system, steps=None)


def test_a_setup_changes_what_it_names_and_nothing_else(system):
    assert Setup("as it is").run(system).epoch_records == system.run().epoch_records
    history = Setup("less", weights={"lam_K": 0.25}, config={"epochs": 1}).run(system)
    assert len(history.train_loss) == 1 and history.epoch_records[0]["lam_K"] == 0.25
    assert history.epoch_records[0]["lam_cov"] == system.weights["lam_cov"]


def test_a_claim_is_judged_by_what_was_measured():
    frame = claims_table([Claim("a", "p", "m", True), Claim("b", "p", "m", False)]).frame
    assert list(frame["verdict on the claim"]) == ["confirmed", "refuted"]
    assert list(frame.columns) == ["claim", "verdict on the claim", "predicted", "measured"]


def test_heads_at_zero_are_undone_bitwise_and_need_heads(system):
    loop = system.new_loop()
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    fault = faults.HeadsStartAtZero()
    with fault.applied_to(loop):
        prediction = loop.model(system.batch(4).inputs)
        assert all((prediction[key] == 0).all() for key in ("cov_fact_angle", "cov_fact_range", "k_logits"))
        assert any(value.grad_fn is not None for value in prediction.values()), "alive"
    assert all(torch.equal(before[name], value) for name, value in loop.model.state_dict().items())
    bare = kit.training.TrainingLoop(torch.nn.Linear(2, 2), system.new_loss(), system.train, system.config)
    with pytest.raises(ValueError, match="no heads"), fault.applied_to(bare):
        pass


# hypothesis 2


def test_initialisation_refutes_and_the_guarded_run_is_the_passed_one(initialisation):
    runs = initialisation.runs
    passed, silent = runs[loss_initialisation.PASSED], runs[loss_initialisation.SEARCH_SILENT]
    assert passed.epoch_records == silent.epoch_records
    assert holding(initialisation) == [True, False, True, False, True]
    finding = initialisation.finding(initialisation.panel())
    assert finding.verdict == "refuted" and "Neither gives train 0" in finding.answer
    assert "epoch by epoch the same run as" in finding.why and "neither shows" in finding.why


def test_initialisation_confirms_when_a_run_shows_it(initialisation, faulty):
    shown = with_run(initialisation, **{loss_initialisation.NOT_PASSED: faulty, loss_initialisation.PASSED: faulty})
    assert shown.claims[1].verdict == "confirmed"
    finding = shown.finding()
    assert finding.verdict == "confirmed" and "appears under: lam_cov not passed." in finding.answer
    assert "another run than" in finding.why and "at least one of the two shows" in finding.why


def test_the_line_over_lam_cov_says_its_numbers(initialisation):
    seen = initialisation.step.reports[PROBED]
    shown = initialisation.show("lam_cov")
    for x in (0.0, 0.3, 1.0):
        assert f"{whatif.total(seen, {'lam_cov': x}):.4f} at {x:g}" in shown.alt


# hypothesis 3


def test_white_noise_and_samples_a_second_way(system, missing):
    """n0 as the error of the identity, and of the sample covariance as a prediction, from the loss itself."""
    loss, zero = system.new_loss(), missing.facts["zero_factors"]
    for batch, R, expected in (
        (system.batch(), torch.eye(12, dtype=torch.complex64).expand(8, 12, 12), zero.white_noise),
        (system.validation, system.validation.R_samp, zero.samples),
    ):
        seen = loss.components({"R_pred": R.clone().requires_grad_()}, batch.target, only=("loss_nmse",))
        assert seen["loss_nmse"].item() == pytest.approx(expected, rel=1e-5)


def test_beside_zero_the_gradient_grows_as_one_over_the_scale(missing):
    near = missing.facts["zero_factors"].near.set_index("factor_scale")
    g, error = near["grad_norm"], near["covariance_error"]
    assert g[1e-1] == pytest.approx(10 * g[1.0], rel=1e-3) and g[1e-3] == pytest.approx(1e3 * g[1.0], rel=1e-3)
    assert error[1e-3] == pytest.approx(error[1.0], rel=1e-4), "the trace norm undoes any scale"
    assert g[0.0] == 0 and error[0.0] == pytest.approx(missing.facts["zero_factors"].white_noise, rel=1e-5)
    assert g.max() > 1e3 and f"at scale 0.001 the gradient norm is {g[1e-3]:.3g}" in missing.show("near_zero").alt


def test_missing_blend_refutes_and_calls_zero_factors_a_plateau(missing):
    assert holding(missing) == [True, False, False, True, False, True]
    finding = missing.finding()
    assert finding.verdict == "refuted" and "plateau of one part" in finding.answer


def test_missing_blend_follows_other_runs(missing, faulty):
    shown = with_run(missing, **{missing_prediction.NO_BLEND_ZERO: faulty})
    other = replace(missing.facts["zero_factors"], samples=9.0)
    claims = replace(shown, facts={**shown.facts, "zero_factors": other}).claims
    assert claims[2].holds and claims[4].holds, "train 0 and a level validation were measured"
    assert not claims[5].holds, "another number was predicted than measured"
    finding = shown.finding()
    assert finding.verdict == "confirmed" and "plateau" not in finding.answer
    moving = with_run(missing, **{missing_prediction.NO_BLEND_ZERO: missing.runs[AS_IT_IS]}).finding()
    assert moving.verdict == "refuted" and "plateau of one part" not in moving.answer


# hypothesis 4


def test_the_seven_terms_at_zero_by_hand_are_those_of_the_loss(zeros):
    predicted, zero = zeros.facts["predicted"], zeros.step.reports[zero_outputs.CASE]
    assert list(predicted) == list(zero.names)
    np.testing.assert_allclose(zero.L, [predicted[name] for name in zero.names], rtol=1e-5, atol=1e-6)
    assert predicted["loss_subspace_align"] == 0 and min(v for v in predicted.values() if v) > 0.2


def test_zero_outputs_refute_and_name_the_second_fault(zeros):
    assert holding(zeros) == [False, True, False, False, True]
    finding = zeros.finding()
    assert finding.verdict == "refuted" and "counts the loss on taken steps only" in finding.answer
    zero, now = zeros.step.reports[zero_outputs.CASE], zeros.step.reports[PROBED]
    assert ("not larger than" in finding.answer) == (zero.total <= now.total)
    alive = zeros.runs[zero_outputs.ALIVE]
    assert len({record["val_loss_nmse"] for record in alive.epoch_records}) == 1, "the factors stay on the saddle"


def test_zero_outputs_follow_other_runs(zeros, faulty):
    other = with_run(zeros, **{zero_outputs.DEAD: faulty, zero_outputs.DEAD_COUNTED: zeros.runs[AS_IT_IS]})
    assert holding(other) == [True, True, True, False, False]
    finding = other.finding()
    assert finding.verdict == "confirmed" and "appears under: outputs times 0." in finding.answer
    assert "counts the loss on taken steps only" not in finding.answer


# hypothesis 5


def test_nan_gradients_are_half_of_it(nan):
    assert holding(nan) == [False, True, False, True, True]
    finding = nan.finding(nan.panel())
    assert finding.verdict == "partly"
    assert "not a train loss of 0" in finding.answer and "made in what is displayed" in finding.answer
    lowest = min(step["loss"] for step in nan.runs[nan_gradients.RECORDED].step_records)
    assert lowest > 1 and f"{lowest:.4f}" in finding.remains


def test_nan_gradients_follow_other_runs(nan, faulty, system):
    finding = with_run(nan, **{nan_gradients.ALL: faulty}).finding()
    assert finding.verdict == "confirmed" and "NaN gradients alone: every gradient NaN." in finding.answer
    nothing = with_run(nan, **dict.fromkeys(nan.runs, system.run()))
    finding = nothing.finding()
    assert finding.verdict == "refuted" and "explains neither number" in finding.answer
    assert not any(holding(nothing))


def test_the_recorded_combination_is_the_faulty_run(nan, faulty):
    """Second way: the faults put together here, and those of the shipped run, give the same run."""
    assert nan.runs[nan_gradients.RECORDED].epoch_records == faulty.epoch_records
    assert shows_symptom(faulty)
    both = nan_gradients.SETUPS[nan_gradients.RECORDED].faults
    assert [fault.key for fault in both] == kit.datasets.load_faulty_run().settings["faults"]


def test_nan_of_one_output_is_named_and_a_zero_weight_takes_it_out(nan):
    reports = nan.step.reports
    seen = reports[nan_gradients.ONE_CASE]
    assert seen.total == reports[PROBED].total, "the loss keeps its value"
    faulty_terms = [name for name, entries in zip(seen.names, seen.nonfinite.sum(axis=0), strict=True) if entries]
    assert faulty_terms == ["loss_K"]
    place = nan.show("layers").alt.split("not finite: ")[1]
    assert place.startswith("loss_K: trunk") and "heads.k_logits" in place and "heads.cov" not in place
    clean = replace(nan.step, reports={nan_gradients.ONE_CASE: reports[PROBED]})
    assert nan_gradients.layers_with_nan(clean).alt.endswith("not finite: none.")
    panel = nan.panel()
    assert panel.case == nan_gradients.ONE_CASE
    assert np.isnan(whatif.grad_norm(seen, panel.weights))
    assert whatif.grad_norm(seen, {"lam_K": 0.0}) > 0
