"""Do operators and samplers follow their formulas, the golden numbers and their statistical laws?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.array import PlanarArray
from kit.covariance import (
    Batch,
    CovarianceSampler,
    blend,
    effective,
    herm,
    load,
    shrink,
    shrinkage_alpha,
    split_generators,
    surface_codes,
    surface_sample_covariance,
    trace_norm,
)
from tests.golden_data import golden, tensor
from tests.reference import scenes as reference

SNR_DB = torch.tensor([-5.0, 0.0, 10.0, 20.0]).double()
PRECISIONS = pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
SCHEMES = pytest.mark.parametrize("scheme", ["snapshots", "surface"])


def trace(R: Tensor) -> Tensor:
    return R.diagonal(dim1=-2, dim2=-1).real.sum(-1)


def matrices(batch: int = 4, n: int = 6, seed: int = 60) -> Tensor:
    """General complex matrices with a positive trace."""
    generator = torch.Generator().manual_seed(seed)
    Z = torch.randn(batch, n, n, generator=generator, dtype=torch.complex128)
    return Z @ Z.mH + 0.3 * torch.randn(batch, n, n, generator=generator, dtype=torch.complex128)


def draw(n: int = 16, seed: int = 61, **options: object) -> Batch:
    array = options.pop("array", PlanarArray())
    return CovarianceSampler(array, **options).sample(n, generator=torch.Generator().manual_seed(seed))


def true_steering(array: PlanarArray, batch: Batch, k_max: int = 5) -> Tensor:
    """[B, N, K_max], zero columns in unused slots."""
    A = array.steering(*batch.ptr.reshape(len(batch), 3, k_max).unbind(1))
    return A * (torch.arange(k_max) < batch.K[:, None])[:, None, :]


def outside(array: PlanarArray, batch: Batch, R: Tensor) -> Tensor:
    """Share of the trace of R [B, N, N] outside the true signal subspace, in double precision."""
    A = true_steering(array, batch.to(torch.complex128))
    U, S, _ = torch.linalg.svd(A, full_matrices=False)
    U = U * (S > 1e-9)[:, None, :]
    inside = torch.einsum("bnk,bnm,bmk->b", U.conj(), R.to(torch.complex128), U).real
    return 1 - inside / trace(R).double()


def assert_covariance(R: Tensor) -> None:
    """Hermitian, positive semi-definite, trace N."""
    N = R.shape[-1]
    slack = 1e-4 if R.dtype == torch.complex64 else 1e-9
    torch.testing.assert_close(R, R.mH)
    torch.testing.assert_close(trace(R), torch.full((len(R),), float(N)).to(R.real.dtype))
    assert torch.linalg.eigvalsh(R).min() > -slack * N


# operators


def test_herm() -> None:
    R = matrices()
    torch.testing.assert_close(herm(R), (R + R.conj().transpose(-1, -2)) / 2)
    torch.testing.assert_close(herm(herm(R)), herm(R))
    S = herm(R)
    torch.testing.assert_close(herm(S), S)


def test_trace_norm_sets_the_trace_to_N_and_nothing_else() -> None:
    R = matrices()
    normed = trace_norm(R)
    torch.testing.assert_close(trace(normed), torch.full((4,), 6.0).double())
    torch.testing.assert_close(normed, herm(R) * (6 / trace(R))[:, None, None])
    torch.testing.assert_close(trace_norm(normed), normed)
    torch.testing.assert_close(trace_norm(7.3 * R), normed)


def test_trace_norm_of_zero_is_zero_and_of_almost_zero_is_clamped() -> None:
    zero = torch.zeros(2, 6, 6, dtype=torch.complex128)
    assert (trace_norm(zero) == 0).all()
    tiny = 1e-11 * torch.eye(6, dtype=torch.complex128)[None]  # trace 6e-11 < 1e-9
    torch.testing.assert_close(trace_norm(tiny), tiny * 6e9)


@pytest.mark.parametrize(("alpha0", "key"), [(1e-3, "eff/alpha_base_0.001"), (0.15, "eff/alpha_base_0.15")])
@PRECISIONS
def test_golden_shrinkage_coefficient(alpha0: float, key: str, double: bool) -> None:
    found = shrinkage_alpha(tensor("eff/alpha_db", double), alpha0)
    np.testing.assert_allclose(found.numpy(), golden()[key], rtol=1e-5)


def test_shrinkage_coefficient_has_a_floor_and_a_ceiling() -> None:
    alpha = shrinkage_alpha(torch.tensor([-100.0, -5.0, 0.0, 10.0, 20.0, 100.0]).double())
    torch.testing.assert_close(
        alpha, torch.tensor([5e-2, 1.7783e-3, 1e-3, 3.1623e-4, 1e-4, 1e-4]).double(), rtol=1e-4, atol=0
    )


def test_shrink_keeps_the_trace_and_mixes_with_the_mean_power() -> None:
    R = matrices()
    shrunk = shrink(R, SNR_DB)
    torch.testing.assert_close(trace(shrunk), trace(R))
    alpha = shrinkage_alpha(SNR_DB)[:, None, None]
    eye = torch.eye(6, dtype=torch.complex128)
    torch.testing.assert_close(shrunk, (1 - alpha) * R + alpha * (trace(R) / 6)[:, None, None] * eye)
    torch.testing.assert_close(shrink(R, None), R)


def test_load() -> None:
    R = matrices()
    torch.testing.assert_close(load(R, 0), R)
    eye = torch.eye(6, dtype=torch.complex128)
    torch.testing.assert_close(load(R, 0.5), trace_norm(R + 0.5 * eye))
    torch.testing.assert_close(trace(load(R, 0.5)), torch.full((4,), 6.0).double())


@pytest.mark.parametrize("snr_db", [None, SNR_DB])
@pytest.mark.parametrize("scale", [0.0, 1e-12, 1.0, 1e6])
@pytest.mark.parametrize("delta", [0.0, 1e-3, 1.0])
def test_effective_in_one_pass_is_its_steps_one_after_the_other(
    delta: float, scale: float, snr_db: Tensor | None
) -> None:
    R = scale * matrices()
    one, steps = effective(R, snr_db, delta), shrink(load(trace_norm(R), delta), snr_db)
    torch.testing.assert_close(one, steps, rtol=1e-12, atol=1e-12)
    assert torch.equal(one, one.mH)


def test_conditioning_has_the_gradients_of_differences_twice() -> None:
    R = matrices().requires_grad_()
    checks = (trace_norm, lambda R: effective(R, SNR_DB, 0.1))
    for function in checks:
        assert torch.autograd.gradcheck(function, (R,), fast_mode=True)
        assert torch.autograd.gradgradcheck(function, (R,), fast_mode=True)


@pytest.mark.parametrize("delta", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("alpha0", [1e-3, 0.15])
def test_operators_agree_with_the_reference(delta: float, alpha0: float) -> None:
    R, S = matrices(), matrices(seed=62)
    for b in range(4):
        snr_db = SNR_DB[b].item()
        torch.testing.assert_close(
            effective(R, SNR_DB, delta, alpha0)[b], reference.effective(R[b], snr_db, delta, alpha0)
        )
        torch.testing.assert_close(effective(R, None, delta, alpha0)[b], reference.effective(R[b], None, delta, alpha0))
        for beta in (0.0, 0.3, 0.9):
            torch.testing.assert_close(blend(R, S, beta)[b], reference.blend(R[b], S[b], beta))
    torch.testing.assert_close(effective(R, SNR_DB), effective(R, SNR_DB, 1e-3, 1e-3))


def test_effective_is_positive_definite_and_scale_free() -> None:
    R = trace_norm(matrices() @ matrices().mH)
    R[0] = torch.diag(torch.tensor([1.0, 0, 0, 0, 0, 0]))  # rank 1
    E = effective(R, SNR_DB)
    assert_covariance(E)
    assert torch.linalg.eigvalsh(E).min() > 1e-4
    torch.testing.assert_close(effective(1e4 * R, SNR_DB), E)


def test_effective_of_zero_is_the_identity() -> None:
    zero = torch.zeros(4, 6, 6, dtype=torch.complex128)
    torch.testing.assert_close(effective(zero, SNR_DB), torch.eye(6, dtype=torch.complex128).expand(4, -1, -1))
    assert effective(zero, SNR_DB, 0.0).abs().max() < 1e-12


@PRECISIONS
def test_golden_rows_after_conditioning(double: bool) -> None:
    snr_db, R_true, R_blend = (tensor(f"in/{key}", double) for key in ("snr_db", "R_true", "R_blend"))
    found = {
        "eff/R_true_shrunk_row0": shrink(trace_norm(R_true), snr_db),
        "eff/R_blend_eff_row0_load1": effective(R_blend, snr_db, 1.0),
        "eff/R_blend_eff_row0_load1e-3": effective(R_blend, snr_db, 1e-3),
    }
    for key, R in found.items():
        np.testing.assert_allclose(R[:, 0].numpy(), golden()[key], rtol=1e-4, atol=2e-6, err_msg=key)


def test_golden_blend() -> None:
    """The stored blend was made with the range factor 0.1."""
    A, C = (
        torch.view_as_complex(tensor(f"in/{key}").reshape(6, 144, 5, 2)) for key in ("cov_fact_angle", "cov_fact_range")
    )
    found = blend(A @ A.mH + 0.1 * C @ C.mH, tensor("in/R_samp"), 0.3)
    np.testing.assert_allclose(found.numpy(), golden()["in/R_blend"], rtol=1e-4, atol=1e-5)


def test_blend_without_a_sample_or_share_is_the_prediction() -> None:
    R, S = matrices(), matrices(seed=62)
    for found in (blend(R, S, 0.0), blend(R, None, 0.3), blend(R, None, 0.0)):
        torch.testing.assert_close(found, trace_norm(R))


def test_blend_passes_one_minus_beta_of_the_gradient_and_none_to_the_sample() -> None:
    """For trace-normed parts the outer TN changes nothing, so along trace-free directions d blend = (1 - beta) d R."""
    R, S = trace_norm(matrices()).requires_grad_(), matrices(seed=62).requires_grad_()
    D = herm(matrices(seed=63))
    D = D - (trace(D) / 6)[:, None, None] * torch.eye(6)

    def slope(beta: float) -> Tensor:
        value = (blend(R, S, beta).conj() * D).real.sum()
        gradient, to_sample = torch.autograd.grad(value, (R, S), allow_unused=True)
        assert to_sample is None or (to_sample == 0).all()
        return (gradient.conj() * D).real.sum()

    whole = (D.abs() ** 2).sum()
    for beta in (0.1, 0.3, 0.9):
        assert slope(beta).item() == pytest.approx((1 - beta) * whole.item(), rel=1e-6)


@pytest.mark.parametrize("beta", [-0.1, 1.5, math.nan])
def test_blend_refuses_an_impossible_share(beta: float) -> None:
    with pytest.raises(ValueError, match="beta should .*Found"):
        blend(matrices(), matrices(), beta)


def test_operators_keep_the_precision() -> None:
    R = matrices().to(torch.complex64)
    for found in (
        herm(R),
        trace_norm(R),
        shrink(R, SNR_DB.float()),
        load(R, 0.1),
        effective(R, SNR_DB.float()),
        blend(R, R, 0.3),
    ):
        assert found.dtype == torch.complex64


# samplers: what a batch is


@SCHEMES
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_shapes_and_types(scheme: str, dtype: torch.dtype) -> None:
    real = torch.float32 if dtype == torch.complex64 else torch.float64
    batch = draw(7, scheme=scheme, dtype=dtype)
    assert len(batch) == 7
    assert batch.R_samp.shape == batch.R_true.shape == (7, 144, 144)
    assert batch.R_samp.dtype == batch.R_true.dtype == dtype
    assert batch.ptr.shape == (7, 15) and batch.ptr.dtype == real
    assert batch.K.shape == (7,) and batch.K.dtype == torch.int64
    assert batch.snr_db.shape == (7,) and batch.snr_db.dtype == real
    assert not any(getattr(batch, field.name).requires_grad for field in dataclasses.fields(batch))
    assert batch.inputs is batch.R_samp
    assert set(batch.target) == {"R_true", "ptr", "K", "snr_db"}
    assert batch.target["R_true"] is batch.R_true


@SCHEMES
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_covariances_are_hermitian_positive_and_have_trace_N(scheme: str, dtype: torch.dtype) -> None:
    batch = draw(12, scheme=scheme, dtype=dtype)
    assert_covariance(batch.R_samp)
    assert_covariance(batch.R_true)


@SCHEMES
def test_ranks(scheme: str) -> None:
    """R_true has rank K; R_samp at most the number of snapshots (less one where their mean is removed)."""
    batch = draw(12, scheme=scheme, dtype=torch.complex128)
    for R_true, R_samp, K in zip(batch.R_true, batch.R_samp, batch.K.tolist(), strict=True):
        true = torch.linalg.eigvalsh(R_true).flip(0) / 144
        samp = torch.linalg.eigvalsh(R_samp).flip(0) / 144
        assert (true[K:] < 1e-10).all() and true[K - 1] > 1e-10
        limit = 16 if scheme == "snapshots" else 15
        assert (samp[limit:].abs() < 1e-10).all() and samp[limit - 1] > 1e-6


@SCHEMES
def test_positions_lie_in_their_ranges_and_unused_slots_are_zero(scheme: str) -> None:
    batch = draw(400, scheme=scheme, array=PlanarArray(3, 2))
    phi, theta, r = batch.ptr.reshape(400, 3, 5).unbind(1)
    active = torch.arange(5) < batch.K[:, None]
    for value in (phi, theta, r):
        assert (value[~active] == 0).all()
        assert (value[active] != 0).all()
    assert phi[active].abs().max() <= math.pi / 3 + 1e-6
    assert theta[active].abs().max() <= math.pi / 6 + 1e-6
    assert 0.5 - 1e-6 <= r[active].min() and r[active].max() <= 10 + 1e-6
    assert -5 <= batch.snr_db.min() and batch.snr_db.max() <= 20
    assert set(batch.K.tolist()) == {1, 2, 3, 4, 5}


def test_draws_are_uniform_on_their_ranges() -> None:
    """Kolmogorov distance below 2 / sqrt(n) (a false alarm once in 1500 seeds; the seed is fixed), K by counts."""
    n = 4000
    batch = draw(n, array=PlanarArray(2, 1), snapshots=2)
    phi, theta, r = batch.ptr.reshape(n, 3, 5).unbind(1)
    active = torch.arange(5) < batch.K[:, None]
    drawn = {
        "phi": (phi[active], -math.pi / 3, math.pi / 3),
        "theta": (theta[active], -math.pi / 6, math.pi / 6),
        "r": (r[active], 0.5, 10.0),
        "snr": (batch.snr_db, -5.0, 20.0),
    }
    for name, (value, low, high) in drawn.items():
        u = ((value.double() - low) / (high - low)).sort().values
        ideal = (torch.arange(len(u)) + 0.5) / len(u)
        assert (u - ideal).abs().max() < 2 / math.sqrt(len(u)), name
    counts = torch.bincount(batch.K, minlength=6)[1:]
    assert (counts - n / 5).abs().max() < 4 * math.sqrt(n * 0.2 * 0.8)


def test_slots_are_independent() -> None:
    batch = draw(3000, array=PlanarArray(2, 1), snapshots=2, k_max=2)
    both = batch.ptr[batch.K == 2]
    correlation = torch.corrcoef(both.T)
    assert (correlation - torch.eye(6)).abs().max() < 5 / math.sqrt(len(both))


def test_R_true_follows_from_the_labels() -> None:
    """TN(A diag(g^2) A^H) with g = wavelength / (4 pi r)."""
    batch = draw(10, dtype=torch.complex128)
    geometry = reference.Geometry()
    for R_true, ptr, K in zip(batch.R_true, batch.ptr, batch.K.tolist(), strict=True):
        phi, theta, r = ptr.reshape(3, 5)[:, :K]
        A, g = reference.steering(geometry, phi, theta, r), 0.3 / (4 * math.pi * r)
        torch.testing.assert_close(R_true, reference.trace_norm((A * g**2) @ A.conj().T))


def test_noise_follows_the_snr() -> None:
    """Per sample: noise outside the signal subspace is sigma^2 (N - K) of N (P_sig + sigma^2), sigma^2 = P_sig /
    10^(SNR/10).
    """
    array = PlanarArray()
    batch = draw(120)
    snr = 10 ** (batch.snr_db.double() / 10)
    found = outside(array, batch, batch.R_samp) * 144 / (144 - batch.K)
    ratio = found * (1 + snr)
    assert (ratio - 1).abs().max() < 0.25  # 144 * 16 noise entries, and the cross term
    assert ratio.mean().item() == pytest.approx(1, abs=0.01)


def test_many_snapshots_converge_to_signal_plus_noise() -> None:
    """E R_samp = (SNR R_true + I) / (SNR + 1): symbols of unit power, independent over sources and snapshots, white
    noise.
    """
    batch = draw(12, array=PlanarArray(3, 2), snapshots=20000)
    snr = 10 ** (batch.snr_db / 10)[:, None, None]
    expected = (snr * batch.R_true + torch.eye(6)) / (snr + 1)
    error = torch.linalg.matrix_norm(batch.R_samp - expected) / torch.linalg.matrix_norm(expected)
    assert error.max() < 0.05


def test_same_law_as_the_reference_generator() -> None:
    """Mean and spread of quantities that depend on everything: NMSE(R_samp, R_true), its rank-one share, and the
    peak of R_true.
    """
    geometry, array = reference.Geometry(4, 4), PlanarArray(4, 4)
    n = 800
    ours = draw(n, array=array)
    theirs = reference.sample_scenes(n, geometry, torch.Generator().manual_seed(64))

    def statistics(R_samp: Tensor, R_true: Tensor) -> Tensor:
        energy = torch.linalg.matrix_norm(R_true) ** 2
        nmse = torch.linalg.matrix_norm(R_samp - R_true) ** 2 / energy
        top = torch.linalg.eigvalsh(R_samp)[:, -1] / 16
        return torch.stack([nmse, top, energy / 256])

    one, two = statistics(ours.R_samp, ours.R_true), statistics(theirs["R_samp"], theirs["R_true"])
    spread = torch.sqrt((one.var(1) + two.var(1)) / n)
    assert ((one.mean(1) - two.mean(1)).abs() < 4 * spread).all()
    assert (one.std(1) / two.std(1) - 1).abs().max() < 0.2


# samplers: streams


def parts(batch: Batch) -> list[Tensor]:
    return [getattr(batch, field.name) for field in dataclasses.fields(batch)]


@SCHEMES
def test_the_same_generator_state_gives_the_same_batch(scheme: str) -> None:
    array = PlanarArray(4, 3)
    for one, two in zip(
        parts(draw(6, scheme=scheme, array=array)), parts(draw(6, scheme=scheme, array=array)), strict=True
    ):
        assert torch.equal(one, two)


@SCHEMES
def test_a_generator_moves_on_and_the_global_random_state_does_not(scheme: str) -> None:
    sampler = CovarianceSampler(PlanarArray(4, 3), scheme=scheme)
    generator = torch.Generator().manual_seed(65)
    before = torch.get_rng_state()
    first, second = sampler.sample(6, generator=generator), sampler.sample(6, generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.isin(first.snr_db, second.snr_db).any()
    torch.manual_seed(1)
    again = sampler.sample(6, generator=torch.Generator().manual_seed(65))
    assert torch.equal(again.R_samp, first.R_samp)


def test_split_generators_are_reproducible_and_have_the_three_names() -> None:
    one, two = split_generators(3), split_generators(3)
    assert set(one) == {"train", "validation", "test"}
    for name in one:
        assert isinstance(one[name], torch.Generator)
        assert torch.equal(torch.rand(50, generator=one[name]), torch.rand(50, generator=two[name]))


def test_streams_are_disjoint_across_splits_and_seeds() -> None:
    """No scene of one stream is a scene of another, also with a shift: seeds 0, 123, 456 are where the original's
    repeat.
    """
    sampler = CovarianceSampler(PlanarArray(2, 1), snapshots=2, dtype=torch.complex128)
    first_angle = torch.cat(
        [
            sampler.sample(600, generator=generator).ptr[:, 0]
            for seed in (0, 1, 2, 3, 123, 456)
            for generator in split_generators(seed).values()
        ]
    )
    assert len(first_angle.unique()) == 18 * 600


@pytest.mark.parametrize("seed", [-1, 1.5, "3", None])
def test_seeds_that_are_no_seeds(seed: object) -> None:
    with pytest.raises((ValueError, TypeError), match="seed should .*Found"):
        split_generators(seed)


# samplers: options and refusals


@pytest.mark.parametrize("k_max", [1, 2, 7])
def test_k_max(k_max: int) -> None:
    batch = draw(200, array=PlanarArray(3, 3), k_max=k_max)
    assert batch.ptr.shape == (200, 3 * k_max)
    assert set(batch.K.tolist()) == set(range(1, k_max + 1))


def test_snapshots() -> None:
    batch = draw(4, array=PlanarArray(6, 6), snapshots=3, dtype=torch.complex128)
    assert (torch.linalg.eigvalsh(batch.R_samp)[:, :-3].abs() < 1e-9).all()


@pytest.mark.parametrize(
    ("name", "value"), [("scheme", "snapshot"), ("k_max", 0), ("snapshots", 0), ("dtype", torch.float32)]
)
def test_impossible_samplers_are_refused(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{name} should .*Found"):
        CovarianceSampler(PlanarArray(3, 2), **{name: value}).sample(2, generator=torch.Generator())


@pytest.mark.parametrize("n", [0, -1, 2.0])
def test_impossible_sizes_are_refused(n: int) -> None:
    with pytest.raises((ValueError, TypeError), match="n should .*Found"):
        CovarianceSampler(PlanarArray(3, 2)).sample(n, generator=torch.Generator())


def test_a_seed_is_not_a_generator() -> None:
    with pytest.raises(TypeError, match="generator should .*Found"):
        CovarianceSampler(PlanarArray(3, 2)).sample(2, generator=0)


def test_indexing_and_conversion_of_a_batch() -> None:
    batch = draw(8, array=PlanarArray(3, 2))
    part = batch[2:5]
    assert isinstance(part, Batch) and len(part) == 3
    assert all(torch.equal(p, whole[2:5]) for p, whole in zip(parts(part), parts(batch), strict=True))
    chosen = batch[torch.tensor([7, 0])]
    assert torch.equal(chosen.K, batch.K[[7, 0]]) and torch.equal(chosen.R_true[0], batch.R_true[7])
    double = batch.to(torch.complex128)
    assert double.R_samp.dtype == double.R_true.dtype == torch.complex128
    assert double.ptr.dtype == double.snr_db.dtype == torch.float64 and double.K.dtype == torch.int64
    torch.testing.assert_close(double.R_samp.to(torch.complex64), batch.R_samp)
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.K = batch.K


# generator G2


def test_golden_codes() -> None:
    codes = surface_codes(PlanarArray())
    assert codes.shape == (16, 144) and codes.is_complex()
    np.testing.assert_allclose(codes.numpy(), golden()["gen/codes"], rtol=0, atol=1e-5)
    torch.testing.assert_close(codes, reference.surface_codes(reference.Geometry()).to(codes.dtype))
    steps = torch.angle(codes) / (math.pi / 4)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
    assert surface_codes(PlanarArray(), snapshots=4).shape == (4, 144)


@PRECISIONS
def test_golden_surface_sample_covariance(double: bool) -> None:
    y, H, codes = (tensor(f"gen/{key}", double) for key in ("y", "H", "codes"))
    found = surface_sample_covariance(y[None], H[None], codes[None])[0]
    expected = tensor("gen/R_samp", double=True)
    assert found.shape == (144, 144)
    # the normalisation of the original adds 1e-9 to a trace of about that size: TN first, on both
    difference = torch.linalg.matrix_norm(found.to(expected) - trace_norm(expected))
    assert difference < 1e-5 * torch.linalg.matrix_norm(expected)


def test_surface_sample_covariance_agrees_with_the_reference_batched() -> None:
    y, H, codes = (tensor(f"gen/{key}", double=True) for key in ("y", "H", "codes"))
    other_y, other_H = y.flip(0) * 2.0, H.flip(1)
    found = surface_sample_covariance(torch.stack([y, other_y]), torch.stack([H, other_H]), torch.stack([codes, codes]))
    torch.testing.assert_close(found[0], reference.surface_sample_covariance(y, H, codes), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(
        found[1], reference.surface_sample_covariance(other_y, other_H, codes), rtol=1e-6, atol=1e-8
    )


def test_golden_scene_is_explained_by_its_labels() -> None:
    """R_true lies in the span of the true steering vectors, and y = H diag(code) A s + noise of one tenth of the
    power (10 dB).
    """
    phi, theta, r = (tensor(f"gen/{key}", double=True)[:3] for key in ("phi", "theta", "r"))
    A = PlanarArray().steering(phi, theta, r)
    R_true = trace_norm(tensor("gen/R_true", double=True))
    Q, _ = torch.linalg.qr(A)
    assert torch.linalg.matrix_norm(R_true - Q @ Q.mH @ R_true) < 1e-5 * torch.linalg.matrix_norm(R_true)
    y, H, codes = (tensor(f"gen/{key}", double=True) for key in ("y", "H", "codes"))
    seen = torch.cat([(H * code) @ A for code in codes])  # [16 * 16, 3]
    s = torch.linalg.lstsq(seen, y.reshape(-1, 1)).solution
    clean = seen @ s
    noise = y.reshape(-1, 1) - clean
    assert (clean.abs() ** 2).mean().item() / (noise.abs() ** 2).mean().item() == pytest.approx(10, rel=0.2)
    # the same s makes R_true: one symbol vector for all snapshots
    again = trace_norm((A * s[:, 0].abs() ** 2) @ A.mH)
    assert torch.linalg.matrix_norm(again - R_true) < 0.05 * torch.linalg.matrix_norm(R_true)


def test_the_surface_loses_the_signal() -> None:
    """Known weakness: with constant symbols the mean over snapshots is the signal; what is left of it is near
    chance, K / N.
    """
    batch = draw(64, scheme="surface")
    share = 1 - outside(PlanarArray(), batch, batch.R_samp)
    assert share.median().item() == pytest.approx(0.023, abs=0.012)
    energy = torch.linalg.matrix_norm(batch.R_true) ** 2
    nmse = torch.linalg.matrix_norm(batch.R_samp - batch.R_true) ** 2 / energy
    assert nmse.median().item() == pytest.approx(1.09, abs=0.06)
    plain = draw(64)
    assert (1 - outside(PlanarArray(), plain, plain.R_samp)).median() > 0.5


def test_surface_powers_are_random_symbol_powers() -> None:
    """R_true = TN(A_g diag(|s|^2) A_g^H): inside the span of the labels, but with powers that the ranges alone do
    not give.
    """
    array = PlanarArray()
    batch = draw(40, scheme="surface", dtype=torch.complex128)
    assert outside(array, batch, batch.R_true).abs().max() < 1e-9
    two = batch[batch.K == 2]
    A = true_steering(array, two)[:, :, :2]
    g2 = two.ptr[:, 10:12] ** -2.0
    powers = torch.linalg.pinv(A) @ two.R_true @ torch.linalg.pinv(A).mH
    s2 = powers.diagonal(dim1=-2, dim2=-1).real / g2
    assert (powers - torch.diag_embed(powers.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-6 * 144
    assert (s2 > 0).all() and ((s2[:, 0] / s2[:, 1]).log().abs() > 0.05).float().mean() > 0.7


def test_a_sampler_needs_an_array():
    with pytest.raises(TypeError, match="array should be a PlanarArray. Found array = 'x'"):
        CovarianceSampler("x")
