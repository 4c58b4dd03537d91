"""Totals, gradient norms, angles and the next step of a setting of the weights: numbers from L and G alone."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Weights = Mapping[str, float] | Sequence[float] | np.ndarray | None

CORNERS = 16  # up to 2^16 corners are listed one by one


class Probed(Protocol):
    """What the algebra reads of one probe: m terms, n layer groups, with the meaning that they have in a ProbeReport."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def weight_names(self) -> Sequence[str]: ...
    @property
    def L(self) -> np.ndarray: ...
    @property
    def weights(self) -> np.ndarray: ...
    @property
    def adjustable(self) -> np.ndarray | Sequence[bool]: ...
    @property
    def G(self) -> np.ndarray: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def G_groups(self) -> np.ndarray: ...


def settle(report: Probed, weights: Weights = None) -> np.ndarray:
    """Weights [m] float64. Names that are missing keep the probed value; fixed terms keep theirs (1)."""
    _check(report)
    probed = np.asarray(report.weights, dtype=np.float64)
    if weights is None:
        return probed.copy()
    free = np.asarray(report.adjustable, dtype=bool)
    if isinstance(weights, Mapping):
        known = [name for name, own in zip(report.weight_names, free, strict=True) if own]
        if unknown := [name for name in weights if name not in known]:
            raise ValueError(f"weights should be named as in the report. Found {unknown}; known are {known}.")
        w = probed.copy()
        for i, name in enumerate(report.weight_names):
            if free[i] and name in weights:
                w[i] = _weight(name, weights[name])
        return w
    if isinstance(weights, str | bytes | set | frozenset) or not np.iterable(weights):
        raise TypeError(
            f"weights should be a dict by weight name, a sequence of {len(probed)} numbers, or None. "
            f"Found weights = {weights!r}."
        )
    values = list(weights)
    if len(values) != len(probed):
        raise ValueError(f"weights should have {len(probed)} entries, one a term. Found {len(values)}.")
    names = [name or f"weights[{i}]" for i, name in enumerate(report.weight_names)]
    w = np.array([_weight(name, value) for name, value in zip(names, values, strict=True)], dtype=np.float64)
    return np.where(free, w, probed)


def weighted(report: Probed, w: Weights = None) -> np.ndarray:
    """w_i L_i [m]."""
    return _times(settle(report, w), np.asarray(report.L, dtype=np.float64))


def total(report: Probed, w: Weights = None) -> float:
    """w . L"""
    return float(weighted(report, w).sum())


def shares(report: Probed, w: Weights = None) -> np.ndarray:
    """w_i L_i / total [m]. If the total is 0 nothing has a share: all 0."""
    parts = weighted(report, w)
    return _ratio(parts, parts.sum())


def grad_norm(report: Probed, w: Weights = None, group: str | None = None) -> float:
    """|g| = sqrt(w' G w), of the whole network or one layer group. The raw gradient, before clipping and decay."""
    settled = settle(report, w)
    on = settled != 0
    active = settled[on]
    return float(np.sqrt(np.maximum(active @ _gram(report, group)[np.ix_(on, on)] @ active, 0.0)))


def term_grad_norms(report: Probed, w: Weights = None, group: str | None = None) -> np.ndarray:
    """w_i |g_i| [m]."""
    return _times(np.abs(settle(report, w)), _norms(_gram(report, group)))


def gradient_shares(report: Probed, w: Weights = None, group: str | None = None) -> np.ndarray:
    """w_i |g_i| / sum_j w_j |g_j| [m]: the share of each gradient, whether or not they cancel. All 0 if every gradient is 0."""
    gradients = term_grad_norms(report, w, group)
    return _ratio(gradients, gradients.sum())


def cosines(report: Probed, group: str | None = None) -> np.ndarray:
    """cos(g_i, g_j) [m, m]; nan where a gradient is 0 or not finite. Weights do not change it."""
    G = _gram(report, group)
    norms = _norms(G)
    unit = np.where(norms > 0, norms, np.nan)
    cosine = np.clip(G / unit[:, None] / unit[None, :], -1.0, 1.0)
    np.fill_diagonal(cosine, np.where(np.isfinite(unit), 1.0, np.nan))
    return cosine


def conflicts(report: Probed, group: str | None = None) -> list[tuple[str, str, float]]:
    """Pairs of terms whose gradients oppose each other (cosine < 0), the worst first."""
    cosine = cosines(report, group)
    i, j = np.nonzero(np.triu(np.nan_to_num(cosine) < 0, k=1))
    pairs = [
        (report.names[a], report.names[b], float(cosine[a, b])) for a, b in zip(i.tolist(), j.tolist(), strict=True)
    ]
    return sorted(pairs, key=lambda pair: pair[2])


def cancellation(report: Probed, w: Weights = None) -> float:
    """sum_i w_i |g_i| / |g| >= 1: how much the terms undo each other, and so how many digits |g| has lost.

    inf if they cancel completely, nan if every gradient is 0.
    """
    gradients, remains = term_grad_norms(report, w).sum(), grad_norm(report, w)
    if remains == 0:
        return float("inf") if gradients > 0 else float("nan")
    return float(gradients / remains)


