"""The golden numbers and the scenarios they were measured on (see golden/README.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from tests.reference.loss import TERMS, predicted_covariance  # noqa: F401  the tests read TERMS from here
from tests.reference.scenes import blend

PATH = Path(__file__).parent / "golden" / "ultimate_hybrid_loss.npz"

LAMBDAS = (
    "lam_cov",
    "lam_cov_pred",
    "lam_ortho",
    "lam_K",
    "lam_aux",
    "lam_subspace_align",
    "lam_peak_contrast",
)
# columns of every gradient array; those of a components array are TERMS
GRAD_KEYS = ("cov_fact_angle", "cov_fact_range", "k_logits", "phi_theta_r", "R_blend")
SCENARIOS = (
    "factors",
    "blend",
    "near_factors",
    "near_blend",
    "truth_blend",
    "zero_factors",
    "zero_factors_blend_samp",
    "zero_factors_blend_zero",
    "all_zero_outputs",
)
SETTINGS = ("class_default", "trainer", "warmup", "final", "nmse_only", "hpo_mid", "lam_cov_off")
BETA = 0.3
BLEND_RHO = 0.1  # the stored R_blend were made with this range factor, not with the loss's 0.3

VALUE_RTOL, VALUE_ATOL = 1e-4, 2e-6
GRAD_ATOL = 1e-5


def grad_rtol(term: str) -> float:
    """Relative tolerance of a gradient norm."""
    return 5e-3 if term == "loss_peak_contrast" else 1e-3


def full_grad_rtol(term: str) -> float:
    """Tolerance of |difference| / |golden| for a full gradient."""
    return 3e-2 if term == "loss_peak_contrast" else 1e-3


@dataclass(frozen=True)
class Case:
    """One scenario: ``prediction`` (leaves that require grad) and ``target``."""

    name: str
    prediction: dict[str, Tensor]
    target: dict[str, Tensor]


@cache
def golden() -> Mapping[str, np.ndarray]:
    """All arrays, read-only."""
    with np.load(PATH, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for array in arrays.values():
        array.setflags(write=False)
    return MappingProxyType(arrays)


def tensor(key: str, double: bool = False) -> Tensor:
    """A fresh tensor of an array; floats in single precision, or in double."""
    array = np.array(golden()[key])
    if np.iscomplexobj(array):
        array = array.astype(np.complex128 if double else np.complex64)
    elif array.dtype.kind == "f":
        array = array.astype(np.float64 if double else np.float32)
    return torch.from_numpy(array)


def setting(name: str) -> dict[str, float]:
    """The seven weights of a named setting of the golden totals, by attribute name."""
    row = golden()["meta/weight_settings"][SETTINGS.index(name)]
    return dict(zip(LAMBDAS, row.tolist(), strict=True))


def target(double: bool = False, real_labels: bool = False) -> dict[str, Tensor]:
    """The labels all scenarios share; R_true complex, or as real and imaginary parts ``[B, N, N, 2]``."""
    R_true = tensor("in/R_true", double)
    return {
        "R_true": torch.view_as_real(R_true).clone() if real_labels else R_true,
        "ptr": tensor("in/ptr", double),
        "K": tensor("in/K"),
        "snr_db": tensor("in/snr_db", double),
    }


def case(name: str, double: bool = False, real_labels: bool = False) -> Case:
    """The scenario of that name, with every prediction a leaf that requires grad."""
    prefix = "in/near_" if name.startswith(("near", "truth")) else "in/"
    prediction = {key: tensor(prefix + key, double) for key in GRAD_KEYS[:2]}
    prediction |= {key: tensor("in/" + key, double) for key in GRAD_KEYS[2:4]}
    if name.startswith("zero"):
        prediction |= {key: torch.zeros_like(prediction[key]) for key in GRAD_KEYS[:2]}
    if name == "all_zero_outputs":
        prediction = {key: torch.zeros_like(value) for key, value in prediction.items()}
    R_blend = _stored_blend(name, prediction, double)
    if R_blend is not None:
        prediction["R_blend"] = R_blend
    for value in prediction.values():
        value.requires_grad_()
    return Case(name, prediction, target(double, real_labels))


def _stored_blend(name: str, prediction: dict[str, Tensor], double: bool) -> Tensor | None:
    if name == "blend":
        return tensor("in/R_blend", double)
    if name == "truth_blend":
        return tensor("in/R_true", double)
    if name == "zero_factors_blend_zero":
        return torch.zeros_like(tensor("in/R_true", double))
    if name in ("near_blend", "zero_factors_blend_samp"):
        R_pred = predicted_covariance(prediction, rho=BLEND_RHO)
        R_samp = tensor("in/R_samp", double)
        return torch.stack([blend(R_pred[b], R_samp[b], BETA) for b in range(len(R_samp))])
    return None


def gradients(value: Tensor, prediction: dict[str, Tensor]) -> dict[str, Tensor]:
    """d value / d prediction by plain autograd; zeros where no path exists."""
    if not value.requires_grad:
        return {key: torch.zeros_like(leaf) for key, leaf in prediction.items()}
    found = torch.autograd.grad(value, list(prediction.values()), retain_graph=True, allow_unused=True)
    return {
        key: torch.zeros_like(leaf) if grad is None else grad
        for (key, leaf), grad in zip(prediction.items(), found, strict=True)
    }
