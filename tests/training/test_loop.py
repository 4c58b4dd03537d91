"""The loop: order of the hygiene, the gate, honest bookkeeping, schedules at work."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

import kit
from kit.faults import LossCountedOnStepsOnly, NanGradients, all_applied
from kit.training import NoStepTakenError, RunningLoss, gradient_norm, replace_nan_gradients, step_allowed
from kit.training.schedule import lr_multiplier
from tests.training._runs import small_system


def test_a_healthy_run_steps_in_every_batch_and_moves_the_weights():
    loop = small_system().new_loop()
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    history = loop.run()
    assert [record["steps_taken"] for record in history.epoch_records] == [3, 3]
    assert all(not torch.equal(before[name], value) for name, value in loop.model.state_dict().items())
    assert history.val_loss[1] < history.val_loss[0]


def test_the_displayed_train_loss_is_the_mean_of_all_batches():
    history = small_system().run()
    for record in history.epoch_records:
        losses = [step["loss"] for step in history.step_records if step["epoch"] == record["epoch"]]
        assert record["train_loss"] == pytest.approx(statistics.fmean(losses), rel=1e-12)


def test_the_running_loss_counts_batches_that_did_not_step():
    running = RunningLoss()
    running.add(3.0, stepped=True)
    running.add(5.0, stepped=False)
    assert running.mean == 4.0
    assert math.isnan(RunningLoss().mean), "no batch is not a zero loss"


def test_validation_is_the_loss_of_the_validation_scenes():
    system = small_system(epochs=1, blend=0.0, structure_schedule=False)
    loop = system.new_loop()
    history = loop.run()
    loop.model.eval()
    with torch.no_grad():
        expected = system.new_loss().eval()(loop.model(system.validation.inputs), system.validation.target)
    assert history.val_loss[0] == pytest.approx(expected.item(), rel=1e-5)


def test_the_same_seed_gives_the_same_run_and_leaves_the_global_stream_alone():
    state = torch.random.get_rng_state()
    first, second = small_system().run(), small_system().run()
    assert first.epoch_records == second.epoch_records
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_epoch_without_a_step_is_an_error_that_keeps_the_history():
    loop = small_system(require_steps=True).new_loop()
    with (
        NanGradients().applied_to(loop),
        pytest.raises(NoStepTakenError, match="Found 0 steps in the 3 batches") as caught,
    ):
        loop.run()
    assert caught.value.history.epoch_records[0]["steps_skipped"] == 3
    assert caught.value.history.train_loss[0] > 0, "the loss was computed, it is not a zero"


def test_nan_gradients_stop_the_learning_but_not_the_loss():
    """Hypothesis 5: sanitising acts on gradients. Train is finite and above 0; validation is exactly level."""
    loop = small_system(structure_schedule=False).new_loop()
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    with NanGradients().applied_to(loop):
        history = loop.run()
    assert all(value > 0 for value in history.train_loss)
    assert len(set(history.val_loss)) == 1
    assert history.epochs["nan_replaced"].min() > 0
    assert all(torch.equal(before[name], value) for name, value in loop.model.state_dict().items())


def test_partly_nan_gradients_still_step():
    loop = small_system().new_loop()
    with NanGradients(prefix="heads.k_logits").applied_to(loop):
        history = loop.run()
    assert history.epochs["steps_taken"].tolist() == [3, 3]
    assert history.epochs["grad_norm"].min() > 0


def test_counting_the_loss_on_steps_only_alone_changes_nothing():
    loop, healthy = small_system().new_loop(), small_system().run()
    with LossCountedOnStepsOnly().applied_to(loop):
        assert loop.run().train_loss == healthy.train_loss


def test_both_together_show_the_symptom():
    loop = small_system(structure_schedule=False).new_loop()
    with all_applied(loop, NanGradients(), LossCountedOnStepsOnly()):
        history = loop.run()
    assert history.train_loss == [0.0, 0.0]
    assert len(set(history.val_loss)) == 1 and history.val_loss[0] > 0
    assert min(step["loss"] for step in history.step_records) > 0, "every batch computed a loss; only the display is 0"


def test_all_zero_weights_read_zero_twice():
    """Hypothesis 1, strongest reading: train is exactly 0, and so is validation."""
    system = small_system(structure_schedule=False).with_weights(**kit.loss.ALL_ZERO)
    with pytest.warns(kit.loss.ZeroWeightWarning):
        history = system.run()
    assert history.train_loss == history.val_loss == [0.0, 0.0]
    assert history.epochs["steps_taken"].sum() == 0, "an exactly zero gradient does not pass the gate"


def test_lam_cov_zero_reads_above_zero_and_learns():
    with pytest.warns(kit.loss.ZeroWeightWarning, match="lam_cov is 0"):
        history = small_system().with_weights(lam_cov=0.0).run()
    assert history.train_loss[0] > history.train_loss[1] > 0
    assert history.val_loss[0] != history.val_loss[1]
    assert history.epochs["steps_taken"].tolist() == [3, 3]


def test_the_structure_schedule_sets_two_weights_and_no_other():
    history = small_system(epochs=5).run()
    assert history.epochs["lam_subspace_align"].tolist() == [0.02, 0.02, 0.02, 0.05, 0.07]
    assert history.epochs["lam_peak_contrast"].tolist() == [0.05, 0.05, 0.05, 0.10, 0.12]
    assert history.epochs["lam_cov"].unique().tolist() == [0.3]


def test_search_weights_are_applied_and_an_absent_lam_cov_means_one():
    history = small_system(epochs=1, search_weights={"lam_K": 0.2}).run()
    assert history.epochs.loc[1, "lam_K"] == 0.2
    assert history.epochs.loc[1, "lam_cov"] == 1.0


def test_the_stage_mix_runs_through_its_thirds():
    history = small_system(epochs=3, stage_mix=True).run()
    assert history.epochs["lam_cov"].tolist() == pytest.approx([0.25, 0.25, 0.7])


def test_the_average_is_what_is_validated():
    """A decay of 0.999 and three steps: the average has moved by three thousandths of the way."""
    fast, slow = (small_system(epochs=1, structure_schedule=False, ema_decay=decay) for decay in (None, 0.999))
    start = fast.new_loop().validate(0)["val_loss"]
    fast_run, slow_run = fast.run(), slow.run()
    assert slow_run.train_loss == fast_run.train_loss
    assert 0 < abs(slow_run.val_loss[0] - start) < 0.02 * abs(fast_run.val_loss[0] - start)


def test_the_gate():
    assert step_allowed(1.0)
    assert not step_allowed(0.0)
    assert not step_allowed(1e-12)
    assert not step_allowed(math.nan)
    assert not step_allowed(math.inf)
    assert not step_allowed(1.0, overflow=True)


def test_only_nan_is_replaced_and_infinity_is_left_to_the_gate():
    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = torch.tensor([math.nan, 2.0, math.inf, math.nan])
    assert replace_nan_gradients([parameter, torch.nn.Parameter(torch.zeros(2))]) == 2
    assert parameter.grad.tolist() == [0.0, 2.0, math.inf, 0.0]
    assert not step_allowed(gradient_norm([parameter]))


def test_the_norm_is_that_of_all_gradients_together():
    parameters = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))]
    for parameter, value in zip(parameters, (2.0, 1.0), strict=True):
        parameter.grad = torch.full_like(parameter, value)
    assert gradient_norm(parameters) == pytest.approx(math.sqrt(3 * 4 + 2 * 1))
    assert gradient_norm([torch.nn.Parameter(torch.zeros(2))]) == 0.0


def test_the_blend_of_predict_scales_the_gradient_as_the_formula_says():
    """At beta > 0 the loss sees R_blend, which still depends on the factors."""
    system = small_system()
    prediction = kit.training.predict(system.new_model(), system.batch(4), beta=0.3)
    assert prediction["R_blend"].requires_grad
    trace = prediction["R_blend"].diagonal(dim1=-2, dim2=-1).real.sum(-1)
    assert torch.allclose(trace, torch.full_like(trace, 12.0), rtol=1e-5)
    assert "R_blend" not in kit.training.predict(system.new_model(), system.batch(4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", True),
        ("clip_norm", math.inf),
        ("batch_size", 1.5),
        ("lr", -1.0),
        ("clip_norm", 0.0),
        ("ema_decay", 1.0),
        ("blend", 1.0),
        ("weight_decay", math.nan),
    ],
)
def test_wrong_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} should be .* Found {name} = "):
        kit.training.TrainingConfig(**{name: value})


def test_a_frozen_model_is_refused():
    system = small_system()
    model = system.new_model().requires_grad_(False)
    with pytest.raises(ValueError, match="trainable parameters"):
        kit.train(model, system.new_loss(), system.train)


def test_the_learning_rate_follows_its_schedule_step_by_step():
    history = small_system(epochs=3).run()
    expected = [3e-4 * lr_multiplier(step, 9) for step in range(9)]
    assert history.steps["lr"].tolist() == pytest.approx(expected, rel=1e-12)


def test_the_schedule_waits_for_taken_steps():
    loop = small_system().new_loop()
    with NanGradients().applied_to(loop):
        assert loop.run().steps["lr"].unique().tolist() == [3e-4]


def test_the_optimiser_sees_clipped_gradients():
    loop = small_system(clip_norm=0.01).new_loop()
    batch = small_system().train[:8]
    step = loop.update(loop.forward(batch, 0.0), batch)
    assert step["grad_norm"] > 0.01, "the record holds the norm before clipping"
    assert gradient_norm(loop.model.parameters()) == pytest.approx(0.01, rel=1e-4)


def test_the_optimiser_is_as_configured():
    groups = small_system(lr=1e-3, weight_decay=0.5).new_loop().optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.5]
    assert [group["initial_lr"] for group in groups] == [1e-3, 4e-3], "heads learn four times as fast"


def test_validation_passes_the_blend_only_when_asked():
    without, with_blend = (small_system(epochs=1, validate_with_blend=asked).run() for asked in (False, True))
    assert without.train_loss == with_blend.train_loss
    assert without.epochs["val_loss_nmse"].tolist() == without.epochs["val_loss_nmse_pred"].tolist()
    assert with_blend.epochs["val_loss_nmse"].tolist() != with_blend.epochs["val_loss_nmse_pred"].tolist()


def test_the_defaults_are_the_reports_trainer():
    config = kit.training.TrainingConfig()
    assert (config.lr, config.weight_decay, config.clip_norm, config.ema_decay) == (3e-4, 1e-4, 1.0, 0.999)
    assert (config.blend, config.blend_jitter, config.batch_size) == (0.30, 0.05, 64)
    assert (
        config.structure_schedule and config.require_steps and not config.stage_mix and not config.validate_with_blend
    )


def test_validation_leaves_the_modes_as_they_were():
    loop = small_system(epochs=1).new_loop()
    loop.run()
    assert loop.model.training and loop.loss.training
    batch = small_system().train[:4]
    with pytest.raises(ValueError, match="R_blend should require grad"):
        loop.loss({**loop.model(batch.inputs), "R_blend": batch.R_samp}, batch.target)


def test_a_nan_loss_is_named_in_the_error():
    loop = small_system(require_steps=True).new_loop()
    loop.predict = lambda model, batch, beta=0.0, **_: {k: v * math.nan for k, v in model(batch.inputs).items()}
    with pytest.raises(NoStepTakenError, match="train loss nan"):
        loop.run()


@pytest.mark.parametrize("data", [None, (1, 2)])
def test_what_is_not_a_batch_is_refused(data):
    system = small_system()
    with pytest.raises(ValueError, match="data should be a Batch"):
        kit.train(system.new_model(), system.new_loss(), data)
