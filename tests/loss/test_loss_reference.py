"""Do the batched product, the per-sample reference and the golden numbers agree on the seven terms?"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.loss import UltimateHybridLoss
from tests.golden_data import (
    GRAD_ATOL,
    GRAD_KEYS,
    LAMBDAS,
    SCENARIOS,
    TERMS,
    VALUE_ATOL,
    VALUE_RTOL,
    case,
    golden,
    grad_rtol,
    gradients,
    setting,
)
from tests.reference.loss import Setup, components, predicted_covariance, random_prediction, random_target, total
from tests.reference.scenes import Geometry, blend, sample_scenes

SETUPS = {
    "default": Setup(),
    "small": Setup(Geometry(4, 3), k_max=3),
    "no load": Setup(Geometry(6, 6), load=0.0),
    "load 1": Setup(Geometry(4, 4), load=1.0),
    "rho": Setup(Geometry(5, 3, wavelength=0.1), rho=0.1),
    "search alpha0": Setup(Geometry(4, 4), alpha0=0.15),
    "floor": Setup(Geometry(4, 4), range_floor=3.0),
}


def product(setup: Setup, **weights: float) -> UltimateHybridLoss:
    geometry = setup.geometry
    return UltimateHybridLoss(
        **weights,
        array=PlanarArray(geometry.n_h, geometry.n_v, geometry.wavelength),
        k_max=setup.k_max,
        load=setup.load,
        rho=setup.rho,
        alpha0=setup.alpha0,
        range_floor=setup.range_floor,
    )


def assert_same_terms(setup: Setup, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    """Values and gradients of both ways agree; without a load R_hat has rank 5, so E is conditioned like 1e6."""
    found, expected = product(setup).components(prediction, target), components(prediction, target, setup)
    assert tuple(found) == tuple(expected) == TERMS
    for term in TERMS:
        assert found[term].item() == pytest.approx(expected[term].item(), rel=1e-8, abs=1e-12), term
        ours, theirs = gradients(found[term], prediction), gradients(expected[term], prediction)
        for key in prediction:
            torch.testing.assert_close(
                ours[key], theirs[key], rtol=1e-6, atol=1e-9, msg=lambda m, at=(term, key): f"{at}: {m}"
            )


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_reference_reproduces_the_golden_numbers(name: str) -> None:
    scenario = case(name, double=True)
    found = components(scenario.prediction, scenario.target)
    np.testing.assert_allclose(
        [found[term].item() for term in TERMS], golden()[f"spec/{name}/components"], rtol=VALUE_RTOL, atol=VALUE_ATOL
    )
    for term, row in zip(TERMS, golden()[f"spec/{name}/grad_norm"], strict=True):
        gradient = gradients(found[term], scenario.prediction)
        for key, expected in zip(GRAD_KEYS, row, strict=True):
            if key in gradient:
                # a leaf R_hat = 0 sits in the trace clamp: only the order of its gradient is known
                relative = 0.9 if expected > 1e6 else grad_rtol(term)
                size = torch.linalg.vector_norm(gradient[key]).item()
                assert size == pytest.approx(expected, rel=0, abs=GRAD_ATOL + relative * expected), (term, key)


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
@pytest.mark.parametrize("blended", [False, True], ids=["plain", "blend"])
def test_the_product_agrees_with_the_reference(setup: Setup, blended: bool) -> None:
    generator = torch.Generator().manual_seed(7)
    n = 3 if setup.geometry.n == 144 else 6
    target = random_target(n, generator, setup)
    prediction = random_prediction(n, generator, setup)
    if blended:
        R_samp = sample_scenes(n, setup.geometry, generator, setup.k_max)["R_samp"].to(torch.complex128)
        R_pred = predicted_covariance(prediction, setup.rho, setup.k_max).detach()
        R_blend = torch.stack([blend(R_pred[b], R_samp[b], 0.3) for b in range(n)])
        prediction["R_blend"] = R_blend.requires_grad_()
    assert_same_terms(setup, prediction, target)


def test_they_agree_without_an_snr() -> None:
    """No SNR: no shrinkage, neither of the prediction nor of the label."""
    setup = SETUPS["small"]
    generator = torch.Generator().manual_seed(8)
    target, prediction = random_target(4, generator, setup), random_prediction(4, generator, setup)
    with_snr = product(setup).components(prediction, target)["loss_nmse"]
    del target["snr_db"]
    assert_same_terms(setup, prediction, target)
    assert product(setup).components(prediction, target)["loss_nmse"].item() != with_snr.item()


def test_they_agree_when_R_pred_is_handed_over() -> None:
    """R_pred is used as is: the range factor is then read by no term."""
    setup = SETUPS["small"]
    generator = torch.Generator().manual_seed(9)
    target, prediction = random_target(4, generator, setup), random_prediction(4, generator, setup)
    other = random_prediction(4, generator, setup)
    prediction["R_pred"] = predicted_covariance(other, setup.rho, setup.k_max).detach().requires_grad_()
    assert_same_terms(setup, prediction, target)


def test_every_K_and_every_slot_is_covered() -> None:
    """One sample per source count, each against the reference on its own: nothing is shared across the batch but the
    means.
    """
    setup = Setup(Geometry(4, 3), k_max=5)
    generator = torch.Generator().manual_seed(10)
    target, prediction = random_target(5, generator, setup), random_prediction(5, generator, setup)
    ptr = torch.stack([torch.linspace(-0.9, 0.9, 5), torch.linspace(-0.4, 0.4, 5), torch.linspace(0.6, 9, 5)])
    target |= {"K": torch.arange(1, 6), "ptr": ptr.reshape(1, 15).repeat(5, 1).double()}
    assert_same_terms(setup, prediction, target)


def test_unused_label_slots_are_never_read() -> None:
    setup = SETUPS["small"]
    generator = torch.Generator().manual_seed(11)
    target, prediction = random_target(6, generator, setup), random_prediction(6, generator, setup)
    unused = torch.arange(3) >= target["K"][:, None]  # [B, K_max]
    assert unused.any()
    garbled = {**target, "ptr": torch.where(unused.repeat(1, 3), 0.77, target["ptr"])}
    clean, dirty = (product(setup).components(prediction, labels) for labels in (target, garbled))
    assert all(clean[term].item() == dirty[term].item() for term in TERMS)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e30])
def test_unused_prediction_slots_leak_nothing(value: float) -> None:
    """Not even NaN: value and gradient of aux_l2 stay what they were, and the unused slots get exactly 0."""
    setup = SETUPS["small"]
    generator = torch.Generator().manual_seed(12)
    target, prediction = random_target(6, generator, setup), random_prediction(6, generator, setup)
    unused = (torch.arange(3) >= target["K"][:, None]).repeat(1, 3)  # [B, 3 K_max]
    assert unused.any() and not unused.all()
    dirty = torch.where(unused, value, prediction["phi_theta_r"].detach()).requires_grad_()
    expected = components(prediction, target, setup)["aux_l2"]
    found = product(setup).components({**prediction, "phi_theta_r": dirty}, target)["aux_l2"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(found, dirty)
    (clean,) = torch.autograd.grad(expected, prediction["phi_theta_r"])
    assert (gradient[unused] == 0).all()
    torch.testing.assert_close(gradient, clean)


def test_the_total_is_the_weighted_sum_of_the_reference_terms() -> None:
    setup = SETUPS["small"]
    generator = torch.Generator().manual_seed(13)
    target, prediction = random_target(4, generator, setup), random_prediction(4, generator, setup)
    weights = dict(zip(LAMBDAS, (0.7, 0.3, 0.01, 0.6, 1.1, 0.2, 0.4), strict=True))
    expected = total(components(prediction, target, setup), dict(zip(TERMS, weights.values(), strict=True)))
    loss = product(setup, **weights)
    assert loss.weights == weights
    found = loss(prediction, target)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    ours, theirs = gradients(found, prediction), gradients(expected, prediction)
    for key in prediction:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("term", "lam"), list(zip(TERMS, LAMBDAS, strict=True)))
@pytest.mark.parametrize("start", ["trainer", "class_default"])
def test_one_more_of_a_weight_is_one_more_of_its_term(term: str, lam: str, start: str) -> None:
    """No dead, hidden or crossed weight."""
    scenario = case("blend", double=True)
    loss = UltimateHybridLoss(**setting(start))
    before = loss(scenario.prediction, scenario.target).item()
    value = loss.components(scenario.prediction, scenario.target)[term].item()
    assert value > 1e-3
    setattr(loss, lam, getattr(loss, lam) + 1)
    after = loss(scenario.prediction, scenario.target).item()
    assert after - before == pytest.approx(value, rel=1e-9)
    assert loss.weights[lam] == pytest.approx(setting(start)[lam] + 1)
    assert loss.weight_names[term] == lam


@pytest.mark.parametrize("term", TERMS)
def test_a_single_weight_gives_its_term_alone(term: str) -> None:
    scenario = case("near_factors", double=True)
    weights = dict.fromkeys(LAMBDAS, 0.0) | {LAMBDAS[TERMS.index(term)]: 2.0}
    loss = UltimateHybridLoss(**weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lam_cov = 0 in six of the seven
        found = loss(scenario.prediction, scenario.target)
    expected = components(scenario.prediction, scenario.target)[term]
    assert found.item() == pytest.approx(2 * expected.item(), rel=1e-8, abs=1e-12)


def test_class_defaults_are_the_documented_ones() -> None:
    assert UltimateHybridLoss().weights == dict(zip(LAMBDAS, (0.3, 0.02, 1e-3, 0.5, 1.0, 0.5, 0.0), strict=True))


def test_a_term_with_weight_zero_is_not_evaluated() -> None:
    """NaN in what only the switched-off terms read does not reach the total."""
    scenario = case("factors", double=True)
    prediction = dict(scenario.prediction)
    for key in ("k_logits", "phi_theta_r"):
        prediction[key] = torch.full_like(prediction[key], math.nan).requires_grad_()
    loss = UltimateHybridLoss(**(setting("trainer") | {"lam_K": 0.0, "lam_aux": 0.0}))
    total_value = loss(prediction, scenario.target)
    assert math.isfinite(total_value.item())
    total_value.backward()
    for key in ("cov_fact_angle", "cov_fact_range"):
        assert prediction[key].grad.isfinite().all()
    loss.lam_K = 0.5
    assert math.isnan(loss(prediction, scenario.target).item())
