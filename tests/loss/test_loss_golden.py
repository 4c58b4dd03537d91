"""Does UltimateHybridLoss give the recorded numbers: values, gradient norms, full gradients, totals?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kit.covariance import blend, effective, shrink, trace_norm
from kit.loss import UltimateHybridLoss
from kit.loss.terms import huber, nmse, wrap
from tests.golden_data import (
    BETA,
    GRAD_ATOL,
    GRAD_KEYS,
    LAMBDAS,
    SCENARIOS,
    SETTINGS,
    TERMS,
    VALUE_ATOL,
    VALUE_RTOL,
    case,
    full_grad_rtol,
    golden,
    grad_rtol,
    gradients,
    setting,
    target,
    tensor,
)
from tests.reference.loss import factor, predicted_covariance

PRECISIONS = pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
CLAMPED = "zero_factors_blend_zero"  # 1e9 and 1e12 entries from the trace clamp: orders of magnitude only
FULL = [(s, t) for s in ("factors", "near_factors") for t in TERMS if t not in ("loss_K", "aux_l2")]
SHORT = dict(zip(TERMS, ("nmse", "nmse_pred", "ortho", "K", "aux", "subspace_align", "peak_contrast"), strict=True))


def values_of(components: dict[str, torch.Tensor]) -> np.ndarray:
    return np.array([components[term].item() for term in TERMS])


def norm(gradient: torch.Tensor) -> float:
    return torch.linalg.vector_norm(gradient.to(torch.promote_types(gradient.dtype, torch.float64))).item()


def test_names_and_order_are_those_of_the_archive() -> None:
    assert tuple(golden()["meta/component_names"]) == tuple(SHORT.values())
    assert tuple(golden()["meta/grad_keys"]) == GRAD_KEYS
    assert tuple(golden()["meta/scenarios"]) == SCENARIOS
    assert tuple(golden()["meta/weight_setting_names"]) == SETTINGS
    assert golden()["meta/beta"] == BETA
    assert dict(UltimateHybridLoss().weight_names) == dict(zip(TERMS, LAMBDAS, strict=True))
    assert tuple(UltimateHybridLoss().weight_names) == TERMS


@PRECISIONS
@pytest.mark.parametrize("name", SCENARIOS)
def test_components_and_gradient_norms(name: str, double: bool) -> None:
    scenario = case(name, double)
    components = UltimateHybridLoss().components(scenario.prediction, scenario.target)
    assert tuple(components) == TERMS
    assert all(value.ndim == 0 for value in components.values())
    np.testing.assert_allclose(
        values_of(components), golden()[f"spec/{name}/components"], rtol=VALUE_RTOL, atol=VALUE_ATOL
    )
    for term, expected_row in zip(TERMS, golden()[f"spec/{name}/grad_norm"], strict=True):
        found = gradients(components[term], scenario.prediction)
        for key, expected in zip(GRAD_KEYS, expected_row, strict=True):
            if key not in scenario.prediction:
                assert key == "R_blend" and np.isnan(expected)
            elif name == CLAMPED and expected > 1e6:
                assert 0.1 * expected < norm(found[key]) < 10 * expected, (term, key)
            else:
                tolerance = GRAD_ATOL + grad_rtol(term) * expected
                assert norm(found[key]) == pytest.approx(expected, rel=0, abs=tolerance), (term, key)


@PRECISIONS
@pytest.mark.parametrize(("name", "term"), FULL)
def test_full_gradient_with_respect_to_the_angle_factor(name: str, term: str, double: bool) -> None:
    scenario = case(name, double)
    value = UltimateHybridLoss().components(scenario.prediction, scenario.target)[term]
    expected = tensor(f"spec/{name}/grad/{SHORT[term]}/cov_fact_angle", double=True)
    found = gradients(value, scenario.prediction)["cov_fact_angle"]
    assert norm(found - expected) <= full_grad_rtol(term) * norm(expected)


@PRECISIONS
@pytest.mark.parametrize(
    ("term", "array", "key"),
    [
        ("loss_K", "asis/factors/grad/K/k_logits", "k_logits"),
        ("aux_l2", "asis/factors/grad/aux/phi_theta_r", "phi_theta_r"),
    ],
)
def test_full_gradient_of_the_two_label_terms(term: str, array: str, key: str, double: bool) -> None:
    scenario = case("factors", double)
    value = UltimateHybridLoss().components(scenario.prediction, scenario.target)[term]
    expected = tensor(array, double=True)
    found = gradients(value, scenario.prediction)[key]
    assert norm(found - expected) <= full_grad_rtol(term) * norm(expected)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_two_label_terms_agree_with_the_unmodified_original(name: str) -> None:
    """Of the original's own values, K and aux are the ones that no departure touches."""
    scenario = case(name)
    components = UltimateHybridLoss().components(scenario.prediction, scenario.target)
    for term, key in (("loss_K", "k_logits"), ("aux_l2", "phi_theta_r")):
        row = TERMS.index(term)
        expected = golden()[f"asis/{name}/components"][row]
        assert components[term].item() == pytest.approx(expected, rel=VALUE_RTOL, abs=VALUE_ATOL)
        expected_norm = golden()[f"asis/{name}/grad_norm"][row, GRAD_KEYS.index(key)]
        found = norm(gradients(components[term], scenario.prediction)[key])
        assert found == pytest.approx(expected_norm, rel=grad_rtol(term), abs=GRAD_ATOL)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_nmse_of_the_original_follows_from_its_two_departures(name: str) -> None:
    """Q of the first K columns in place of A, and load 1, on an R_pred that is handed over ready."""
    scenario = case(name, double=True)
    R_pred = []
    for angle, distance, K in zip(
        scenario.prediction["cov_fact_angle"].detach(),
        scenario.prediction["cov_fact_range"].detach(),
        scenario.target["K"].tolist(),
        strict=True,
    ):
        Q, _ = torch.linalg.qr(factor(angle, 5)[:, :K])
        C = factor(distance, 5)
        R_pred.append(Q @ Q.mH + 0.3 * C @ C.mH)
    prediction = {**scenario.prediction, "R_pred": torch.stack(R_pred)}
    components = UltimateHybridLoss(load=1.0).components(prediction, scenario.target)
    for row, term in enumerate(("loss_nmse", "loss_nmse_pred")):
        expected = golden()[f"asis/{name}/components"][row]
        if name == CLAMPED and row == 0:
            assert components[term].item() == pytest.approx(expected, rel=VALUE_RTOL)
        else:
            assert components[term].item() == pytest.approx(expected, rel=VALUE_RTOL, abs=VALUE_ATOL)


