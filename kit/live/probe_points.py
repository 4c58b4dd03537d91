"""What a probed step adds to the curves: the gradient norm of each term, and what arrives in each layer group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from kit import whatif
from kit.whatif import Probed


def probe_points(report: Probed, weights: Mapping[str, float] | None = None) -> Iterator[tuple[str, float]]:
    """("grad:term", norm) and ("group:layer", norm); under other weights than the probed ones by algebra, nothing runs.

    Nothing where such weights cannot be asked about: not finite, or below 0.
    """
    w = None
    if weights is not None:
        free = [name for name, own in zip(report.weight_names, report.adjustable, strict=True) if own]
        w = {name: weights[name] for name in free if name in weights}
        if not all(math.isfinite(value) and value >= 0 for value in w.values()):
            return
    for term, value in zip(report.names, whatif.term_grad_norms(report, w), strict=True):
        yield f"grad:{term}", float(value)
    for group in report.groups:
        yield f"group:{group}", float(whatif.grad_norm(report, w, group))
