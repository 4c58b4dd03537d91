"""The overfit protocol, 30 epochs and covariance only: its 512 scenes on a small array, and fewer scenes on the real one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import kit
from kit.loss import COVARIANCE_ONLY
from tests.training._runs import small_system


# 240 steps each. Both at once, as `python -m kit investigate` has them, take ten times as long
@pytest.fixture(scope="module", params=[(512, kit.PlanarArray(4, 3)), (32, kit.PlanarArray())], ids=["scenes", "array"])
def protocol(request) -> kit.training.OverfitResult:
    samples, array = request.param
    whole = kit.training.System.generate(seed=0, samples=samples, validation_samples=1, array=array)
    system = replace(whole, weights=COVARIANCE_ONLY)
    return kit.overfit_test(system.new_model(), system.new_loss(), system.train, batch_size=samples // 8)


def test_the_protocol_passes(protocol):
    history = protocol.history
    assert protocol.passed, protocol.table
    assert 0.5 <= history.train_loss[0] <= 2.0
    assert history.train_loss[-1] < 0.5
    assert history.val_loss[-1] < history.val_loss[0]
    assert history.epochs["steps_taken"].tolist() == [8] * 30


def test_the_train_loss_is_the_covariance_error_alone(protocol):
    assert protocol.history.val_loss == pytest.approx(protocol.history.epochs["val_loss_nmse"].tolist(), rel=1e-6)


def test_with_all_seven_weights_training_does_not_start_in_the_reports_range():
    """0.5 to 2.0 is the start of the covariance term alone; the position term by itself is above 2."""
    system = kit.datasets.reference_system()
    with torch.no_grad():
        total = system.new_loss()(system.new_model()(system.train.inputs), system.train.target).item()
    assert 3.0 < total < 5.0


def test_a_network_that_takes_no_step_fails_the_protocol():
    from kit.faults import NanGradients
    from kit.training import TrainingLoop
    from kit.training.overfit import _checks

    system = replace(small_system(structure_schedule=False, blend=0.0), weights=COVARIANCE_ONLY)
    loop = TrainingLoop(system.new_model(), system.new_loss(), system.train, system.config)
    with NanGradients().applied_to(loop):
        checks = _checks(loop.run())
    assert not checks["steps taken"][2]
    assert not checks["drop"][2]
    assert not checks["validation falls"][2]