@pytest.mark.parametrize("weights", SETTINGS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_totals(name: str, weights: str) -> None:
    scenario = case(name)
    expected = golden()[f"spec/{name}/totals"][SETTINGS.index(weights)]
    weighted = golden()[f"spec/{name}/components"] @ np.array(list(setting(weights).values()))
    assert expected == pytest.approx(weighted, rel=1e-12)
    with torch.no_grad():
        total = UltimateHybridLoss(**setting(weights)).eval()(scenario.prediction, scenario.target)
    assert total.ndim == 0
    assert total.item() == pytest.approx(expected, rel=VALUE_RTOL, abs=VALUE_ATOL)


@PRECISIONS
@pytest.mark.parametrize("name", SCENARIOS)
def test_nmse_per_sample_by_load(name: str, double: bool) -> None:
    scenario = case(name, double)
    R_hat = scenario.prediction.get("R_blend")
    if R_hat is None:
        R_hat = predicted_covariance(scenario.prediction)
    snr_db = scenario.target["snr_db"]
    T = shrink(trace_norm(scenario.target["R_true"]), snr_db)
    for row, delta in enumerate((0.0, 1e-3, 1.0)):
        found = nmse(effective(R_hat.detach(), snr_db, delta), T)
        expected = golden()[f"spec/{name}/nmse_per_sample_by_load"][row]
        np.testing.assert_allclose(found.numpy(), expected, rtol=VALUE_RTOL, atol=VALUE_ATOL)


@PRECISIONS
@pytest.mark.parametrize("name", ["blend", "near_blend"])
def test_gradient_through_a_blend_made_in_the_graph(name: str, double: bool) -> None:
    """With R_blend computed from the factors, |d term / d factor| is that of the whole chain."""
    prediction = case(name, double).prediction
    del prediction["R_blend"]
    R_blend = blend(predicted_covariance(prediction), tensor("in/R_samp", double), BETA)
    components = UltimateHybridLoss().components({**prediction, "R_blend": R_blend}, target(double))
    np.testing.assert_allclose(
        values_of(components), golden()[f"spec/{name}_e2e/components"], rtol=VALUE_RTOL, atol=VALUE_ATOL
    )
    for term, row in zip(TERMS, golden()[f"spec/{name}_e2e/grad_norm_factors"], strict=True):
        found = gradients(components[term], prediction)
        for key, expected in zip(GRAD_KEYS, row, strict=False):
            tolerance = GRAD_ATOL + grad_rtol(term) * expected
            assert norm(found[key]) == pytest.approx(expected, rel=0, abs=tolerance), (term, key)


@PRECISIONS
def test_real_and_complex_labels_agree(double: bool) -> None:
    one, other = case("blend", double), case("blend", double, real_labels=True)
    assert other.target["R_true"].shape == (6, 144, 144, 2)
    loss = UltimateHybridLoss()
    np.testing.assert_array_equal(
        values_of(loss.components(one.prediction, one.target)),
        values_of(loss.components(other.prediction, other.target)),
    )


def test_float64_inputs_are_computed_in_float64() -> None:
    scenario = case("factors", double=True)
    components = UltimateHybridLoss().components(scenario.prediction, scenario.target)
    assert {value.dtype for value in components.values()} == {torch.float64}


@PRECISIONS
def test_huber_of_angles(double: bool) -> None:
    e = tensor("huber/angle_diff", double).requires_grad_()
    value = huber(wrap(e), torch.pi / 720)
    (slope,) = torch.autograd.grad(value.sum(), e)
    np.testing.assert_allclose(value.detach(), golden()["huber/angle_value"], rtol=VALUE_RTOL, atol=VALUE_ATOL)
    np.testing.assert_allclose(slope, golden()["huber/angle_grad"], rtol=1e-3, atol=GRAD_ATOL)


def test_huber_of_ranges_against_two_metres_through_the_loss() -> None:
    """One source at 2 m, right angles: aux_l2 is the range Huber; float32, since 0.45 m itself is a kink."""
    r_hat = tensor("huber/range_pred_vs_2m").requires_grad_()
    loss = UltimateHybridLoss()
    target_one = {key: value[:1] for key, value in target().items()}
    ptr = torch.zeros(1, 15)
    ptr[0, 10] = 2.0
    target_one |= {"ptr": ptr, "K": torch.tensor([1])}
    values = []
    for one in r_hat:
        estimate = torch.cat([torch.zeros(10), one[None], torch.ones(4)])[None]
        prediction = {key: leaf[:1] for key, leaf in case("factors").prediction.items()} | {"phi_theta_r": estimate}
        values.append(loss.components(prediction, target_one)["aux_l2"])
    value = torch.stack(values)
    (slope,) = torch.autograd.grad(value.sum(), r_hat)
    np.testing.assert_allclose(value.detach(), golden()["huber/range_value"], rtol=VALUE_RTOL, atol=VALUE_ATOL)
    np.testing.assert_allclose(slope, golden()["huber/range_grad"], rtol=1e-3, atol=GRAD_ATOL)


@pytest.mark.parametrize("name", ["factors", "blend", "near_blend", "zero_factors"])
def test_golden_numbers_hold_in_a_training_sized_batch(name: str) -> None:
    """N = 144 and 66 samples: the golden batch eleven times over. Means stay; every gradient norm shrinks by sqrt(11)."""
    times = 11
    small = case(name)

    def tiled(value):
        return value.detach().repeat(times, *[1] * (value.ndim - 1))

    prediction = {key: tiled(value).requires_grad_() for key, value in small.prediction.items()}
    target = {key: tiled(value) for key, value in small.target.items()}
    found = UltimateHybridLoss().components(prediction, target)
    expected = golden()[f"spec/{name}/components"]
    np.testing.assert_allclose([found[term].item() for term in TERMS], expected, rtol=VALUE_RTOL, atol=VALUE_ATOL)
    for term, row in zip(TERMS, golden()[f"spec/{name}/grad_norm"], strict=True):
        gradient = gradients(found[term], prediction)
        for key, norm in zip(GRAD_KEYS, row, strict=True):
            if key in gradient:
                measured = gradient[key].norm().item() * times**0.5
                assert measured == pytest.approx(norm, rel=grad_rtol(term), abs=GRAD_ATOL * times), (term, key)
