"""Is every wrong input refused in one sentence that names the key, what was found and what should be there?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.loss import UltimateHybridLoss
from tests.golden_data import GRAD_KEYS, LAMBDAS, TERMS
from tests.reference.loss import Setup, random_prediction, random_target
from tests.reference.scenes import Geometry

B, N, K_MAX = 3, 12, 3
SETUP = Setup(Geometry(4, 3), k_max=K_MAX)
READS = {
    "cov_fact_angle": TERMS[:3],
    "cov_fact_range": TERMS[:1],
    "k_logits": ("loss_K",),
    "phi_theta_r": ("aux_l2",),
}


def make(**options: float) -> UltimateHybridLoss:
    return UltimateHybridLoss(array=PlanarArray(4, 3), k_max=K_MAX, **options)


def scene() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(40)
    return random_prediction(B, generator, SETUP), random_target(B, generator, SETUP)


def assert_refused(call: Callable[[], object], *needles: str) -> None:
    """ValueError, one sentence form: '<name> should be <rule>. Found <what>.'"""
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert " should " in message and "Found" in message, message
    for needle in needles:
        assert needle in message, f"{needle!r} is not named in: {message}"


def refuse(prediction: dict[str, Tensor], target: dict[str, Tensor], *needles: str, weights: float = 0.5) -> None:
    """Both doors: components and forward."""
    loss = make(**dict.fromkeys(LAMBDAS, weights))
    assert_refused(lambda: loss.components(prediction, target), *needles)
    assert_refused(lambda: loss(prediction, target), *needles)


def test_the_scene_itself_is_accepted() -> None:
    prediction, target = scene()
    assert all(math.isfinite(value.item()) for value in make().components(prediction, target).values())


@pytest.mark.parametrize("key", READS)
def test_missing_prediction(key: str) -> None:
    """The message lists the keys that are there."""
    prediction, target = scene()
    del prediction[key]
    refuse(prediction, target, key, *prediction)


@pytest.mark.parametrize("key", ["R_true", "ptr", "K"])
def test_missing_label(key: str) -> None:
    prediction, target = scene()
    del target[key]
    refuse(prediction, target, key, *target)


def test_snr_is_optional() -> None:
    prediction, target = scene()
    del target["snr_db"]
    assert math.isfinite(make()(prediction, target).item())


@pytest.mark.parametrize("key", READS)
@pytest.mark.parametrize("change", ["one short", "one long", "flat", "batch"])
def test_wrong_shape_of_a_prediction(key: str, change: str) -> None:
    prediction, target = scene()
    value = prediction[key].detach()
    wrong = {
        "one short": value[:, :-1],
        "one long": torch.cat([value, value[:, :1]], dim=1),
        "flat": value.reshape(-1),
        "batch": value[:2],
    }[change]
    refuse({**prediction, key: wrong.requires_grad_()}, target, key, str(wrong.shape[-1]))


@pytest.mark.parametrize("key", ["R_pred", "R_blend"])
@pytest.mark.parametrize("shape", [(B, N, N - 1), (B, N + 1, N + 1), (N, N), (B - 1, N, N), (B, N, N, 2)])
def test_wrong_shape_of_a_matrix_prediction(key: str, shape: tuple[int, ...]) -> None:
    prediction, target = scene()
    refuse({**prediction, key: torch.ones(shape, dtype=torch.complex128, requires_grad=True)}, target, key)


@pytest.mark.parametrize("key", ["R_pred", "R_blend"])
def test_a_real_matrix_prediction_is_refused(key: str) -> None:
    prediction, target = scene()
    refuse(
        {**prediction, key: torch.eye(N, dtype=torch.float64).repeat(B, 1, 1).requires_grad_()}, target, key, "complex"
    )


@pytest.mark.parametrize("shape", [(B, N, N - 1), (B, N + 1, N + 1), (N, N), (B + 1, N, N), (B, N, N, 2)])
def test_wrong_shape_of_R_true(shape: tuple[int, ...]) -> None:
    """A complex [B, N, N, 2] is wrong as well: (re, im) pairs are real."""
    prediction, target = scene()
    refuse(prediction, {**target, "R_true": torch.ones(shape, dtype=torch.complex128)}, "R_true")


@pytest.mark.parametrize("shape", [(B, N, N), (B, N, N, 3), (B, N, N, 1), (B, 2, N, N)])
def test_wrong_shape_of_a_real_R_true(shape: tuple[int, ...]) -> None:
    prediction, target = scene()
    refuse(prediction, {**target, "R_true": torch.ones(shape, dtype=torch.float64)}, "R_true")


@pytest.mark.parametrize("shape", [(B, 3 * K_MAX - 1), (B, K_MAX, 3), (3 * K_MAX,), (B + 1, 3 * K_MAX), (B, 15)])
def test_wrong_shape_of_ptr(shape: tuple[int, ...]) -> None:
    prediction, target = scene()
    refuse(prediction, {**target, "ptr": torch.ones(shape, dtype=torch.float64)}, "ptr")


@pytest.mark.parametrize("key", ["K", "snr_db"])
@pytest.mark.parametrize("change", ["longer", "matrix", "scalar"])
def test_wrong_shape_of_per_sample_labels(key: str, change: str) -> None:
    prediction, target = scene()
    value = target[key]
    wrong = {"longer": torch.cat([value, value[:1]]), "matrix": value[:, None], "scalar": value[0]}[change]
    with pytest.raises(ValueError) as caught:
        make()(prediction, {**target, key: wrong})
    if key == "snr_db":
        assert key in str(caught.value)


@pytest.mark.parametrize("K", [0, -1, K_MAX + 1, 100])
def test_source_count_out_of_range(K: int) -> None:
    prediction, target = scene()
    counts = target["K"].clone()
    counts[1] = K
    refuse(prediction, {**target, "K": counts}, "K should", str(K), str(K_MAX))


def test_source_count_as_a_float_is_refused() -> None:
    prediction, target = scene()
    refuse(prediction, {**target, "K": target["K"].double()}, "K should")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["R_true", "ptr", "snr_db"])
def test_non_finite_labels(key: str, value: float) -> None:
    """One entry is enough; labels are refused, never repaired."""
    prediction, target = scene()
    broken = target[key].clone()
    broken.reshape(-1)[-1] = value
    refuse(prediction, {**target, key: broken}, key, "finite")


@pytest.mark.parametrize("part", [0, 1])
def test_non_finite_real_or_imaginary_part_of_a_real_R_true(part: int) -> None:
    prediction, target = scene()
    pairs = torch.view_as_real(target["R_true"]).clone()
    pairs[0, 1, 2, part] = math.nan
    refuse(prediction, {**target, "R_true": pairs}, "R_true", "finite")


def test_labels_are_checked_even_when_every_weight_is_zero() -> None:
    prediction, target = scene()
    loss = make(**dict.fromkeys(LAMBDAS, 0.0))
    with pytest.warns(UserWarning):
        assert loss(prediction, target).item() == 0
    assert_refused(lambda: loss(prediction, {**target, "ptr": target["ptr"] * math.nan}), "ptr")


def test_R_blend_without_gradient_is_refused_in_training() -> None:
    """Trained on a detached blend the main term would teach the network nothing; in evaluation it is a legal
    measurement.
    """
    prediction, target = scene()
    R_blend = torch.eye(N, dtype=torch.complex128).repeat(B, 1, 1)
    loss = make().train()
    for door in (loss, loss.components):
        assert_refused(lambda door=door: door({**prediction, "R_blend": R_blend}, target), "R_blend", "grad")
        assert door({**prediction, "R_blend": R_blend.clone().requires_grad_()}, target) is not None
    loss.eval()
    assert math.isfinite(loss({**prediction, "R_blend": R_blend}, target).item())


def test_R_blend_without_gradient_is_fine_where_nothing_can_learn() -> None:
    prediction, target = scene()
    R_blend = torch.eye(N, dtype=torch.complex128).repeat(B, 1, 1)
    with torch.no_grad():
        assert math.isfinite(make().train()({**prediction, "R_blend": R_blend}, target).item())


@pytest.mark.parametrize("name", LAMBDAS)
@pytest.mark.parametrize("value", [-1e-12, -1.0, math.nan, math.inf, -math.inf])
def test_negative_and_non_finite_weights(name: str, value: float) -> None:
    """At construction and at assignment; a refused assignment changes nothing."""
    assert_refused(lambda: make(**{name: value}), name, repr(value))
    loss = make()
    before = loss.weights
    assert_refused(lambda: setattr(loss, name, value), name, repr(value))
    assert loss.weights == before


@pytest.mark.parametrize("name", LAMBDAS)
@pytest.mark.parametrize("value", ["0.3", None, [0.3], {"lam": 0.3}, 1j])
def test_weights_that_are_not_numbers(name: str, value: object) -> None:
    for act in (lambda: make(**{name: value}), lambda: setattr(make(), name, value)):
        with pytest.raises((TypeError, ValueError), match=f"{name} should .*Found"):
            act()


@pytest.mark.parametrize("value", [0, 1, 0.0, 0.25, np.float64(0.25), np.float32(0.25)])
def test_zero_and_every_real_number_type_are_legal(value: float) -> None:
    loss = make(lam_K=value)
    assert loss.lam_K == value and loss.weights["lam_K"] == value
    loss.lam_aux = value
    assert loss.weights["lam_aux"] == value


def test_a_misspelled_weight_is_refused_at_construction() -> None:
    with pytest.raises(TypeError, match="lam_covv"):
        make(lam_covv=0.3)


@pytest.mark.parametrize(
    ("name", "value"), [("load", -1e-3), ("load", math.nan), ("rho", -0.1), ("alpha0", math.nan), ("range_floor", 0.0)]
)
def test_constants_out_of_range(name: str, value: float) -> None:
    assert_refused(lambda: make(**{name: value}), name, repr(value))


def test_k_max_should_be_a_count() -> None:
    assert_refused(lambda: UltimateHybridLoss(k_max=0), "k_max", "0")


def test_a_missing_prediction_that_no_active_term_reads_is_no_error() -> None:
    """Covariance only: logits and positions may be absent."""
    prediction, target = scene()
    loss = make(**dict.fromkeys(LAMBDAS, 0.0) | {"lam_cov": 1.0})
    lean = {key: prediction[key] for key in GRAD_KEYS[:2]}
    assert loss(lean, target).item() == loss(prediction, target).item()


def test_without_factors_the_second_nmse_is_zero() -> None:
    """Only an R_blend is there: loss_nmse is measured on it, loss_nmse_pred has nothing to measure."""
    _, target = scene()
    R_blend = torch.eye(N, dtype=torch.complex128).repeat(B, 1, 1).requires_grad_()
    off = dict.fromkeys(LAMBDAS, 0.0)
    alone = make(**off | {"lam_cov": 1.0})({"R_blend": R_blend}, target)
    both = make(**off | {"lam_cov": 1.0, "lam_cov_pred": 1.0})({"R_blend": R_blend}, target)
    assert both.item() == alone.item() > 0


def test_a_misspelt_weight_is_refused() -> None:
    """A weight that is accepted and never used is how such reports begin."""
    with pytest.raises(ValueError, match="Found lam_subspace: it would do nothing"):
        UltimateHybridLoss().lam_subspace = 0.1


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.bfloat16])
def test_labels_of_another_kind_are_refused_by_name(dtype: torch.dtype) -> None:
    prediction, target = scene()
    target["R_true"] = torch.view_as_real(target["R_true"]).to(dtype)
    with pytest.raises(ValueError, match="R_true should be float32 or float64. Found dtype"):
        make()(prediction, target)


def test_double_labels_are_taken_by_a_single_precision_network() -> None:
    prediction, target = scene()
    single = {key: value.detach().float().requires_grad_() for key, value in prediction.items()}
    wide, narrow = make().components(prediction, target), make().components(single, target)
    for term, value in narrow.items():
        assert value.dtype == torch.float32, term
        assert value.item() == pytest.approx(wide[term].item(), rel=1e-3, abs=1e-5), term
