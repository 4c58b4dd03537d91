"""The overfit protocol on the real system: 512 scenes, 30 epochs, covariance only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import kit
from kit.loss import COVARIANCE_ONLY
from tests.training._runs import small_system


@pytest.fixture(scope="module")
def protocol() -> kit.training.OverfitResult:
    system = replace(kit.training.System.generate(seed=0, samples=512, validation_samples=1), weights=COVARIANCE_ONLY)
    return kit.overfit_test(system.new_model(), system.new_loss(), system.train)


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