def next_step(report: Probed, lr: float, weights: Weights = None) -> np.ndarray:
    """Change of every term L_i [m] by one plain gradient step of size lr, to first order; below 0 the term gets better.

        theta' = theta - lr sum_j w_j g_j,  so  dL_i = g_i . (theta' - theta) = -lr (G w)_i

    A term of weight 0 changes as well: the others move it. nan where a term's own gradient is not finite, and everywhere
    if one that is in force is not.

    It holds for plain SGD on the probed batch, at the probed parameters, while lr is small: what is left out is of order
    lr^2. Not for Adam, momentum, clipping, weight decay, nor for another batch or other random numbers (dropout).
    A second way: take that step on a copy of the model and evaluate the terms again; with half of lr the difference to
    this prediction is a quarter.

    Raises TypeError or ValueError for an lr that is no finite number > 0, and for wrong weights.
    """
    if isinstance(lr, bool) or not isinstance(lr, numbers.Real):
        raise TypeError(f"lr should be a number. Found lr = {lr!r}.")
    if not (np.isfinite(lr) and lr > 0):
        raise ValueError(f"lr should be finite and > 0. Found lr = {lr}.")
    w = settle(report, weights)
    on = w != 0
    return 0.0 - float(lr) * (_gram(report, None)[:, on] @ w[on])


def max_total(report: Probed, upper: float = 2.0) -> float:
    """Largest total with every adjustable weight in [0, upper]: terms below 0 off, the others at `upper`.

    Terms that are not finite are left out: this is the length of an axis.
    """
    free = np.asarray(report.adjustable, dtype=bool)
    L = np.nan_to_num(np.asarray(report.L, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    fixed = np.where(free, 0.0, settle(report))
    return float(_upper(upper) * np.maximum(L[free], 0.0).sum() + fixed @ L)


def max_grad_norm(report: Probed, upper: float = 2.0, group: str | None = None) -> float:
    """Largest |g| with every adjustable weight in [0, upper]. Terms that are not finite are left out.

    |g| is convex in w, so a corner of the box holds the maximum: exact for up to 16 adjustable terms. For more, the
    triangle bound sum_i w_i |g_i| with all weights at `upper`: not below the maximum, and equal to it if all align.
    """
    upper, G = _upper(upper), _gram(report, group)
    alive = np.isfinite(np.diag(G))
    free = np.asarray(report.adjustable, dtype=bool) & alive
    fixed = np.where(~np.asarray(report.adjustable, dtype=bool) & alive, settle(report), 0.0)
    G = np.where(alive[:, None] & alive[None, :], G, 0.0)
    columns = np.flatnonzero(free)
    if len(columns) > CORNERS:
        return float(_times(np.abs(np.where(free, upper, fixed)), _norms(G)).sum())
    bits = (np.arange(2 ** len(columns))[:, None] >> np.arange(len(columns))) & 1  # [corners, adjustable terms]
    W = np.tile(fixed, (len(bits), 1))
    W[:, columns] = upper * bits
    return float(np.sqrt(np.maximum(np.einsum("ci,ci->c", W @ G, W), 0.0).max()))


def _check(report: Probed) -> None:
    if not hasattr(report, "weight_names") or not hasattr(report, "L"):
        inside = hasattr(report, "report") and hasattr(report, "weights")
        what = "pass panel.report and panel.weights" if inside else "pass kit.probe(model, loss, batch)"
        raise TypeError(f"report should be a ProbeReport. Found {type(report).__name__}; {what}.")


def _gram(report: Probed, group: str | None) -> np.ndarray:
    _check(report)
    if group is None:
        return np.asarray(report.G, dtype=np.float64)
    if group not in report.groups:
        raise ValueError(f"group should be one of {list(report.groups)}. Found group = {group!r}.")
    return np.asarray(report.G_groups[list(report.groups).index(group)], dtype=np.float64)


def _norms(G: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.diag(G), 0.0))


def _times(w: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.multiply(w, values, out=np.zeros_like(w), where=w != 0)


def _ratio(parts: np.ndarray, whole: float) -> np.ndarray:
    return np.divide(parts, whole, out=np.zeros_like(parts), where=(parts != 0) & (whole != 0))


def _weight(name: str, value: Any) -> float:
    real = isinstance(value, numbers.Real)  # which for the type checker is no kind of float
    if isinstance(value, bool) or not real:
        raise TypeError(f"{name} should be a number. Found {name} = {value!r}.")
    if not (np.isfinite(value) and value >= 0):
        raise ValueError(f"{name} should be finite and >= 0. Found {name} = {value}.")
    return float(value)


def _upper(upper: float) -> float:
    if not (np.isfinite(upper) and upper > 0):
        raise ValueError(f"upper should be finite and > 0. Found upper = {upper}.")
    return float(upper)
