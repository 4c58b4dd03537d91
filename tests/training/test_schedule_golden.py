"""Do the schedules and the search rules give the recorded numbers, and touch only what they should?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kit.loss import UltimateHybridLoss
from kit.training.schedule import (
    apply_hpo_loss_weights,
    blend_beta,
    lr_multiplier,
    mix_stage,
    phase_weights,
    structure_weights,
    update_structure_loss_weights,
)
from tests.golden_data import LAMBDAS, golden, setting

STRUCTURE = ("lam_subspace_align", "lam_peak_contrast")
MIX = golden()["sched/phase_weights_cov_K_aux_cross_gap_ortho_peak_margin"]
MIX_ROWS = [(0, 0), (1, 10), (2, 20), (2, 29)]  # (stage, epoch) of 30 epochs
SEARCH = {"lam_cov": 0.2, "lam_ang": 0.8, "lam_rng": 0.5, "lam_K": 0.15}


def trainer() -> UltimateHybridLoss:
    return UltimateHybridLoss(**setting("trainer"))


# structure weights


@pytest.mark.parametrize("epochs", [2, 3, 5, 10, 24, 30, 60])
def test_golden_structure_weights(epochs: int) -> None:
    found = [structure_weights(epoch, epochs) for epoch in range(epochs)]
    np.testing.assert_allclose(found, golden()[f"sched/structure_E{epochs}"], rtol=1e-12)


def test_short_runs() -> None:
    """E <= 3: only warm-up; E = 4: straight to final; E = 5: one main epoch."""
    warm, main, final = (0.02, 0.05), (0.05, 0.10), (0.07, 0.12)
    assert [structure_weights(e, 1) for e in range(1)] == [warm]
    assert [structure_weights(e, 3) for e in range(3)] == [warm] * 3
    assert [structure_weights(e, 4) for e in range(4)] == [warm] * 3 + [final]
    assert [structure_weights(e, 5) for e in range(5)] == [warm] * 3 + [main, final]


@pytest.mark.parametrize("lam_cov", [0.0, 0.3, 1.0])
def test_the_structure_schedule_touches_its_two_weights_only(lam_cov: float) -> None:
    """Never lam_cov, also when it is 0."""
    loss = UltimateHybridLoss(**setting("trainer") | {"lam_cov": lam_cov})
    before = loss.weights
    for epoch in range(10):
        update_structure_loss_weights(loss, epoch, 10)
        after = loss.weights
        assert tuple(after[name] for name in STRUCTURE) == structure_weights(epoch, 10)
        assert {k: v for k, v in after.items() if k not in STRUCTURE} == {
            k: v for k, v in before.items() if k not in STRUCTURE
        }


# three-stage mix


@pytest.mark.parametrize("row", range(8))
def test_golden_three_stage_mix(row: int) -> None:
    stage, epoch = MIX_ROWS[row % 4]
    assert mix_stage(epoch, 30) == stage, "thirds of the run"
    found = phase_weights(stage, search=SEARCH if row >= 4 else None)
    assert set(found) == {"lam_cov", "lam_K", "lam_aux"}
    np.testing.assert_allclose([found["lam_cov"], found["lam_K"], found["lam_aux"]], MIX[row, :3], rtol=1e-6)


def test_the_mix_leaves_ortho_at_its_base() -> None:
    """The archive's ortho column is the class default throughout, so the mix need not return it."""
    assert (MIX[:, 5] == UltimateHybridLoss().lam_ortho).all()


# blend


@pytest.mark.parametrize(("epochs", "ramp"), [(1, 2), (5, 2), (10, 2), (14, 2), (15, 3), (30, 6), (60, 12)])
def test_blend_ramp(epochs: int, ramp: int) -> None:
    """W = max(2, floor(0.2 E)); beta = 0.3 (e + 1) / W: the first epoch has 0.3 / W, not 0, the W-th 0.3."""
    for epoch in range(min(ramp, epochs)):
        assert blend_beta(epoch, epochs) == pytest.approx(0.3 * (epoch + 1) / ramp)
    assert blend_beta(ramp - 1, epochs) == pytest.approx(0.3)


def test_blend_after_the_ramp_stays_near_its_final_value() -> None:
    for epoch in range(6, 30):
        assert abs(blend_beta(epoch, 30) - 0.3) <= 0.05


