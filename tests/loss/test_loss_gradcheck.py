"""Is the derivative of every term the derivative? Finite differences in float64, on a 4 x 3 array, away from kinks.

Large inputs are checked along random directions (``fast_mode``), small ones entry by entry.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance import blend
from kit.loss import UltimateHybridLoss
from tests.golden_data import GRAD_KEYS, LAMBDAS, TERMS
from tests.reference.loss import Setup, predicted_covariance, random_prediction, random_target
from tests.reference.scenes import Geometry, sample_scenes

B, K_MAX = 2, 3
SETUP = Setup(Geometry(4, 3), k_max=K_MAX)
FACTORS = ("cov_fact_angle", "cov_fact_range")
# what each term depends on, without and with an R_blend
PLAIN = {
    "loss_nmse": FACTORS,
    "loss_nmse_pred": FACTORS,
    "loss_ortho": FACTORS[:1],
    "loss_K": ("k_logits",),
    "aux_l2": ("phi_theta_r",),
    "loss_subspace_align": FACTORS,
    "loss_peak_contrast": FACTORS,
}
BLENDED = ("loss_nmse", "loss_subspace_align", "loss_peak_contrast")


def make(**options: float) -> UltimateHybridLoss:
    return UltimateHybridLoss(array=PlanarArray(4, 3), k_max=K_MAX, **options)


def scene() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Predictions and labels; position errors on both sides of each Huber width, one range in the dead zone, no
    ties.
    """
    generator = torch.Generator().manual_seed(20)
    prediction, target = random_prediction(B, generator, SETUP), random_target(B, generator, SETUP)
    target["K"] = torch.tensor([2, 3])
    label = torch.tensor(
        [[0.4, -0.7, 0.0], [-0.2, 0.9, 0.1], [0.3, -0.1, 0.0], [0.2, -0.3, 0.1], [2.0, 5.0, 0.0], [0.8, 3.0, 9.0]]
    )
    error = torch.tensor(
        [
            [0.002, 0.3, 0.5],
            [-0.1, 0.001, 6.2],
            [0.2, -0.003, 0.5],
            [0.002, 0.1, -0.2],
            [0.1, 3.0, 1.0],
            [-0.5, 0.3, -5],
        ]
    )
    label, error = label.double(), error.double()
    rows = {0: (0, 2, 4), 1: (1, 3, 5)}
    target["ptr"] = torch.stack([label[list(rows[b])].reshape(-1) for b in range(B)])
    estimate = torch.stack([(label + error)[list(rows[b])].reshape(-1) for b in range(B)])
    prediction["phi_theta_r"] = estimate.requires_grad_()
    prediction["k_logits"] = torch.tensor([[1.0, 0.2, -0.5], [0.3, -0.4, 1.2]]).double().requires_grad_()
    return prediction, target


def hermitian_leaf() -> Tensor:
    prediction, _ = scene()
    generator = torch.Generator().manual_seed(21)
    R_samp = sample_scenes(B, SETUP.geometry, generator, K_MAX)["R_samp"].to(torch.complex128)
    R_pred = predicted_covariance(prediction, SETUP.rho, K_MAX).detach()
    return blend(R_pred, R_samp, 0.3).detach().requires_grad_()


def check(
    loss: UltimateHybridLoss, term: str, key: str, prediction: dict[str, Tensor], target: dict[str, Tensor]
) -> None:
    def value(leaf: Tensor) -> Tensor:
        return loss.components({**prediction, key: leaf}, target)[term]

    leaf = prediction[key].detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    assert gradient.abs().max() > 0  # else the check below would compare nothing with nothing
    assert torch.autograd.gradcheck(value, (leaf,), eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=leaf.numel() > 20)


@pytest.mark.parametrize(("term", "key"), [(term, key) for term in TERMS for key in PLAIN[term]])
def test_each_term_in_each_prediction_it_reads(term: str, key: str) -> None:
    check(make(), term, key, *scene())


