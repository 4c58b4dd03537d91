"""Array, conditioning and scenes for ONE sample, as the formulas are written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PHI_MAX, THETA_MAX = math.pi / 3, math.pi / 6  # rad
R_MIN, R_MAX = 0.5, 10.0  # m
SNR_MIN, SNR_MAX = -5.0, 20.0  # dB


@dataclass(frozen=True)
class Geometry:
    """Columns, rows, wavelength in metres; half a wavelength between elements."""

    n_h: int = 12
    n_v: int = 12
    wavelength: float = 0.3

    @property
    def n(self) -> int:
        return self.n_h * self.n_v

    def xy(self) -> tuple[Tensor, Tensor]:
        """x_n, y_n in metres, float64 [N]; the column index runs fastest."""
        d = self.wavelength / 2
        x = [(h - self.n_h // 2) * d for _ in range(self.n_v) for h in range(self.n_h)]
        y = [(v - self.n_v // 2) * d for v in range(self.n_v) for _ in range(self.n_h)]
        return torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)


def steering(geometry: Geometry, phi: Tensor, theta: Tensor, r: Tensor) -> Tensor:
    """a_n = exp(j psi_n) / sqrt(N),  psi_n = k0 [u x_n + w y_n - (x_n^2 + y_n^2) / (2 max(r, 1e-6))].

    phi, theta, r: [Q] in rad, rad, m. Returns [N, Q], complex of the same precision.
    """
    x, y = (values.to(phi.dtype)[:, None] for values in geometry.xy())
    k0 = 2 * math.pi / geometry.wavelength
    u, w = torch.sin(phi) * torch.cos(theta), torch.sin(theta)
    psi = k0 * (u * x + w * y - (x**2 + y**2) / (2 * torch.clamp(r, min=1e-6)))
    return torch.complex(torch.cos(psi), torch.sin(psi)) / math.sqrt(geometry.n)


def trace(R: Tensor) -> Tensor:
    return torch.diagonal(R).real.sum()


def eye(R: Tensor) -> Tensor:
    return torch.eye(len(R), dtype=R.dtype)


def trace_norm(R: Tensor) -> Tensor:
    """TN(R) = herm(R) N / max(tr herm(R), 1e-9)."""
    H = (R + R.conj().T) / 2
    return H * (len(R) / torch.clamp(trace(H), min=1e-9))


def shrinkage_alpha(snr_db: float, alpha0: float = 1e-3) -> float:
    """alpha = clamp(alpha0 10^(-SNR / 20), 1e-4, 5e-2)."""
    return min(max(alpha0 * 10 ** (-snr_db / 20), 1e-4), 5e-2)


def shrink(R: Tensor, snr_db: float | None, alpha0: float = 1e-3) -> Tensor:
    """(1 - alpha) R + alpha mu I,  mu = max(tr R, 1e-9) / N; nothing without an SNR."""
    if snr_db is None:
        return R
    alpha = shrinkage_alpha(snr_db, alpha0)
    mu = torch.clamp(trace(R), min=1e-9) / len(R)
    return (1 - alpha) * R + alpha * mu * eye(R)


def load(R: Tensor, delta: float) -> Tensor:
    """R for delta = 0, else TN(R + delta I)."""
    return R if delta == 0 else trace_norm(R + delta * eye(R))


def effective(R: Tensor, snr_db: float | None, delta: float = 1e-3, alpha0: float = 1e-3) -> Tensor:
    """shrink(load(TN(R), delta), SNR)."""
    return shrink(load(trace_norm(R), delta), snr_db, alpha0)


def blend(R_pred: Tensor, R_samp: Tensor | None, beta: float) -> Tensor:
    """TN((1 - beta) TN(R_pred) + beta TN(sg(R_samp))); TN(R_pred) without a sample or with beta = 0."""
    if R_samp is None or beta <= 0:
        return trace_norm(R_pred)
    return trace_norm((1 - beta) * trace_norm(R_pred) + beta * trace_norm(R_samp.detach()))


@dataclass(frozen=True)
class Scene:
    """R_samp, R_true [N, N]; ptr [3 K_max] (phi | theta | r, unused slots 0); K; snr_db."""

    R_samp: Tensor
    R_true: Tensor
    ptr: Tensor
    K: int
    snr_db: float


def complex_normal(*shape: int, generator: torch.Generator) -> Tensor:
    """CN(0, 1): variance one half per real part, complex64."""
    parts = [torch.randn(*shape, generator=generator) for _ in range(2)]
    return torch.complex(*parts) / math.sqrt(2)


def uniform(low: float, high: float, n: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def sample_scene(geometry: Geometry, generator: torch.Generator, k_max: int = 5, snapshots: int = 16) -> Scene:
    """X = A diag(g) S,  Y = X + sigma V,  R_true = TN(A diag(g^2) A^H),  R_samp = TN(Y Y^H / L)."""
    K = int(torch.randint(1, k_max + 1, (), generator=generator))
    phi = uniform(-PHI_MAX, PHI_MAX, K, generator)
    theta = uniform(-THETA_MAX, THETA_MAX, K, generator)
    r = uniform(R_MIN, R_MAX, K, generator)
    snr_db = float(uniform(SNR_MIN, SNR_MAX, 1, generator))

    A = steering(geometry, phi, theta, r)  # [N, K]
    g = geometry.wavelength / (4 * math.pi * r)  # [K]
    S = complex_normal(K, snapshots, generator=generator)
    X = (A * g) @ S  # [N, L]
    P_sig = float((X.abs() ** 2).mean())
    sigma = math.sqrt(max(P_sig / 10 ** (snr_db / 10), 1e-12))
    Y = X + sigma * complex_normal(geometry.n, snapshots, generator=generator)

    ptr = torch.zeros(3, k_max)
    for row, values in enumerate((phi, theta, r)):
        ptr[row, :K] = values
    return Scene(
        R_samp=trace_norm(Y @ Y.conj().T / snapshots),
        R_true=trace_norm((A * g**2) @ A.conj().T),
        ptr=ptr.reshape(-1),
        K=K,
        snr_db=snr_db,
    )


def sample_scenes(n: int, geometry: Geometry, generator: torch.Generator, k_max: int = 5) -> dict[str, Tensor]:
    """n scenes, one after the other, stacked."""
    scenes = [sample_scene(geometry, generator, k_max) for _ in range(n)]
    return {
        "R_samp": torch.stack([scene.R_samp for scene in scenes]),
        "R_true": torch.stack([scene.R_true for scene in scenes]),
        "ptr": torch.stack([scene.ptr for scene in scenes]),
        "K": torch.tensor([scene.K for scene in scenes]),
        "snr_db": torch.tensor([scene.snr_db for scene in scenes]),
    }


def surface_codes(geometry: Geometry, snapshots: int = 16) -> Tensor:
    """Codes [L, N]: beam 4 l, phase 2 pi / 12 (i (h - 5.5) + j (v - 5.5)) rounded to multiples of pi / 4."""
    rows = []
    for snapshot in range(snapshots):
        beam = 4 * snapshot
        i, j = beam % 8, beam // 8
        row = []
        for v in range(geometry.n_v):
            for h in range(geometry.n_h):
                phase = 2 * math.pi / 12 * (i * (h - 5.5) + j * (v - 5.5))
                phase = round(phase / (math.pi / 4)) * math.pi / 4
                row.append(complex(math.cos(phase), math.sin(phase)))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.complex128)


def surface_sample_covariance(y: Tensor, H: Tensor, codes: Tensor) -> Tensor:
    """x_l = (Phi^H Phi + eta I)^-1 Phi^H y_l, their sample covariance about the mean, TN. y [L, M], H [M, N], codes
    [L, N].
    """
    snapshots, n = codes.shape
    estimates = []
    for y_l, code in zip(y, codes, strict=True):
        Phi = H * code
        gram = Phi.conj().T @ Phi
        eta = 1e-3 * trace(gram) / n
        estimates.append(torch.linalg.solve(gram + eta * eye(gram), Phi.conj().T @ y_l))
    mean = sum(estimates) / snapshots
    return trace_norm(sum(torch.outer(x - mean, (x - mean).conj()) for x in estimates) / (snapshots - 1))