@pytest.mark.parametrize("jitter", [0.02, 0.05])
def test_blend_jitter_is_uniform_and_reproducible(jitter: float) -> None:
    def draws(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.tensor([blend_beta(20, 30, jitter=jitter, generator=generator) for _ in range(2000)]).double()

    one = draws(70)
    assert torch.equal(one, draws(70))
    assert (one - 0.3).abs().max() <= jitter
    u = ((one - 0.3) / jitter).sort().values
    assert (u - torch.linspace(-1, 1, 2000)).abs().max() < 2 * 2 / math.sqrt(2000)


def test_blend_jitter_starts_after_the_ramp_and_is_clamped() -> None:
    generator = torch.Generator().manual_seed(71)
    assert blend_beta(2, 30, jitter=0.05, generator=generator) == pytest.approx(0.15)
    wild = [blend_beta(20, 30, jitter=5.0, generator=generator) for _ in range(200)]
    assert min(wild) == 0 and max(wild) == 0.95


# search weights


def test_search_weights_replace_add_up_and_reset() -> None:
    loss = trainer()
    loss.lam_ortho = 0.5
    apply_hpo_loss_weights(loss, SEARCH)
    expected = setting("trainer") | {"lam_cov": 0.2, "lam_aux": 0.8 + 0.5, "lam_K": 0.15, "lam_ortho": 1e-3}
    assert loss.weights == pytest.approx(expected)


def test_absent_keys_leave_what_is_there_but_lam_cov_becomes_one() -> None:
    loss = UltimateHybridLoss(lam_cov=0.3, lam_K=0.7, lam_aux=0.9)
    apply_hpo_loss_weights(loss, {})
    assert (loss.lam_cov, loss.lam_K, loss.lam_aux, loss.lam_ortho) == (1.0, 0.7, 0.9, 1e-3)
    apply_hpo_loss_weights(loss, {"lam_K": 0.1})
    assert (loss.lam_cov, loss.lam_K, loss.lam_aux) == (1.0, 0.1, 0.9)


def test_a_search_lam_cov_of_zero_is_applied_not_taken_for_absent() -> None:
    loss = trainer()
    apply_hpo_loss_weights(loss, {"lam_cov": 0.0})
    assert loss.lam_cov == 0


def test_search_alpha0_reaches_the_shrinkage() -> None:
    loss = trainer()
    apply_hpo_loss_weights(loss, {"alpha0": 0.15})
    assert loss.alpha0 == 0.15


@pytest.mark.parametrize(
    ("weights", "culprit"),
    [
        ({"lam_ang": 0.8}, "lam_ang"),
        ({"lam_rng": 0.5}, "lam_rng"),
        ({"lam_gap": 0.1}, "lam_gap"),
        ({"cov": 0.1}, "cov"),
    ],
)
def test_a_key_that_would_not_be_applied_is_an_error(weights: dict[str, float], culprit: str) -> None:
    loss = trainer()
    before = loss.weights
    with pytest.raises(ValueError, match=culprit):
        apply_hpo_loss_weights(loss, weights)
    assert loss.weights == before


@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_impossible_search_values_are_refused_and_change_nothing(value: float) -> None:
    loss = trainer()
    before = loss.weights
    with pytest.raises(ValueError, match="lam_K"):
        apply_hpo_loss_weights(loss, {"lam_cov": 0.2, "lam_K": value})
    assert loss.weights == before


def test_the_structure_schedule_runs_after_the_search_weights_and_wins() -> None:
    loss = trainer()
    apply_hpo_loss_weights(loss, SEARCH)
    update_structure_loss_weights(loss, 0, 30)
    assert (loss.lam_subspace_align, loss.lam_peak_contrast) == (0.02, 0.05)
    assert loss.lam_cov == 0.2
    assert set(loss.weights) == set(LAMBDAS)


# learning rate


@pytest.mark.parametrize(("steps", "warm"), [(1, 0), (49, 0), (50, 1), (240, 4), (500, 10), (5000, 10)])
def test_learning_rate_multiplier(steps: int, warm: int) -> None:
    """max(0.5, i / w) for i < w = min(10, floor(S / 50)), then half a cosine from 1 towards 0."""
    found = [lr_multiplier(i, steps) for i in range(steps)]
    for i, value in enumerate(found):
        if i < warm:
            assert value == pytest.approx(max(0.5, i / warm))
        else:
            assert value == pytest.approx(0.5 * (1 + math.cos(math.pi * (i - warm) / (steps - warm))))
    assert found[warm] == 1
    assert all(a >= b for a, b in zip(found[warm:], found[warm + 1 :], strict=False))
    assert 0 < found[-1] <= 1
