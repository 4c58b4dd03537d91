"""The findings of hypotheses 2 to 5, in both directions; what they predict is worked out a second way."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

import kit
from kit import faults, whatif
from kit.hypotheses import REPORT
from kit.investigation import (
    Claim,
    FaultRuns,
    Setup,
    claims_table,
    loss_initialisation,
    missing_prediction,
    nan_gradients,
    rank_at_one_step,
    run_faults,
    shows_symptom,
    zero_outputs,
)
from kit.investigation.fault_runs import AS_IT_IS
from tests.training._runs import small_system

INITIALISATION, MISSING, ZEROS, NAN = REPORT[1:]


@pytest.fixture(scope="module")
def system():
    return small_system(structure_schedule=False)


@pytest.fixture(scope="module")
def faulty(system):
    return Setup((faults.NanGradients(), faults.LossCountedOnStepsOnly())).run(system)


def _runs(module):
    return pytest.fixture(scope="module")(lambda system: run_faults(system, module.SETUPS))


def _step(hypothesis):
    return pytest.fixture(scope="module")(lambda system: rank_at_one_step(system, hypotheses=(hypothesis,)))


initialisation_runs, missing_runs = _runs(loss_initialisation), _runs(missing_prediction)
zero_runs, nan_runs = _runs(zero_outputs), _runs(nan_gradients)
initialisation_step, missing_step, zero_step = _step(INITIALISATION), _step(MISSING), _step(ZEROS)


@pytest.fixture(scope="module")
def nan_step(system):
    return nan_gradients.nan_gradients_step(system)


@pytest.fixture(scope="module")
def study(system):
    return missing_prediction.study_zero_factors(system)


def with_run(runs: FaultRuns, **changed: kit.TrainingHistory) -> FaultRuns:
    assert set(changed) <= set(runs.runs)
    return replace(runs, runs=MappingProxyType({**runs.runs, **changed}))


def verdicts(claims) -> list[bool]:
    return [claim.holds for claim in claims]


def panel_of(step) -> kit.Panel:
    return kit.Panel(step.reports, presets=kit.presets_of(step))


def test_the_table_counts_and_known_runs_are_not_trained_again(system, faulty):
    said = []
    setups = {AS_IT_IS: Setup(), "faulty": Setup((faults.NanGradients(),))}
    runs = run_faults(system, setups, known={"faulty": faulty}, progress=said.append)
    assert said == [AS_IT_IS, "faulty"] and runs.runs["faulty"] is faulty and runs.seed == system.seed
    healthy, stopped = runs.table.loc[AS_IT_IS], runs.table.loc["faulty"]
    assert [healthy[name] for name in ("forward", "loss", "backward", "steps", "NaN replaced")] == [6, 6, 6, 6, 0]
    assert [stopped[name] for name in ("forward", "loss", "backward", "steps")] == [6, 6, 6, 0]
    assert stopped["NaN replaced"] == 6 * sum(p.numel() for p in system.new_model().parameters())
    assert stopped["gradient norm"] == 0 < healthy["gradient norm"]
    assert list(runs.table["shows the symptom?"]) == ["no", "yes"]
    assert healthy["val NMSE, last"] == runs.runs[AS_IT_IS].epoch_records[-1]["val_loss_nmse"]


def test_a_setup_changes_what_it_names_and_nothing_else(system):
    assert Setup().run(system).epoch_records == system.run().epoch_records
    history = Setup(weights={"lam_K": 0.25}, config={"epochs": 1}).run(system)
    assert len(history.train_loss) == 1 and history.epoch_records[0]["lam_K"] == 0.25
    assert history.epoch_records[0]["lam_cov"] == system.weights["lam_cov"]


def test_a_claim_is_judged_by_what_was_measured():
    frame = claims_table([Claim("a", "p", "m", True), Claim("b", "p", "m", False)]).frame
    assert list(frame["verdict on the claim"]) == ["confirmed", "refuted"]
    assert list(frame.columns) == ["claim", "verdict on the claim", "predicted", "measured"]


def test_heads_at_zero_are_undone_bitwise_and_need_heads(system):
    loop = system.new_loop()
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    fault = zero_outputs.HeadsStartAtZero()
    with fault.applied_to(loop):
        prediction = loop.model(system.batch(4).inputs)
        assert all((prediction[key] == 0).all() for key in ("cov_fact_angle", "cov_fact_range", "k_logits"))
        assert any(value.grad_fn is not None for value in prediction.values()), "alive"
    assert all(torch.equal(before[name], value) for name, value in loop.model.state_dict().items())
    bare = kit.training.TrainingLoop(torch.nn.Linear(2, 2), system.new_loss(), system.train, system.config)
    with pytest.raises(ValueError, match="no heads"), fault.applied_to(bare):
        pass


# hypothesis 2


def test_initialisation_refutes_and_the_guarded_run_is_the_passed_one(initialisation_runs, initialisation_step):
    runs = initialisation_runs.runs
    assert runs[loss_initialisation.PASSED].epoch_records == runs[loss_initialisation.SEARCH_ABSENT].epoch_records
    assert verdicts(loss_initialisation.loss_initialisation_claims(initialisation_runs)) == [
        True, False, True, False, True,
    ]  # fmt: skip
    finding = loss_initialisation.loss_initialisation_finding(
        initialisation_runs, initialisation_step, panel_of(initialisation_step), command="x"
    )
    assert finding.verdict == "refuted" and "Neither gives train 0" in finding.answer
    assert "epoch by epoch the same run as" in finding.why and "neither shows" in finding.why


def test_initialisation_confirms_when_a_run_shows_it(initialisation_runs, initialisation_step, faulty):
    shown = with_run(
        initialisation_runs, **{loss_initialisation.NOT_PASSED: faulty, loss_initialisation.PASSED: faulty}
    )
    claims = loss_initialisation.loss_initialisation_claims(shown)
    assert claims[1].verdict == "confirmed"
    finding = loss_initialisation.loss_initialisation_finding(
        shown, initialisation_step, panel_of(initialisation_step), command="x"
    )
    assert finding.verdict == "confirmed" and f"appears under: {loss_initialisation.NOT_PASSED}." in finding.answer
    assert "another run than" in finding.why and "at least one of the two shows" in finding.why


def test_the_line_over_lam_cov_says_its_numbers(initialisation_step):
    seen = initialisation_step.reports[AS_IT_IS]
    shown = loss_initialisation.lam_cov_evidence(seen)
    for x in (0.0, 0.3, 1.0):
        assert f"{whatif.total(seen, {'lam_cov': x}):.4f} at {x:g}" in shown.alt


# hypothesis 3


def test_white_noise_and_samples_a_second_way(system, study):
    """n0 as the error of the identity, and of the sample covariance as a prediction, from the loss itself."""
    loss = system.new_loss()
    for batch, R, expected in (
        (system.batch(), torch.eye(12, dtype=torch.complex64).expand(24, 12, 12), study.white_noise),
        (system.validation, system.validation.R_samp, study.samples),
    ):
        seen = loss.components({"R_pred": R.clone().requires_grad_()}, batch.target, only=("loss_nmse",))
        assert seen["loss_nmse"].item() == pytest.approx(expected, rel=1e-5)


def test_beside_zero_the_gradient_grows_as_one_over_the_scale(study):
    near = study.near.set_index("scale of the factors")
    g, error = near["gradient norm"], near["covariance error"]
    assert g[1e-1] == pytest.approx(10 * g[1.0], rel=1e-3) and g[1e-3] == pytest.approx(1e3 * g[1.0], rel=1e-3)
    assert error[1e-3] == pytest.approx(error[1.0], rel=1e-4), "the trace norm undoes any scale"
    assert g[0.0] == 0 and error[0.0] == pytest.approx(study.white_noise, rel=1e-5)
    assert g.max() > 1e3 and f"at scale 0.001 the gradient norm is {g[1e-3]:.3g}" in (
        missing_prediction.near_zero_evidence(study).alt
    )


def test_missing_blend_refutes_and_calls_zero_factors_a_plateau(missing_runs, missing_step, study):
    claims = missing_prediction.missing_prediction_claims(missing_runs, missing_step, study)
    assert verdicts(claims) == [True, False, False, True, False, True]
    finding = missing_prediction.missing_prediction_finding(
        missing_runs, missing_step, study, panel_of(missing_step), command="x"
    )
    assert finding.verdict == "refuted" and "plateau of one part" in finding.answer


def test_missing_blend_follows_other_runs(missing_runs, missing_step, study, faulty):
    shown = with_run(missing_runs, **{missing_prediction.ABSENT_ZERO: faulty})
    claims = missing_prediction.missing_prediction_claims(shown, missing_step, replace(study, samples=9.0))
    assert claims[2].holds and claims[4].holds, "train 0 and a level validation were measured"
    assert not claims[5].holds, "another number was predicted than measured"
    finding = missing_prediction.missing_prediction_finding(
        shown, missing_step, study, panel_of(missing_step), command="x"
    )
    assert finding.verdict == "confirmed" and "plateau" not in finding.answer
    moving = with_run(missing_runs, **{missing_prediction.ABSENT_ZERO: missing_runs.runs[AS_IT_IS]})
    finding = missing_prediction.missing_prediction_finding(
        moving, missing_step, study, panel_of(missing_step), command="x"
    )
    assert finding.verdict == "refuted" and "plateau of one part" not in finding.answer


# hypothesis 4


def test_the_seven_terms_at_zero_by_hand_are_those_of_the_loss(system, zero_step):
    predicted = zero_outputs.predicted_at_zero(system.batch())
    zero = zero_step.reports[zero_outputs.CASE]
    assert list(predicted) == list(zero.names)
    np.testing.assert_allclose(zero.L, [predicted[name] for name in zero.names], rtol=1e-5, atol=1e-6)
    assert predicted["loss_subspace_align"] == 0 and min(v for v in predicted.values() if v) > 0.2


def test_zero_outputs_refute_and_name_the_second_fault(system, zero_runs, zero_step):
    predicted = zero_outputs.predicted_at_zero(system.batch())
    claims = zero_outputs.zero_outputs_claims(zero_runs, zero_step, predicted)
    assert verdicts(claims) == [False, True, False, False, True]
    finding = zero_outputs.zero_outputs_finding(zero_runs, zero_step, predicted, panel_of(zero_step), command="x")
    assert finding.verdict == "refuted" and "counts the loss on taken steps only" in finding.answer
    zero, now = zero_step.reports[zero_outputs.CASE], zero_step.reports[AS_IT_IS]
    assert ("not larger than" in finding.answer) == (zero.total <= now.total)
    alive = zero_runs.runs[zero_outputs.ALIVE]
    assert len({record["val_loss_nmse"] for record in alive.epoch_records}) == 1, "the factors stay on the saddle"


def test_zero_outputs_follow_other_runs(system, zero_runs, zero_step, faulty):
    predicted = zero_outputs.predicted_at_zero(system.batch())
    healthy = zero_runs.runs[AS_IT_IS]
    other = with_run(zero_runs, **{zero_outputs.DEAD: faulty, zero_outputs.DEAD_COUNTED: healthy})
    assert verdicts(zero_outputs.zero_outputs_claims(other, zero_step, predicted)) == [True, True, True, False, False]
    finding = zero_outputs.zero_outputs_finding(other, zero_step, predicted, panel_of(zero_step), command="x")
    assert finding.verdict == "confirmed" and f"appears under: {zero_outputs.DEAD}." in finding.answer
    assert "counts the loss on taken steps only" not in finding.answer


# hypothesis 5


def test_nan_gradients_are_half_of_it(nan_runs, nan_step):
    assert verdicts(nan_gradients.nan_gradients_claims(nan_runs)) == [False, True, False, True, True]
    panel = nan_gradients.nan_gradients_panel(nan_step)
    finding = nan_gradients.nan_gradients_finding(nan_runs, nan_step, panel, command="x")
    assert finding.verdict == "partly"
    assert "not a train loss of 0" in finding.answer and "made in what is displayed" in finding.answer
    lowest = min(step["loss"] for step in nan_runs.runs[nan_gradients.RECORDED].step_records)
    assert lowest > 1 and f"{lowest:.4f}" in finding.remains


def test_nan_gradients_follow_other_runs(nan_runs, nan_step, faulty, system):
    panel = nan_gradients.nan_gradients_panel(nan_step)
    alone = with_run(nan_runs, **{nan_gradients.ALL: faulty})
    finding = nan_gradients.nan_gradients_finding(alone, nan_step, panel, command="x")
    assert finding.verdict == "confirmed" and "NaN gradients alone: every gradient NaN." in finding.answer
    healthy = system.run()
    nothing = with_run(nan_runs, **dict.fromkeys(nan_runs.runs, healthy))
    finding = nan_gradients.nan_gradients_finding(nothing, nan_step, panel, command="x")
    assert finding.verdict == "refuted" and "explains neither number" in finding.answer
    assert not any(claim.holds for claim in nan_gradients.nan_gradients_claims(nothing))


def test_the_recorded_combination_is_the_faulty_run(nan_runs, faulty):
    """Second way: the faults put together here, and those of the shipped run, give the same run."""
    assert nan_runs.runs[nan_gradients.RECORDED].epoch_records == faulty.epoch_records
    assert shows_symptom(faulty)
    both = nan_gradients.SETUPS[nan_gradients.RECORDED].faults
    assert [fault.key for fault in both] == kit.load_faulty_run().settings["faults"]


def test_nan_of_one_output_is_named_and_a_zero_weight_takes_it_out(nan_step):
    seen = nan_step.reports[nan_gradients.ONE_CASE]
    assert seen.total == nan_step.reports[AS_IT_IS].total, "the loss keeps its value"
    faulty_terms = [name for name, entries in zip(seen.names, seen.nonfinite.sum(axis=0), strict=True) if entries]
    assert faulty_terms == ["loss_K"]
    shown = nan_gradients.nan_heatmap_evidence(nan_step)
    place = shown.alt.split("not finite: ")[1]
    assert place.startswith("loss_K: trunk") and "heads.k_logits" in place and "heads.cov" not in place
    clean = nan_gradients.nan_heatmap_evidence(
        replace(nan_step, reports={nan_gradients.ONE_CASE: nan_step.reports[AS_IT_IS]})
    )
    assert clean.alt.endswith("not finite: none.")
    panel = nan_gradients.nan_gradients_panel(nan_step)
    assert panel.case == nan_gradients.ONE_CASE
    assert np.isnan(whatif.grad_norm(seen, panel.weights))
    assert whatif.grad_norm(seen, {"lam_K": 0.0}) > 0
