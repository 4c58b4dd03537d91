"""Does the array stand where it should, and does a steering vector have the phase of the Fresnel path difference?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from tests.golden_data import golden, tensor
from tests.reference.scenes import Geometry, steering

SHAPES = [(12, 12), (4, 3), (3, 4), (1, 7), (5, 5), (1, 1)]


def directions(q: int, seed: int = 50, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(3, q, generator=generator, dtype=dtype)
    return (2 * u[0] - 1) * math.pi / 3, (2 * u[1] - 1) * math.pi / 6, 0.5 + 9.5 * u[2]


@pytest.mark.parametrize("double", [False, True])
def test_golden_steering(double: bool) -> None:
    a = PlanarArray().steering(*(tensor(f"steer/{key}", double) for key in ("phi", "theta", "r")))
    assert a.shape == (144, 24)
    np.testing.assert_allclose(a.T.numpy(), golden()["steer/a"], rtol=0, atol=1e-5)


def test_golden_positions() -> None:
    x, y, z = PlanarArray().positions.T
    np.testing.assert_allclose(x, golden()["steer/x"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(y, golden()["steer/y"], rtol=0, atol=1e-7)
    assert (z == 0).all()


def test_golden_helper_with_the_opposite_sign() -> None:
    """The original's second helper returns conj(a) exp(j k0 r): same geometry, other sign, common phase kept."""
    phi, theta, r = (tensor(f"steer/{key}", double=True) for key in ("phi", "theta", "r"))
    array = PlanarArray()
    expected = array.steering(phi, theta, r).conj() * torch.exp(1j * array.k0 * r)
    np.testing.assert_allclose(expected.T.numpy(), golden()["steer/a_loss_helper_asis"], rtol=0, atol=1e-5)


def test_defaults() -> None:
    array = PlanarArray()
    assert (array.n_h, array.n_v, array.n, array.wavelength) == (12, 12, 144, 0.3)
    assert array.k0 == pytest.approx(2 * math.pi / 0.3) == pytest.approx(20.94, abs=5e-3)
    positions = array.positions
    assert positions.shape == (144, 3) and positions.dtype == torch.float64
    # the grid spans -6..5: the centroid is not the origin, ranges refer to element (6, 6)
    torch.testing.assert_close(positions.mean(0), torch.tensor([-0.075, -0.075, 0.0]).double())
    assert (positions[6 * 12 + 6] == 0).all()
    torch.testing.assert_close(positions[1] - positions[0], torch.tensor([0.15, 0, 0]).double())  # columns run fastest
    torch.testing.assert_close(positions[12] - positions[0], torch.tensor([0, 0.15, 0]).double())


@pytest.mark.parametrize(("n_h", "n_v"), SHAPES)
def test_positions_and_steering_agree_with_the_reference(n_h: int, n_v: int) -> None:
    array, geometry = PlanarArray(n_h, n_v, wavelength=0.1), Geometry(n_h, n_v, wavelength=0.1)
    x, y = geometry.xy()
    torch.testing.assert_close(array.positions, torch.stack([x, y, torch.zeros_like(x)], dim=1))
    torch.testing.assert_close(array.steering(*directions(9)), steering(geometry, *directions(9)))


def test_spacing_is_in_metres_and_wavelength_only_sets_the_wavenumber() -> None:
    wide, narrow = PlanarArray(4, 3, wavelength=0.3, spacing=0.15), PlanarArray(4, 3, wavelength=0.1, spacing=0.15)
    torch.testing.assert_close(wide.positions, narrow.positions)
    torch.testing.assert_close(wide.positions, PlanarArray(4, 3).positions)
    assert narrow.k0 == pytest.approx(3 * wide.k0)
    phi, theta, r = directions(5)
    torch.testing.assert_close((12**0.5 * wide.steering(phi, theta, r)) ** 3, 12**0.5 * narrow.steering(phi, theta, r))


def test_shapes_and_broadcasting() -> None:
    array = PlanarArray(4, 3)
    phi, theta, r = directions(6)
    assert array.steering(phi[0], theta[0], r[0]).shape == (12,)
    assert array.steering(phi, theta, r).shape == (12, 6)
    batched = array.steering(phi.reshape(2, 3), theta.reshape(2, 3), r.reshape(2, 3))
    assert batched.shape == (2, 12, 3)
    flat = array.steering(phi, theta, r)
    torch.testing.assert_close(batched[1], flat[:, 3:])
    torch.testing.assert_close(array.steering(phi, theta[0], r[0])[:, 2], array.steering(phi[2], theta[0], r[0]))
    grid = array.steering(phi[:4, None], theta[None, :5], r[0])
    assert grid.shape == (4, 12, 5)
    torch.testing.assert_close(grid[3, :, 2], array.steering(phi[3], theta[2], r[0]))


