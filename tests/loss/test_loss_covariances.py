"""Factors and the matrix made of them answer alike: values, and first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance import effective, trace_norm
from kit.covariance.conditioning import trace_normed_outer
from kit.loss.covariances import Covariance, Factors, Matrix
from kit.loss.terms import nmse, subspace_align

B, M = 4, 3
ARRAY = PlanarArray(4, 3)
SNR_DB = torch.tensor([-5.0, 0.0, 10.0, 25.0]).double()
SAMPLE = torch.tensor([0, 0, 1, 3, 3, 3])  # the third sample has no source


def factors(dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(B, ARRAY.n, M, dtype=dtype, generator=torch.Generator().manual_seed(50))


def points() -> Tensor:
    angle = torch.linspace(-1, 1, len(SAMPLE) * 7).double().reshape(-1, 7)
    return ARRAY.steering(angle, 0.3 * angle, 2 + angle)


def asked(R: Covariance) -> dict[str, Tensor]:
    A = ARRAY.steering(*(torch.full((B, 2), value).double() for value in (0.2, -0.1, 3.0)))
    A[:, :, 1] = 0
    return {
        "E": R.E,
        "trace": R.trace(),
        "energy": R.energy(),
        "outside": subspace_align(R, A),
        "inverse power": R.inverse_power(points(), SAMPLE, 1e-4),
    }


def conditioned(form: Callable[..., Covariance], R: Tensor) -> Covariance:
    return form(R, SNR_DB.to(R.real.dtype), 1e-3, 1e-3)


def test_both_forms_give_the_same_answers():
    F = factors()
    one, other = asked(conditioned(Factors, F)), asked(conditioned(Matrix, F @ F.mH))
    for name in one:
        torch.testing.assert_close(
            one[name], other[name], rtol=1e-9, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}"
        )
    torch.testing.assert_close(one["E"], effective(F @ F.mH, SNR_DB))
    whole = one["E"] + 1e-4 * torch.eye(ARRAY.n).double()
    for power, a, b in zip(one["inverse power"], points(), SAMPLE, strict=True):
        by_inverse = (a.mH @ torch.linalg.inv(whole[b]) @ a).diagonal().real
        torch.testing.assert_close(power, by_inverse, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["E", "trace", "energy", "outside", "inverse power"])
def test_both_forms_have_the_same_gradient(name):
    F = factors().requires_grad_()
    values = (asked(conditioned(Factors, F))[name], asked(conditioned(Matrix, F @ F.mH))[name])
    weight = torch.randn(values[0].shape, dtype=values[0].dtype, generator=torch.Generator().manual_seed(51))
    one, other = (torch.autograd.grad((value * weight.conj()).real.sum(), F)[0] for value in values)
    assert one.abs().max() > 0
    torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("form", [Factors, Matrix])
@pytest.mark.parametrize("name", ["E", "energy", "outside"])
def test_the_second_derivatives_are_those_of_differences(form, name):
    R = factors() if form is Factors else factors() @ factors().mH
    assert torch.autograd.gradgradcheck(
        lambda R: asked(conditioned(form, R))[name], (R.requires_grad_(),), fast_mode=True, atol=1e-4
    )


def test_in_single_precision_the_difference_from_the_truth_keeps_its_digits():
    """A difference of matrices, not of norms: 1e-10 of the label's energy is still there, and none is below 0."""
    F = factors(torch.complex64)
    T = conditioned(Factors, F.to(torch.complex128)).E
    for step in (1e-2, 1e-4):
        moved = F + step * factors(torch.complex64).flip(0)
        exact = nmse(conditioned(Factors, moved.to(torch.complex128)).E, T)
        found = nmse(conditioned(Factors, moved).E, T.to(torch.complex64))
        torch.testing.assert_close(found.double(), exact, rtol=2e-2, atol=0)
    assert (nmse(conditioned(Factors, F).E, T.to(torch.complex64)) < 1e-12).all()


def test_a_sample_that_is_not_a_number_stays_one_sample():
    for form in (Factors, Matrix):
        F = factors()
        F[3] = torch.nan
        D = conditioned(form, F if form is Factors else F @ F.mH).inverse_power(points(), SAMPLE, 1e-4)
        assert D[SAMPLE == 3].isnan().all() and D[SAMPLE != 3].isfinite().all()
        healthy = conditioned(form, factors() if form is Factors else factors() @ factors().mH)
        torch.testing.assert_close(D[:3], healthy.inverse_power(points(), SAMPLE, 1e-4)[:3])


def test_the_trace_norm_of_an_outer_product_is_that_of_its_matrix():
    F = factors()
    torch.testing.assert_close(trace_normed_outer(F), trace_norm(F @ F.mH))
    assert (trace_normed_outer(0 * F) == 0).all()
