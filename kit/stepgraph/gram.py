"""Gram matrices of per-term gradients, per layer group, safe against overflow, underflow and non-finite entries.

G[l, i, j] = Re <g_i, g_j> over the parameters of group l        G = sum_l G[l]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kit.stepgraph.progress import Progress

CHUNK = 512  # partial products in the gradients' precision, their sum in float64: error 3e-9 instead of 2e-4


@dataclass(frozen=True)
class Gram:
    """`groups` float64 [n, m, m] with nan rows where a term is not finite, `reached` bool, `nonfinite` int [n, m]."""

    groups: np.ndarray
    reached: np.ndarray
    nonfinite: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        return self.groups.sum(axis=0)


def gram(
    rows: Sequence[Sequence[Tensor | None]], owner: Sequence[int], n: int, progress: Progress | None = None
) -> Gram:
    """`rows[i][p]` is the gradient of term i by parameter p (None: no path), `owner[p]` its group among n."""
    m = len(rows)
    groups, reached, nonfinite = np.zeros((n, m, m)), np.zeros((n, m), bool), np.zeros((n, m), np.int64)
    steps = owner if progress is None else progress.over(owner, "products of gradients, by parameter")
    for p, group in enumerate(steps):
        found = {i: gradient for i, row in enumerate(rows) if (gradient := row[p]) is not None}
        if not found:
            continue
        present = list(found)
        flat = torch.stack([_flat(gradient) for gradient in found.values()])  # [k, numbers of p]
        bad = (~torch.isfinite(flat)).sum(dim=1)
        flat[bad > 0] = 0.0
        reached[group, present] = True
        nonfinite[group, present] += bad.cpu().numpy()
        groups[np.ix_([group], present, present)] += products(flat)
    faulty_group, faulty_term = np.nonzero(nonfinite)
    groups[faulty_group, faulty_term, :] = np.nan
    groups[faulty_group, :, faulty_term] = np.nan
    return Gram(groups, reached, nonfinite)


def products(J: Tensor) -> np.ndarray:
    """J J' in float64 for finite J [k, d]; rows are divided by their largest entry, so that no square overflows."""
    with torch.no_grad(), torch.autocast(J.device.type, enabled=False):
        if not J.shape[1]:
            return np.zeros((len(J), len(J)))
        scale = J.abs().amax(dim=1)
        J = J / torch.where(scale > 0, scale, torch.ones_like(scale))[:, None]
        if J.is_cuda or torch.get_float32_matmul_precision() != "highest":
            J = J.double()  # reduced-precision products (TF32, bfloat16) would cost three digits
        pad = -J.shape[1] % CHUNK
        chunks = torch.nn.functional.pad(J, (0, pad)).reshape(len(J), -1, CHUNK).transpose(0, 1)  # [c, k, 512]
        G = torch.bmm(chunks, chunks.mT).to("cpu", torch.float64).sum(dim=0).numpy()
        s = scale.to("cpu", torch.float64).numpy()
    with np.errstate(over="ignore"):  # float64 gradients beyond 1e154 have no finite square
        return G * s[:, None] * s[None, :]


def norm(G: np.ndarray, weights: np.ndarray) -> float:
    """|sum_i lam_i g_i| = sqrt(lam' G lam); a term with weight 0 is left out, whatever its row holds."""
    on = weights != 0
    w = weights[on]
    return float(np.sqrt(np.maximum(w @ G[np.ix_(on, on)] @ w, 0.0)))


def _flat(gradient: Tensor) -> Tensor:
    """Real numbers of a gradient as one new row; complex entries count as two, half precision is raised."""
    gradient = gradient.detach()
    if gradient.layout != torch.strided:
        gradient = gradient.to_dense()
    if gradient.is_complex():
        gradient = torch.view_as_real(gradient.resolve_conj())
    if gradient.dtype not in (torch.float32, torch.float64):
        gradient = gradient.float()
    return gradient.reshape(-1)