@pytest.mark.parametrize(("real", "expected"), [(torch.float32, torch.complex64), (torch.float64, torch.complex128)])
def test_precision_follows_the_input(real: torch.dtype, expected: torch.dtype) -> None:
    a = PlanarArray().steering(*directions(4, dtype=real))
    assert a.dtype == expected


def test_unit_norm_and_equal_magnitudes() -> None:
    a = PlanarArray().steering(*directions(40))
    torch.testing.assert_close(torch.linalg.vector_norm(a, dim=0), torch.ones(40).double())
    torch.testing.assert_close(a.abs(), torch.full((144, 40), 1 / 12).double())


def test_the_reference_element_has_phase_zero() -> None:
    a = PlanarArray().steering(*directions(10))
    torch.testing.assert_close(a[6 * 12 + 6], torch.full((10,), 1 / 12, dtype=torch.complex128))


def test_single_precision_keeps_the_phase() -> None:
    """Evaluated without the difference of two large lengths: no 2e-5 rad lost at 10 m."""
    phi, theta, _ = directions(50)
    r = torch.full((50,), 10.0).double()
    exact = PlanarArray().steering(phi, theta, r)
    coarse = PlanarArray().steering(phi.float(), theta.float(), r.float())
    assert (exact - coarse.to(exact)).abs().max() * 12 < 1e-5


def test_far_field_limit() -> None:
    """r -> inf: a plane wave, and the distance to it falls as 1 / r."""
    array = PlanarArray()
    phi, theta, r = directions(20)
    x, y, _ = array.positions.T[..., None]
    plane = torch.exp(1j * array.k0 * (phi.sin() * theta.cos() * x + theta.sin() * y)) / 12
    torch.testing.assert_close(array.steering(phi, theta, torch.full_like(r, 1e12)), plane, rtol=0, atol=1e-10)
    torch.testing.assert_close(array.steering(phi, theta, torch.full_like(r, math.inf)), plane)
    distance = [(array.steering(phi, theta, torch.full_like(r, far)) - plane).norm().item() for far in (1e4, 1e5)]
    assert distance[0] / distance[1] == pytest.approx(10, rel=1e-3)


def test_near_field_curvature_has_a_minus_sign() -> None:
    """Broadside at r: a spherical front arrives late at the rim, phase -k0 (x^2 + y^2) / (2 r)."""
    array = PlanarArray()
    zero, r = torch.zeros(()).double(), torch.tensor(5.0).double()
    x, y, _ = array.positions.T
    late = torch.exp(-1j * array.k0 * (x**2 + y**2) / 10) / 12
    torch.testing.assert_close(array.steering(zero, zero, r), late)


def test_it_approximates_the_exact_path_difference() -> None:
    """Up to broadside third order: exact phase k0 (r - |p - x_n|) at 10 m within a few hundredths of a radian near
    broadside.
    """
    array = PlanarArray()
    phi, theta, r = torch.tensor(0.05).double(), torch.tensor(-0.03).double(), torch.tensor(10.0).double()
    source = r * torch.stack([phi.sin() * theta.cos(), theta.sin(), phi.cos() * theta.cos()])
    exact = torch.polar(
        torch.full((144,), 1 / 12).double(), array.k0 * (r - torch.linalg.vector_norm(source - array.positions, dim=1))
    )
    assert (torch.angle(array.steering(phi, theta, r) / exact)).abs().max() < 0.02


def test_zero_range_of_an_unused_slot_stays_finite() -> None:
    zero = torch.zeros(3)
    assert PlanarArray().steering(zero, zero, zero).isfinite().all()


def test_differentiable_in_its_inputs() -> None:
    inputs = [value.requires_grad_() for value in directions(2)]
    array = PlanarArray(3, 2)
    assert torch.autograd.gradcheck(lambda *p: torch.view_as_real(array.steering(*p)), inputs)


def test_the_array_is_frozen_and_compares_by_value() -> None:
    array = PlanarArray()
    with pytest.raises(dataclasses.FrozenInstanceError):
        array.n_h = 3
    assert array == PlanarArray(12, 12, 0.3) and array != PlanarArray(12, 11)
    assert hash(array) == hash(PlanarArray())


def test_positions_cannot_be_changed_from_outside() -> None:
    array = PlanarArray()
    array.positions.zero_()
    assert array.positions.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_h", 0),
        ("n_v", -3),
        ("n_h", 2.5),
        ("wavelength", 0.0),
        ("wavelength", math.nan),
        ("wavelength", -0.3),
        ("spacing", 0.0),
        ("spacing", math.inf),
    ],
)
def test_impossible_arrays_are_refused(name: str, value: float) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        PlanarArray(**{name: value})
    assert name in str(caught.value) and " should " in str(caught.value) and repr(value) in str(caught.value)
