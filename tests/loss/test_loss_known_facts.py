"""What the formulas say about zeros: which of them can make a loss of 0, and which cannot."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance import blend, effective, trace_norm
from kit.loss import UltimateHybridLoss
from kit.loss.terms import nmse
from tests.golden_data import GRAD_KEYS, LAMBDAS, TERMS, Case, case, golden, gradients, setting, target, tensor
from tests.reference.loss import Setup, random_prediction, random_target
from tests.reference.scenes import Geometry, shrink

FACTORS = GRAD_KEYS[:2]
FLOOR_OF_LOSS_K = -(0.96 * math.log(0.96) + 4 * 0.01 * math.log(0.01))  # entropy of the smoothed target, five classes


def labels_T(double: bool = True) -> Tensor:
    labels = target(double)
    return torch.stack(
        [shrink(trace_norm(R), float(snr)) for R, snr in zip(labels["R_true"], labels["snr_db"], strict=True)]
    )


def n0() -> float:
    """<1 - N / |T_b|^2>_b: the nmse of the identity."""
    energy = torch.linalg.vector_norm(labels_T(), dim=(1, 2)) ** 2
    return (1 - 144 / energy).mean().item()


def components(scenario: Case, **options: float) -> dict[str, Tensor]:
    return UltimateHybridLoss(**options).components(scenario.prediction, scenario.target)


def total(scenario: Case, weights: dict[str, float]) -> Tensor:
    loss = UltimateHybridLoss(**weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lam_cov = 0 is the point of some of these tests
        return loss(scenario.prediction, scenario.target)


def norms(value: Tensor, prediction: dict[str, Tensor]) -> dict[str, float]:
    return {key: torch.linalg.vector_norm(g).item() for key, g in gradients(value, prediction).items()}


# fact 1


def test_zero_factors_are_not_a_zero_loss() -> None:
    assert 0.965 < n0() < 0.993
    assert n0() == pytest.approx(0.9825, abs=1e-4)
    found = components(case("zero_factors", double=True))
    assert found["loss_nmse"].item() == pytest.approx(n0(), rel=1e-9)
    assert found["loss_nmse_pred"].item() == pytest.approx(n0(), rel=1e-9)


def test_effective_of_zero_is_the_identity_with_a_load_and_nothing_without() -> None:
    zero, snr_db = torch.zeros(6, 144, 144, dtype=torch.complex128), target(double=True)["snr_db"]
    one = torch.eye(144, dtype=torch.complex128)
    for delta in (1e-6, 1e-3, 1.0):
        torch.testing.assert_close(effective(zero, snr_db, delta), one.expand(6, -1, -1))
    assert effective(zero, snr_db, 0.0).abs().max() < 1e-12


def test_without_a_load_zero_factors_score_one() -> None:
    found = components(case("zero_factors", double=True), load=0.0)
    assert found["loss_nmse"].item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("load", [1e-3, 0.1, 1.0])
def test_a_perfect_prediction_scores_the_square_of_its_load(load: float) -> None:
    found = components(case("truth_blend", double=True), load=load)["loss_nmse"].item()
    assert found == pytest.approx((load / (1 + load)) ** 2 * n0(), rel=2e-2)
    assert components(case("truth_blend", double=True), load=0.0)["loss_nmse"].item() < 1e-20


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_nmse_of_the_truth_is_zero_and_of_zero_is_one(dtype: torch.dtype) -> None:
    T = labels_T().to(dtype)
    assert (nmse(T, T) == 0).all()
    torch.testing.assert_close(nmse(torch.zeros_like(T), T), torch.ones(6, dtype=T.real.dtype), rtol=0, atol=1e-6)


# fact 2


@pytest.mark.parametrize("double", [False, True])
def test_zero_factors_are_a_saddle_without_any_gradient(double: bool) -> None:
    scenario = case("zero_factors", double)
    found = components(scenario)
    for term in TERMS:
        size = norms(found[term], scenario.prediction)
        assert size["cov_fact_angle"] == size["cov_fact_range"] == 0
    K = scenario.target["K"].double()
    assert found["loss_ortho"].item() == pytest.approx((1 / K).mean().item(), rel=1e-6)
    assert found["loss_subspace_align"].item() == 0
    assert found["loss_peak_contrast"].item() == pytest.approx(math.log(25), rel=1e-6)
    assert norms(found["loss_K"], scenario.prediction)["k_logits"] > 0.1
    assert norms(found["aux_l2"], scenario.prediction)["phi_theta_r"] > 0.1


def test_the_saddle_is_not_a_minimum() -> None:
    """A step from zero factors towards the truth lowers nmse below n0."""
    scenario = case("near_factors", double=True)
    with torch.no_grad():
        small = {key: 1e-3 * scenario.prediction[key] for key in FACTORS}
    found = UltimateHybridLoss().components({**scenario.prediction, **small}, scenario.target)["loss_nmse"]
    assert found.item() < 0.2 < n0()


# fact 3


@pytest.mark.parametrize(("scale", "expected"), [(1e-3, 26), (1e-5, 2.6e3), (1e-7, 1.3e5), (1e-8, 1.7e4), (0, 0)])
def test_just_beside_zero_the_gradient_is_huge(scale: float, expected: float) -> None:
    scenario = case("factors", double=True)
    leaves = {key: (scale * scenario.prediction[key].detach()).requires_grad_() for key in FACTORS}
    value = UltimateHybridLoss().components({**scenario.prediction, **leaves}, scenario.target)["loss_nmse"]
    assert norms(value, leaves)["cov_fact_angle"] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("scale", [0.1, 1e3])
def test_the_covariance_terms_do_not_depend_on_the_scale_of_the_factors(scale: float) -> None:
    scenario = case("factors", double=True)
    scaled = {key: scale * scenario.prediction[key] for key in FACTORS}
    plain, other = (
        UltimateHybridLoss().components(p, scenario.target)
        for p in (scenario.prediction, {**scenario.prediction, **scaled})
    )
    for term in ("loss_nmse", "loss_nmse_pred", "loss_subspace_align", "loss_peak_contrast"):
        assert other[term].item() == pytest.approx(plain[term].item(), rel=1e-6), term


def test_a_leaf_R_hat_of_zero_has_a_gradient_of_a_million_millions() -> None:
    scenario = case("zero_factors_blend_zero", double=True)
    size = norms(components(scenario)["loss_nmse"], scenario.prediction)["R_blend"]
    assert 1e11 < size < 1e13


# fact 4


@pytest.mark.parametrize("beta", [0.05, 0.3, 0.95])
def test_with_zero_factors_the_blend_is_the_sample_covariance_whatever_beta(beta: float) -> None:
    prediction = case("zero_factors", double=True).prediction
    R_samp = tensor("in/R_samp", double=True).requires_grad_()
    A = torch.view_as_complex(prediction["cov_fact_angle"].reshape(6, 144, 5, 2))
    R_blend = blend(A @ A.mH, R_samp, beta)
    torch.testing.assert_close(R_blend.detach(), trace_norm(R_samp).detach())
    found = UltimateHybridLoss().components({**prediction, "R_blend": R_blend}, target(double=True))
    expected = golden()["spec/zero_factors_blend_samp/components"]
    np.testing.assert_allclose([found[term].item() for term in TERMS], expected, rtol=1e-4, atol=2e-6)
    for term in ("loss_nmse", "loss_subspace_align", "loss_peak_contrast"):
        assert not any(norms(found[term], {**prediction, "R_samp": R_samp}).values()), (
            "R_samp is measured: it gets no gradient"
        )


# fact 5 and H1


def test_H1_without_lam_cov_six_terms_remain() -> None:
    scenario = case("factors")
    weights = setting("trainer")
    full, without = total(scenario, weights), total(scenario, weights | {"lam_cov": 0.0})
    assert full.item() == pytest.approx(3.4306, abs=1e-4)
    assert without.item() == pytest.approx(2.1300, abs=1e-4)
    nmse_value = components(scenario)["loss_nmse"].item()
    assert full.item() - without.item() == pytest.approx(nmse_value, rel=1e-5)


def test_H1_keeps_the_gradient_of_the_other_terms() -> None:
    """Logits and positions keep theirs exactly; of the nmse part of the factor gradient 0.05 / 1.05 = 4.8 % are
    left.
    """
    scenario = case("factors", double=True)
    weights = setting("trainer")
    full = gradients(total(scenario, weights), scenario.prediction)
    without = gradients(total(scenario, weights | {"lam_cov": 0.0}), scenario.prediction)
    for key in ("k_logits", "phi_theta_r"):
        assert full[key].abs().max() > 0
        torch.testing.assert_close(without[key], full[key])
    only = dict.fromkeys(LAMBDAS, 0.0)
    both = gradients(total(scenario, only | {"lam_cov": 1.0, "lam_cov_pred": 0.05}), scenario.prediction)
    left = gradients(total(scenario, only | {"lam_cov_pred": 0.05}), scenario.prediction)
    for key in FACTORS:
        torch.testing.assert_close(left[key], both[key] * 0.05 / 1.05)
        assert without[key].abs().max() > 0


# H2


@pytest.mark.parametrize(("lam_cov", "expected"), [(0.10, 2.3294), (0.3, 2.5896)])
def test_H2_a_weight_that_is_not_passed_leaves_the_class_default(lam_cov: float, expected: float) -> None:
    scenario = case("factors", double=True)
    weights = setting("class_default") | {"lam_cov": lam_cov}
    assert total(scenario, weights).item() == pytest.approx(expected, abs=1e-4)
    only = dict.fromkeys(LAMBDAS, 0.0)
    whole = gradients(total(scenario, only | {"lam_cov": 1.0}), scenario.prediction)
    part = gradients(total(scenario, only | {"lam_cov": lam_cov}), scenario.prediction)
    for key in FACTORS:
        torch.testing.assert_close(part[key], lam_cov * whole[key])


def test_H2_the_default_of_this_class_is_the_one_of_the_report() -> None:
    scenario = case("factors")
    assert UltimateHybridLoss()(scenario.prediction, scenario.target).item() == pytest.approx(2.5896, abs=1e-4)


# H3 and H4


def test_H3_zero_factors_without_a_blend_are_a_plateau_not_a_zero() -> None:
    scenario = case("zero_factors")
    value = total(scenario, setting("trainer"))
    terms = components(scenario)
    K = scenario.target["K"].double()
    by_hand = (
        1.05 * n0()
        + 1e-3 * (1 / K).mean().item()
        + 0.5 * terms["loss_K"].item()
        + terms["aux_l2"].item()
        + 0.1 * math.log(25)
    )
    assert value.item() == pytest.approx(2.9764, abs=1e-4)
    assert value.item() == pytest.approx(by_hand, rel=1e-5)
    size = norms(value, scenario.prediction)
    assert size["cov_fact_angle"] == size["cov_fact_range"] == 0
    assert size["k_logits"] > 0.1 and size["phi_theta_r"] > 0.1


def test_H4_all_outputs_zero_is_the_largest_loss_of_all() -> None:
    scenario = case("all_zero_outputs")
    terms = components(scenario)
    K = scenario.target["K"].double()
    omega = torch.where(K > 1, 2.0, 1.0).mean().item()  # uniform logits say K = 1
    assert terms["loss_K"].item() == pytest.approx(math.log(5) * omega, rel=1e-6)
    value = total(scenario, setting("trainer"))
    by_hand = (
        1.05 * n0()
        + 1e-3 * (1 / K).mean().item()
        + 0.5 * math.log(5) * omega
        + terms["aux_l2"].item()
        + 0.1 * math.log(25)
    )
    assert value.item() == pytest.approx(5.8775, abs=1e-4)
    assert value.item() == pytest.approx(by_hand, rel=1e-5)

    assert norms(terms["loss_K"], scenario.prediction)["k_logits"] == pytest.approx(0.60, abs=5e-3)
    (gradient,) = torch.autograd.grad(terms["aux_l2"], scenario.prediction["phi_theta_r"], retain_graph=True)
    assert torch.linalg.vector_norm(gradient[:, :10]).item() == pytest.approx(0.44, abs=5e-3)
    assert (gradient[:, 10:] == 0).all(), "every range is below the floor"
    size = norms(value, scenario.prediction)
    assert size["cov_fact_angle"] == size["cov_fact_range"] == 0


# H5


@pytest.mark.parametrize("key", GRAD_KEYS)
def test_H5_a_NaN_prediction_makes_a_NaN_total_never_a_zero(key: str) -> None:
    scenario = case("blend")
    prediction = dict(scenario.prediction)
    broken = prediction[key].detach().clone()
    broken[2].fill_(math.nan)
    prediction[key] = broken.requires_grad_()
    value = UltimateHybridLoss(**setting("trainer"))(prediction, scenario.target)
    assert math.isnan(value.item())


# fact 6


def test_nmse_is_not_bounded_by_one() -> None:
    assert components(case("factors"))["loss_nmse"].item() > 1.3
    R_true = trace_norm(torch.diag_embed(torch.tensor([[1.0, 0.0]], dtype=torch.complex128)))
    wrong = trace_norm(torch.diag_embed(torch.tensor([[0.0, 1.0]], dtype=torch.complex128)))
    assert nmse(wrong, R_true).item() == pytest.approx(2.0)


def test_random_factors_start_where_the_column_weights_say() -> None:
    """nmse is about 1 + c N^2 / |T|^2, c = sum w^2 / (sum w)^2 = 0.129 for five columns of 1 and five of 0.3: 1.13
    for K = 1.
    """
    generator = torch.Generator().manual_seed(30)
    setup = Setup()
    prediction, labels = random_prediction(4, generator, setup), random_target(4, generator, setup)
    labels |= {"K": torch.ones(4, dtype=torch.int64), "snr_db": torch.full((4,), 20.0).double()}
    a = PlanarArray().steering(labels["ptr"][:, :1], labels["ptr"][:, 5:6], labels["ptr"][:, 10:11])
    labels["R_true"] = trace_norm(a @ a.mH)
    c = 5 * (1 + 0.3**2) / (5 * 1.3) ** 2
    assert c == pytest.approx(0.129, abs=1e-3)
    found = UltimateHybridLoss().components(prediction, labels)["loss_nmse"].item()
    assert found == pytest.approx(1 + c, abs=0.03)


# fact 7


@pytest.mark.parametrize("K", range(1, 6))
def test_loss_K_has_a_floor_above_zero(K: int) -> None:
    """The best logits are the logarithms of the smoothed target; certainty and everything else is worse."""
    assert FLOOR_OF_LOSS_K == pytest.approx(0.2234, abs=5e-5)
    scenario = case("zero_factors", double=True)
    labels = scenario.target | {"K": torch.full((6,), K)}
    best = torch.full((6, 5), 0.01).double()
    best[:, K - 1] = 0.96

    def loss_K(logits: Tensor) -> Tensor:
        return UltimateHybridLoss().components({**scenario.prediction, "k_logits": logits}, labels)["loss_K"]

    logits = best.log().requires_grad_()
    value = loss_K(logits)
    assert value.item() == pytest.approx(FLOOR_OF_LOSS_K, rel=1e-9)
    assert torch.autograd.grad(value, logits)[0].abs().max() < 1e-8
    generator = torch.Generator().manual_seed(31)
    for scale in (0.1, 1.0, 10.0, 1000.0):
        noise = scale * torch.randn(6, 5, generator=generator, dtype=torch.float64)
        assert loss_K(best.log() + noise).item() > FLOOR_OF_LOSS_K
    assert 0.5 * FLOOR_OF_LOSS_K == pytest.approx(0.1117, abs=5e-5)


def test_an_undercount_costs_double_and_ties_go_to_the_smallest_count() -> None:
    """Uniform logits read as K = 1: ln 5 for K = 1, twice that for every larger K. An overcount costs no more than
    its CE.
    """
    scenario = case("zero_factors", double=True)
    loss = UltimateHybridLoss()
    for K in range(1, 6):
        labels = scenario.target | {"K": torch.full((6,), K)}
        uniform = {**scenario.prediction, "k_logits": torch.zeros(6, 5).double()}
        expected = math.log(5) * (2 if K > 1 else 1)
        assert loss.components(uniform, labels)["loss_K"].item() == pytest.approx(expected, rel=1e-9)
    labels = scenario.target | {"K": torch.full((6,), 3)}
    for guess, omega in ((2, 2.0), (4, 1.0)):
        logits = torch.zeros(6, 5).double()
        logits[:, guess - 1] = 1.0
        p = torch.log_softmax(logits[0], 0)
        expected = omega * (-0.95 * p[2] - 0.01 * p.sum()).item()
        found = loss.components({**scenario.prediction, "k_logits": logits}, labels)["loss_K"].item()
        assert found == pytest.approx(expected, rel=1e-9)


# all weights zero, and what is said about it


def everything() -> dict[str, Tensor]:
    prediction = case("blend").prediction
    prediction["R_pred"] = tensor("in/R_true").requires_grad_()
    return prediction


@pytest.mark.parametrize("broken", [False, True], ids=["finite", "NaN"])
def test_all_weights_zero_is_an_exact_zero_on_the_graph(broken: bool) -> None:
    prediction = everything()
    if broken:
        prediction = {key: torch.full_like(value, math.nan).requires_grad_() for key, value in prediction.items()}
    loss = UltimateHybridLoss(**dict.fromkeys(LAMBDAS, 0.0))
    with pytest.warns(UserWarning, match="lam_cov"):
        value = loss(prediction, target())
    assert value.ndim == 0 and value.item() == 0
    assert value.requires_grad
    value.backward()
    for key, leaf in prediction.items():
        assert leaf.grad is not None, key
        assert (leaf.grad == 0).all(), key


def test_a_zero_lam_cov_and_all_zero_are_warned_about_once_each() -> None:
    scenario = case("factors")
    loss = UltimateHybridLoss(**setting("trainer") | {"lam_cov": 0.0})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            loss(scenario.prediction, scenario.target)
    assert [issubclass(w.category, UserWarning) for w in caught] == [True]
    assert "lam_cov" in str(caught[0].message)
    for name in LAMBDAS:
        setattr(loss, name, 0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            loss(scenario.prediction, scenario.target)
    assert len(caught) == 1 and "lam_cov" in str(caught[0].message), "all zero is a second thing to say, once"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        UltimateHybridLoss(lam_cov=0.0)(scenario.prediction, scenario.target)
    assert len(caught) == 1, "another loss object warns for itself"


def test_other_zero_weights_are_silent() -> None:
    scenario = case("factors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        UltimateHybridLoss(**dict.fromkeys(LAMBDAS, 0.0) | {"lam_cov": 1.0})(scenario.prediction, scenario.target)


def test_all_zero_then_a_weight_again_works() -> None:
    """Sliders go to zero and come back."""
    scenario = case("factors")
    loss = UltimateHybridLoss(**dict.fromkeys(LAMBDAS, 0.0))
    with pytest.warns(UserWarning):
        assert loss(scenario.prediction, scenario.target).item() == 0
    for name, value in setting("trainer").items():
        setattr(loss, name, value)
    assert loss(scenario.prediction, scenario.target).item() == pytest.approx(3.4306, abs=1e-4)


def test_total_is_zero_only_when_all_seven_weights_are() -> None:
    """Any single weight left on gives a total above zero on the golden factors."""
    scenario = case("factors")
    for name in LAMBDAS:
        assert total(scenario, dict.fromkeys(LAMBDAS, 0.0) | {name: 1e-3}).item() > 1e-4, name


def test_subspace_align_is_a_share() -> None:
    """0 for a matrix inside the true subspace, close to 1 for one outside, and never beyond."""
    generator = torch.Generator().manual_seed(32)
    setup = Setup(Geometry(4, 4), k_max=3)
    labels, prediction = random_target(5, generator, setup), random_prediction(5, generator, setup)
    loss = UltimateHybridLoss(array=PlanarArray(4, 4), k_max=3)

    def share(R: Tensor) -> float:
        return loss.components({**prediction, "R_pred": R}, labels)["loss_subspace_align"].item()

    A = PlanarArray(4, 4).steering(*labels["ptr"].reshape(5, 3, 3).unbind(1))
    A = A * (torch.arange(3) < labels["K"][:, None])[:, None, :]
    Q, _ = torch.linalg.qr(A)
    Q = Q * (torch.arange(3) < labels["K"][:, None])[:, None, :]
    P = Q @ Q.mH
    assert share(A @ A.mH) < 1e-3
    assert share(torch.eye(16).to(P) - P) == pytest.approx(1.0, abs=1e-6)
    assert 0 < share(torch.eye(16).to(P).expand(5, -1, -1)) < 1