@pytest.mark.parametrize("term", BLENDED)
def test_in_R_blend_as_a_leaf(term: str) -> None:
    """The leaf as it is: also its non-Hermitian directions."""
    prediction, target = scene()
    check(make(), term, "R_blend", {**prediction, "R_blend": hermitian_leaf()}, target)


@pytest.mark.parametrize("term", BLENDED)
def test_in_R_blend_symmetrised(term: str) -> None:
    """A free complex matrix Z, R_blend = (Z + Z^H) / 2: only Hermitian directions."""
    prediction, target = scene()
    loss = make()

    def value(Z: Tensor) -> Tensor:
        return loss.components({**prediction, "R_blend": (Z + Z.mH) / 2}, target)[term]

    assert torch.autograd.gradcheck(value, (hermitian_leaf(),), eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("term", [*BLENDED, "loss_nmse_pred"])
def test_in_R_pred_handed_over(term: str) -> None:
    prediction, target = scene()
    check(make(), term, "R_pred", {**prediction, "R_pred": hermitian_leaf()}, target)


@pytest.mark.parametrize("key", FACTORS)
def test_through_a_blend_made_in_the_graph(key: str) -> None:
    prediction, target = scene()
    generator = torch.Generator().manual_seed(22)
    R_samp = sample_scenes(B, SETUP.geometry, generator, K_MAX)["R_samp"].to(torch.complex128)
    loss = make(**dict.fromkeys(LAMBDAS, 0.5))

    def value(leaf: Tensor) -> Tensor:
        changed = {**prediction, key: leaf}
        return loss({**changed, "R_blend": blend(predicted_covariance(changed, SETUP.rho, K_MAX), R_samp, 0.3)}, target)

    assert torch.autograd.gradcheck(
        value, (prediction[key].detach().requires_grad_(),), eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=True
    )


@pytest.mark.parametrize("load", [0.0, 1.0])
def test_nmse_and_peak_contrast_with_other_loads(load: float) -> None:
    for term in ("loss_nmse", "loss_peak_contrast"):
        check(make(load=load), term, "cov_fact_angle", *scene())


def test_there_is_no_other_dependence() -> None:
    """Every pair of term and prediction not listed above has gradient 0; R_blend takes R_pred's place in three
    terms.
    """
    prediction, target = scene()
    for blended in (False, True):
        given = {**prediction, "R_blend": hermitian_leaf()} if blended else prediction
        for term, value in make().components(given, target).items():
            reads = ("R_blend",) if blended and term in BLENDED else PLAIN[term]
            for key in GRAD_KEYS:
                if key in given:
                    (grad,) = torch.autograd.grad(value, given[key], retain_graph=True, allow_unused=True)
                    assert (grad is not None and bool(grad.abs().max() > 0)) == (key in reads), (term, key)


def test_range_dead_zone_and_wrapped_angle_have_the_slopes_of_the_formula() -> None:
    """0 below the floor; the slope of an angle that is 6.2 rad off is that of its wrapped error, -0.083 rad: 1 / M,
    downwards.
    """
    prediction, target = scene()
    value = make().components(prediction, target)["aux_l2"]
    (gradient,) = torch.autograd.grad(value, prediction["phi_theta_r"])
    phi, theta, r = gradient.reshape(B, 3, K_MAX).unbind(1)
    M = 5
    assert r[1, 0].item() == 0  # 0.8 - 0.5 = 0.3 m, below 0.45 m
    assert r[0, 1].item() == pytest.approx(1 / (M * 8.0))  # ln 8 / 5 > 0.2: slope 1, d ln r = 1 / r
    assert phi[1, 2].item() == pytest.approx(-1 / M)
    assert phi[0, 0].item() == pytest.approx(0.002 / (torch.pi / 720) / M, rel=1e-4)
    assert theta[0, 0].item() == pytest.approx(1.5 / M)
    assert (gradient.reshape(B, 3, K_MAX)[0, :, 2] == 0).all()  # K = 2: the third slot is unused
