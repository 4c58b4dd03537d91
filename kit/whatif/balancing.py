"""Weights that balance the gradients of one probed step, from its Gram matrix G alone.

They balance the gradients of this one step; which weights the task needs is another question.

`min_norm` and `upgrad` are least squares with w >= 0, solved by `scipy.optimize.nnls` (Lawson and Hanson: finite and exact). G is
first scaled to cosines, so terms of very different size lose no digits.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from kit.whatif.algebra import Probed, settle

CAVEAT = "They balance the gradients of this one step; which weights the task needs is another question."


def balance(report: Probed, how: str = "equal_gradient_norm") -> dict[str, float]:
    """Weight name -> value for every adjustable weight, such that the gradients of the probed step are balanced.

    how:
        "equal_gradient_norm"   w_i = c / |g_i|; c is the mean of w_i |g_i| as probed, so the sum of the weighted norms stays
                                (the norm of their sum would not do: it may be 0). If all weights are 0 they add up to 1
        "min_norm"              MGDA: the shortest convex combination, min |sum_i w_i g_i| with w >= 0, sum_i w_i = 1. A small step
                                along it lowers every term at the same rate, or by more (a weight is then 0); if it is 0, no
                                step lowers all terms
        "upgrad"                UPGrad: the mean of the gradients, each projected onto {g : g . g_j >= 0 for all j}. A small step
                                along it raises no term

    Weights are among all adjustable terms, also those of weight 0. A term whose gradient is 0 or not finite, or whose weight is
    below 0, keeps its weight, and a UserWarning names it. Fixed terms are not weighed: what is said of the step is said of
    the adjustable part alone.

    They balance the gradients of this one step; which weights the task needs is another question.

    Sources: Desideri 2012, doi:10.1016/j.crma.2012.03.014 (MGDA); Quinton and Rey 2024, arXiv:2406.16232 (UPGrad).
    Raises ValueError for another `how` and where no term can be weighed; ImportError for "min_norm" and "upgrad" without SciPy
    (the extra `balance`); RuntimeError if its solver finds no end.
    """
    weights, kept = balanced(report, how)
    if kept:
        warnings.warn(f"Not balanced, weight kept: {', '.join(kept.values())}.", UserWarning, stacklevel=2)
    return weights


def balanced(report: Probed, how: str) -> tuple[dict[str, float], dict[str, str]]:
    """`balance` without a warning: the weights, and those that were kept: weight name -> term with the reason."""
    if how not in _WAYS:
        raise ValueError(f"how should be one of {', '.join(_WAYS)}. Found how = {how!r}.")
    w = settle(report)
    G = np.asarray(report.G, dtype=np.float64)
    own, square = np.asarray(report.adjustable, dtype=bool), np.diag(G)
    with np.errstate(invalid="ignore"):
        on = own & np.isfinite(square) & (square > 0) & (w >= 0)
    if not on.any():
        raise ValueError(
            "at least one adjustable term should have a gradient that is finite and not 0. Found none; print(report) shows them."
        )
    d = np.sqrt(square[on])
    w[on] = _WAYS[how](np.clip(G[np.ix_(on, on)] / d[:, None] / d, -1.0, 1.0), d, w[on])
    names, kept = report.weight_names, np.flatnonzero(own & ~on).tolist()
    whys = {names[i]: f"{report.names[i]} ({_why(square[i])})" for i in kept}
    return {name: float(w[i]) for i, name in enumerate(names) if own[i]}, whys


def offered() -> tuple[str, ...]:
    """The values of `how` that this machine can compute."""
    return tuple(_WAYS) if importlib.util.find_spec("scipy") else ("equal_gradient_norm",)


def _why(square: float) -> str:
    if not np.isfinite(square):
        return "its gradient is not finite"
    return "its weight is negative" if square > 0 else "no gradient"


# C [k, k] cosines, d [k] norms |g_i|, w [k] weights as probed; -> weights [k]
def _equal(C: np.ndarray, d: np.ndarray, w: np.ndarray) -> np.ndarray:
    c = (w * d).mean()
    return c / d if c > 0 else (1 / d) / (1 / d).sum()


def _min_norm(C: np.ndarray, d: np.ndarray, w: np.ndarray) -> np.ndarray:
    """In y_i = w_i d_i: min |R y|^2 + (a . y - 1)^2 with C = R'R, a_i ~ 1 / d_i; its direction is that of the shortest point."""
    a = d.min() / d  # [k]
    y = _nnls(np.vstack([_root(C), a]), np.append(np.zeros(len(d)), 1.0))
    x = y / d
    return x / x.sum()


def _upgrad(C: np.ndarray, d: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The projection of g_i has the weights e_i + z, z >= 0, that make it shortest: min |R (e_i + z)| in the units of y."""
    R = _root(C)
    Y = np.eye(len(d)) + [_nnls(R, -R[:, i]) for i in range(len(d))]  # [k, k], row i: the projection of g_i / d_i
    return d @ Y / d / len(d)


_WAYS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "equal_gradient_norm": _equal,
    "min_norm": _min_norm,
    "upgrad": _upgrad,
}


def _root(C: np.ndarray) -> np.ndarray:
    """R [k, k] with C = R'R; what is below 0 by rounding counts as 0."""
    values, vectors = np.linalg.eigh(C)
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T


def _nnls(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """min |A y - b| with y >= 0."""
    try:
        optimize: Any = importlib.import_module("scipy.optimize")  # optional, and without types
    except ImportError as error:
        raise ImportError(
            "how = 'min_norm' and how = 'upgrad' should have SciPy. Found none; pip install 'zero-loss-kit[balance]'."
        ) from error
    return optimize.nnls(A, b, maxiter=100 * len(b))[0]
