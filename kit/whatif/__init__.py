"""What would the loss and its gradient be with other weights? Algebra on one probe; no network runs.

    total(w) = w . L        |g(w)|^2 = w' G w        g(w) = sum_i w_i g_i        dL_i = -lr (G w)_i

`report` is a ProbeReport or anything with the fields of `Probed`. `w` is None (the weights as probed), a mapping by weight name, or
a sequence [m]. A term with weight 0 is not evaluated: it contributes exactly 0, even if its L or G is nan.
The answers hold at the probed step; they do not say where training would go from there.
"""

from __future__ import annotations

from kit.whatif.algebra import (
    Probed,
    Weights,
    cancellation,
    conflicts,
    cosines,
    grad_norm,
    gradient_shares,
    max_grad_norm,
    max_total,
    next_step,
    settle,
    shares,
    term_grad_norms,
    total,
    weighted,
)
from kit.whatif.balancing import CAVEAT, balance, balanced, offered

__all__ = [
    "CAVEAT",
    "Probed",
    "Weights",
    "balance",
    "balanced",
    "cancellation",
    "conflicts",
    "cosines",
    "grad_norm",
    "gradient_shares",
    "max_grad_norm",
    "max_total",
    "next_step",
    "offered",
    "settle",
    "shares",
    "term_grad_norms",
    "total",
    "weighted",
]
