"""Every fault of the report's hypotheses and of the loop: undone bitwise, and what it does to the displayed numbers.

Section "known facts" of the mathematics predicts train value, validation value, gradient norm and steps of each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import warnings

import pytest
import torch

import kit
from kit import faults
from tests.training._runs import small_system

ALL = [
    faults.AllWeightsZero(),
    faults.LamCovZero(),
    faults.TermsCancel(),
    faults.WeightNotPassed(),
    faults.SearchSetsLamCovZero(),
    faults.ScheduleOmitsLamCov(),
    faults.BlendMissing(),
    faults.BlendMissingFactorsZero(),
    faults.FactorHeadsZero(),
    faults.AllOutputsZero(),
    faults.HeadsStartAtZero(),
    faults.NanGradients(),
    faults.NanGradients(prefix="trunk"),
    faults.NanLossReadAsZero(),
    faults.LossCountedOnStepsOnly(),
    faults.LossOutsideLoop(),
    faults.WarmUpAtZero(),
]
BATCHES, STEPS = 3, [3, 3]


@pytest.mark.parametrize(
    "fault", [*ALL, faults.WeightNotPassed(name="lam_K"), faults.WeightNotPassed(name="lam_ortho")], ids=repr
)
def test_the_texts_of_a_fault_are_of_this_one(fault):
    fields = {field.name: getattr(fault, field.name) for field in dataclasses.fields(fault)}
    for text in (fault.title, fault.what):
        assert text and not re.search('[`\u201c\u201d{}<>"]', text), "no template, and nothing quoted"
        assert not set(re.findall(r"\w+", text)) & set(fields), "the field is not named: its value is"
    assert all(str(value) in fault.title and str(value) in fault.what for value in fields.values())
    assert len(fault.title) <= 40 and fault.what.endswith(".") and fault.what.count(". ") <= 1


def test_the_default_that_is_in_force_is_named():
    assert faults.WeightNotPassed().what == "lam_cov is not passed to the constructor: its default 0.3 is in force."
    assert "its default 0.5 is in force" in faults.WeightNotPassed(name="lam_K").what
    assert faults.NanGradients(prefix="trunk").what != faults.NanGradients().what


def test_no_two_faults_have_one_title():
    assert len({fault.title for fault in ALL}) == len(ALL)


def run(*wrong: faults.Fault, **config) -> tuple[kit.training.TrainingHistory, kit.training.TrainingLoop]:
    loop = small_system(**{"structure_schedule": False, **config}).new_loop()
    with faults.all_applied(loop, *wrong), warnings.catch_warnings():
        warnings.simplefilter("ignore", kit.loss.ZeroWeightWarning)
        return loop.run(), loop


def level(values: list[float]) -> bool:
    return len(set(values)) == 1


def symptom(history: kit.training.TrainingHistory) -> bool:
    """Train exactly 0, validation level and not 0."""
    return history.train_loss == [0.0, 0.0] and level(history.val_loss) and history.val_loss[0] != 0


@pytest.fixture(scope="module")
def healthy():
    return run()[0]


@pytest.mark.parametrize("fault", ALL, ids=repr)
@pytest.mark.parametrize("leave", [contextlib.nullcontext, lambda: pytest.raises(KeyboardInterrupt)])
def test_undone_bitwise_by_return_and_by_exception(fault, leave):
    loop = small_system(structure_schedule=False).with_weights(lam_cov=1.0).new_loop()
    parts, weights = dict(vars(loop)), loop.loss.weights
    parameters = {name: value.clone() for name, value in loop.model.state_dict().items()}

    def as_before() -> bool:
        same = all(torch.equal(parameters[name], value) for name, value in loop.model.state_dict().items())
        return same and vars(loop) == parts and loop.loss.weights == weights

    with leave() as stop, fault.applied_to(loop):
        assert not as_before(), "a fault that does nothing"
        if stop is not None:
            raise KeyboardInterrupt
    assert as_before()


def test_a_run_after_all_faults_is_a_healthy_run(healthy):
    loop = small_system(structure_schedule=False).new_loop()
    with faults.all_applied(loop, *ALL):
        pass
    assert loop.run().epoch_records == healthy.epoch_records


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.NanGradients(prefix="decoder"), "no parameter starts with 'decoder'"),
        (faults.WeightNotPassed(name="lam_x"), "no weight 'lam_x'"),
    ],
)
def test_a_fault_that_does_not_apply_says_why(fault, reason):
    loop = small_system().new_loop()
    with pytest.raises(ValueError, match=reason), fault.applied_to(loop):
        pass


def test_a_model_without_factor_heads_cannot_have_zero_ones():
    system = small_system()
    loop = kit.training.TrainingLoop(torch.nn.Linear(2, 2), system.new_loss(), system.train, system.config)
    with pytest.raises(ValueError, match="no heads cov_fact_angle"), faults.FactorHeadsZero().applied_to(loop):
        pass


def test_healthy_counts_four_times_the_same(healthy):
    for name in ("forward_passes", "loss_calls", "backward_calls", "steps_taken"):
        assert healthy.epochs[name].tolist() == STEPS, name


def test_h1_all_weights_zero_reads_zero_in_validation_too():
    history, _ = run(faults.AllWeightsZero())
    assert history.train_loss == history.val_loss == [0.0, 0.0]
    assert history.epochs["grad_norm"].tolist() == [0.0, 0.0]
    assert history.epochs["steps_taken"].tolist() == [0, 0]
    assert not symptom(history)


def test_h1_all_zero_holds_against_the_schedule():
    history, _ = run(faults.AllWeightsZero(), structure_schedule=True)
    assert history.train_loss == [0.0, 0.0]


@pytest.mark.parametrize("fault", [faults.LamCovZero(), faults.SearchSetsLamCovZero()], ids=repr)
def test_h1_and_h2_lam_cov_zero_leaves_six_terms(fault, healthy):
    history, _ = run(fault)
    assert 0 < history.train_loss[0] < healthy.train_loss[0]
    assert history.epochs["lam_cov"].tolist() == [0.0, 0.0]
    assert history.epochs["grad_norm"].min() > 0
    assert history.epochs["steps_taken"].tolist() == STEPS
    assert not level(history.val_loss)


def test_h1_cancelling_terms_need_a_sign_error_and_read_zero_in_validation_too():
    history, _ = run(faults.TermsCancel())
    assert history.train_loss == history.val_loss == [0.0, 0.0]
    assert history.epochs["grad_norm"].tolist() == [0.0, 0.0]
    assert not symptom(history)


def test_h2_the_default_applies_and_the_run_is_healthy():
    loop = small_system(structure_schedule=False).with_weights(lam_cov=1.0).new_loop()
    with faults.WeightNotPassed().applied_to(loop):
        history = loop.run()
    assert history.epochs["lam_cov"].tolist() == [0.3, 0.3]
    assert min(history.train_loss) > 0 and history.epochs["steps_taken"].tolist() == STEPS


def test_the_schedule_leaves_lam_cov_alone():
    history, _ = run(faults.ScheduleOmitsLamCov())
    assert history.epochs["lam_cov"].tolist() == [0.3, 0.3]
    assert history.epochs["lam_subspace_align"].tolist() == [0.02, 0.02]
    assert min(history.train_loss) > 0 and history.epochs["steps_taken"].tolist() == STEPS


def test_h3_a_missing_blend_is_a_healthy_run():
    history, _ = run(faults.BlendMissing())
    assert history.epochs["beta"].tolist() == [0.0, 0.0]
    assert min(history.train_loss) > 0 and history.epochs["steps_taken"].tolist() == STEPS


def test_h3_zero_factors_freeze_their_part_at_noise_and_the_rest_learns():
    history, _ = run(faults.BlendMissingFactorsZero())
    truth = small_system().validation
    n0 = (1 - 12 / torch.linalg.matrix_norm(kit.covariance.shrink(truth.R_true, truth.snr_db)) ** 2).mean().item()
    assert history.epochs["val_loss_nmse"].tolist() == pytest.approx([n0, n0], rel=1e-3)
    assert level(history.epochs["val_loss_nmse"].tolist()), "exactly level: the factors get no gradient"
    assert history.epochs["val_loss_peak_contrast"].tolist() == pytest.approx([math.log(25)] * 2, rel=1e-4)
    assert not level(history.val_loss), "logits and positions learn"
    assert history.train_loss[0] > 1 and history.epochs["steps_taken"].tolist() == STEPS


def test_h3_with_a_blend_zero_factors_show_the_sample_covariance():
    """TN(0) = 0 and the outer trace norm rescales: R_blend is TN(R_samp) whatever beta is; the factors never move."""
    loop = small_system(structure_schedule=False, validate_with_blend=True).new_loop()
    with faults.FactorHeadsZero().applied_to(loop):
        history = loop.run()
        parameters = [p for key in ("cov_fact_angle", "cov_fact_range") for p in loop.model.heads[key].parameters()]
        assert all((p == 0).all() for p in parameters)
    batch = small_system().validation
    R, T = (kit.covariance.effective(batch.R_samp, batch.snr_db), kit.covariance.shrink(batch.R_true, batch.snr_db))
    expected = kit.loss.terms.nmse(R, T).mean().item()
    assert history.epochs["val_loss_nmse"].tolist() == pytest.approx([expected] * 2, rel=1e-4)


def test_h4_zero_outputs_are_a_large_level_loss(healthy):
    history, _ = run(faults.AllOutputsZero())
    assert level(history.val_loss)
    assert history.train_loss[0] > healthy.train_loss[0] > 1
    assert history.epochs["grad_norm"].tolist() == [0.0, 0.0], "multiplied by 0, nothing comes back either"
    assert history.epochs["steps_taken"].tolist() == [0, 0]
    assert not symptom(history)


def test_h5_all_gradients_nan_keep_the_loss_and_stop_every_step(healthy):
    history, _ = run(faults.NanGradients())
    assert level(history.val_loss) and history.val_loss[0] > 1
    assert history.train_loss[0] > 1
    assert history.epochs["steps_taken"].tolist() == [0, 0]
    assert not symptom(history)


def test_h5_partly_nan_gradients_still_learn():
    history, _ = run(faults.NanGradients(prefix="heads.k_logits"))
    assert history.epochs["nan_replaced"].min() > 0
    assert history.epochs["steps_taken"].tolist() == STEPS
    assert not level(history.val_loss)


def test_h5_a_nan_loss_displayed_as_zero_is_the_symptom():
    """The one reading of "NaN becomes 0" that gives both numbers, and it is in the display."""
    history, _ = run(faults.NanLossReadAsZero())
    assert symptom(history)
    assert history.epochs["nan_replaced"].min() > 0


def test_h6_alone_changes_nothing(healthy):
    assert run(faults.LossCountedOnStepsOnly())[0].train_loss == healthy.train_loss


@pytest.mark.parametrize("stopped_by", [faults.NanGradients(), faults.AllOutputsZero()], ids=repr)
def test_h6_with_every_step_skipped_is_the_symptom(stopped_by):
    history, _ = run(faults.LossCountedOnStepsOnly(), stopped_by)
    assert symptom(history)
    assert min(step["loss"] for step in history.step_records) > 1, "a loss was computed in every batch"
    assert history.epochs["loss_calls"].tolist() == STEPS


def test_h7_one_loss_and_one_step_an_epoch_divided_by_all_batches(healthy):
    history, _ = run(faults.LossOutsideLoop())
    assert history.epochs["forward_passes"].tolist() == STEPS
    for name in ("loss_calls", "backward_calls", "steps_taken"):
        assert history.epochs[name].tolist() == [1, 1], name
    last = [step["loss"] for step in history.step_records]
    assert history.train_loss == pytest.approx([loss / BATCHES for loss in last], rel=1e-12)
    assert history.train_loss[0] < 0.5 * healthy.train_loss[0], "too small by the number of batches"


def test_h7_on_a_slow_average_validation_hardly_moves():
    history, _ = run(faults.LossOutsideLoop(), ema_decay=0.999)
    first, second = history.val_loss
    assert 0 < abs(first - second) < 2e-3 * first


def test_faults_compose_in_any_order():
    pair = (faults.LossCountedOnStepsOnly(), faults.NanGradients())
    assert run(*pair)[0].epoch_records == run(*reversed(pair))[0].epoch_records
