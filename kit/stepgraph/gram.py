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
BLOCK = 1024  # chunks of all rows at a time, 2 MB: no second copy of all gradients
ACCURACY = 1e-9  # what squares that vanish may cost


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
        flats = [_flat(gradient) for gradient in found.values()]
        reached[group, present] = True
        if (G := products(flats)) is None:
            flat = torch.stack(flats)  # [k, numbers of p]
            bad = (~torch.isfinite(flat)).sum(dim=1)
            flat[bad > 0] = 0.0
            nonfinite[group, present] += bad.cpu().numpy()
            G = scaled_products(flat)
        groups[np.ix_([group], present, present)] += G
    faulty_group, faulty_term = np.nonzero(nonfinite)
    groups[faulty_group, faulty_term, :] = np.nan
    groups[faulty_group, :, faulty_term] = np.nan
    return Gram(groups, reached, nonfinite)


def products(J: Sequence[Tensor] | Tensor) -> np.ndarray | None:
    """J J' in float64 [k, k] for k rows of d; None if an entry is not finite, or a square may have overflowed or vanished."""
    G = _products(J)
    lost = torch.finfo(J[0].dtype).tiny * len(J[0])  # by squares that vanish, at most
    return G if np.isfinite(G).all() and (G.diagonal() > lost / ACCURACY).all() else None


def scaled_products(J: Tensor) -> np.ndarray:
    """J J' in float64 for finite J [k, d] of any size: each row is divided by its largest entry, so that no square overflows."""
    scale = J.abs().amax(dim=1) if J.shape[1] else J.new_zeros(len(J))
    G = _products(J / torch.where(scale > 0, scale, torch.ones_like(scale))[:, None])
    s = scale.to("cpu", torch.float64).numpy()
    with np.errstate(over="ignore"):  # float64 gradients beyond 1e154 have no finite square
        return G * s[:, None] * s[None, :]


def _products(J: Sequence[Tensor] | Tensor) -> np.ndarray:
    k, device = len(J), J[0].device
    G = torch.zeros(k, k, dtype=torch.float64, device=device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        size = CHUNK * max(1, BLOCK // k)
        for start in range(0, len(J[0]), size):
            block = torch.stack([row[start : start + size] for row in J])
            if block.is_cuda or torch.get_float32_matmul_precision() != "highest":
                block = block.double()  # reduced-precision products (TF32, bfloat16) would cost three digits
            whole = block.shape[1] // CHUNK * CHUNK
            chunks, rest = block[:, :whole].reshape(k, -1, CHUNK).transpose(0, 1), block[:, whole:]  # [c, k, 512]
            G += torch.bmm(chunks, chunks.mT).double().sum(dim=0) + (rest @ rest.mT).double()
    return G.cpu().numpy()


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
