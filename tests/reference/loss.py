"""The seven terms one sample at a time, as the formulas are written; differentiable, slow on purpose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference.scenes import Geometry, effective, eye, sample_scenes, shrink, steering, trace_norm

OFFSETS = (-0.1, -0.05, 0.0, 0.05, 0.1)  # rad
CENTRE = 12
TAU = 0.1
SMOOTHING = 0.05
ANGLE_WIDTH, RANGE_WIDTH = math.pi / 720, 0.2
THETA_WEIGHT = 1.5
DEFAULT_GEOMETRY = Geometry()


# the terms in the order of the sum, under the names of the product
TERMS = (
    "loss_nmse",
    "loss_nmse_pred",
    "loss_ortho",
    "loss_K",
    "aux_l2",
    "loss_subspace_align",
    "loss_peak_contrast",
)


@dataclass(frozen=True)
class Setup:
    """What the loss needs to know besides predictions and labels."""

    geometry: Geometry = DEFAULT_GEOMETRY
    k_max: int = 5
    load: float = 1e-3
    rho: float = 0.3
    alpha0: float = 1e-3
    range_floor: float = 0.45


DEFAULT = Setup()


def factor(flat: Tensor, k_max: int) -> Tensor:
    """[2 N K_max] interleaved -> complex [N, K_max]; Re A_nk stands at 2 (n K_max + k), Im A_nk one further."""
    return torch.complex(flat[0::2], flat[1::2]).reshape(-1, k_max)


def predicted_covariance(prediction: Mapping[str, Tensor], rho: float = 0.3, k_max: int = 5) -> Tensor:
    """R_pred = herm(A A^H + rho C C^H), [B, N, N]."""
    if "R_pred" in prediction:
        return prediction["R_pred"]
    matrices = []
    for angle, distance in zip(prediction["cov_fact_angle"], prediction["cov_fact_range"], strict=True):
        A, C = factor(angle, k_max), factor(distance, k_max)
        R = A @ A.conj().T + rho * (C @ C.conj().T)
        matrices.append((R + R.conj().T) / 2)
    return torch.stack(matrices)


def energy(R: Tensor) -> Tensor:
    """Squared Frobenius norm; smooth at 0."""
    return (R.real**2 + R.imag**2).sum()


def nmse(P: Tensor, T: Tensor) -> Tensor:
    return energy(P - T) / torch.clamp(energy(T), min=1e-12)


def ortho(A: Tensor, K: int) -> Tensor:
    """sum_ij m_i m_j |G_ij|^2 / K^2,  G = A^H A - I over the active columns."""
    A = A[:, :K]
    return energy(A.conj().T @ A - torch.eye(K, dtype=A.dtype)) / K**2


def source_count(k_logits: Tensor, K: int) -> Tensor:
    """omega CE; omega = 2 where the first largest logit names too few sources."""
    C = len(k_logits)
    p = k_logits - torch.logsumexp(k_logits, 0)
    values = k_logits.detach().tolist()
    guess = values.index(max(values)) if not any(math.isnan(v) for v in values) else 0
    omega = 2.0 if guess < K - 1 else 1.0
    return omega * (-(1 - SMOOTHING) * p[K - 1] - SMOOTHING / C * p.sum())


def wrap(e: Tensor) -> Tensor:
    return torch.remainder(e + math.pi, 2 * math.pi) - math.pi


def huber(e: Tensor, width: float) -> Tensor:
    return torch.where(e.abs() <= width, e**2 / (2 * width), e.abs() - width / 2)


def position_error(estimate: Tensor, truth: Tensor, K: int, floor: float) -> Tensor:
    """Sum over the active slots of one sample; estimate, truth: [3, K_max]."""
    (phi_hat, theta_hat, r_hat), (phi, theta, r) = estimate[:, :K], truth[:, :K]
    e_r = torch.log(torch.clamp(r_hat, min=floor)) - torch.log(torch.clamp(r, min=floor))
    return (
        huber(wrap(phi_hat - phi), ANGLE_WIDTH).sum()
        + THETA_WEIGHT * huber(wrap(theta_hat - theta), ANGLE_WIDTH).sum()
        + huber(e_r, RANGE_WIDTH).sum()
    )


def subspace_align(R: Tensor, A_g: Tensor) -> Tensor:
    """|Pi R Pi|^2 / (|R|^2 + 1e-12),  Pi = I - A_g (A_g^H A_g + 1e-4 I)^-1 A_g^H; A_g [N, K]."""
    gram = A_g.conj().T @ A_g
    Pi = eye(R) - A_g @ torch.linalg.solve(gram + 1e-4 * eye(gram), A_g.conj().T)
    return energy(Pi @ R @ Pi) / (energy(R) + 1e-12)


def peak_contrast(E: Tensor, geometry: Geometry, truth: Tensor, K: int) -> Tensor:
    """Sum over the active sources of one sample of -log softmax(-ln D / tau) at the centre of the 5 x 5 stencil."""
    E = E + 1e-4 * eye(E)
    points = [(dphi, dtheta) for dphi in OFFSETS for dtheta in OFFSETS]
    dphi, dtheta = truth.new_tensor(points).T
    total = E.real.new_zeros(())
    a = [steering(geometry, phi + dphi, theta + dtheta, r.expand(25)) for phi, theta, r in truth[:, :K].T]
    solved = torch.linalg.solve(E, torch.cat(a, dim=1)).split(25, dim=1)  # E^-1 a, 25 columns per source
    for a_k, solved_k in zip(a, solved, strict=True):
        D = torch.clamp((a_k.conj() * solved_k).sum(0).real, min=1e-12)  # [25]
        z = -torch.log(D) / TAU
        total = total - (z[CENTRE] - torch.logsumexp(z, 0))
    return total


def components(
    prediction: Mapping[str, Tensor], target: Mapping[str, Tensor], setup: Setup = DEFAULT
) -> dict[str, Tensor]:
    """The seven terms, unweighted."""
    geometry, k_max = setup.geometry, setup.k_max
    R_true = target["R_true"]
    R_true = R_true if R_true.is_complex() else torch.complex(R_true[..., 0], R_true[..., 1])
    R_pred = predicted_covariance(prediction, setup.rho, k_max)
    R_hat = prediction.get("R_blend", R_pred)
    counts = target["K"].tolist()
    sums = dict.fromkeys(TERMS, R_true.real.new_zeros(()))
    for b, K in enumerate(counts):
        snr_db = float(target["snr_db"][b]) if "snr_db" in target else None
        truth = target["ptr"][b].reshape(3, k_max)
        T = shrink(trace_norm(R_true[b]), snr_db, setup.alpha0)
        E_hat, E_pred = (effective(R[b], snr_db, setup.load, setup.alpha0) for R in (R_hat, R_pred))
        sample = (
            nmse(E_hat, T),
            nmse(E_pred, T),
            ortho(factor(prediction["cov_fact_angle"][b], k_max), K),
            source_count(prediction["k_logits"][b], K),
            position_error(prediction["phi_theta_r"][b].reshape(3, k_max), truth, K, setup.range_floor),
            subspace_align(R_hat[b], steering(geometry, *truth[:, :K])),
            peak_contrast(E_hat, geometry, truth, K),
        )
        sums = {name: sums[name] + value for name, value in zip(TERMS, sample, strict=True)}
    M = sum(counts) + 1e-9  # the position and the peak term are means over sources, the others over samples
    return {
        name: value / (M if name in ("aux_l2", "loss_peak_contrast") else len(counts)) for name, value in sums.items()
    }


def total(values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """sum lam_i L_i; ``weights`` by term name."""
    return sum(weights[name] * value for name, value in values.items())


def random_prediction(
    n: int, generator: torch.Generator, setup: Setup = DEFAULT, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Leaves that require grad, of the size a fresh network gives: Gaussian factors, angles of 0.3 rad, ranges of 1
    to 9 m.
    """
    k_max, N = setup.k_max, setup.geometry.n

    def gaussian(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    r = 1 + 8 * torch.rand(n, k_max, generator=generator, dtype=dtype)
    prediction = {
        "cov_fact_angle": gaussian(n, 2 * N * k_max),
        "cov_fact_range": gaussian(n, 2 * N * k_max),
        "k_logits": gaussian(n, k_max),
        "phi_theta_r": torch.cat([0.3 * gaussian(n, 2 * k_max), r], dim=1),
    }
    return {key: value.requires_grad_() for key, value in prediction.items()}


def random_target(
    n: int, generator: torch.Generator, setup: Setup = DEFAULT, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Labels of n scenes of generator G1."""
    scenes = sample_scenes(n, setup.geometry, generator, setup.k_max)
    R_true = scenes["R_true"].to(torch.promote_types(dtype, torch.complex32))
    return {"R_true": R_true, "ptr": scenes["ptr"].to(dtype), "K": scenes["K"], "snr_db": scenes["snr_db"].to(dtype)}
