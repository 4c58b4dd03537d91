"""The settings of a probed state that balance its gradients, as the panel's buttons offer them."""

from __future__ import annotations

from typing import Any

from kit import whatif
from kit.whatif import Probed


def balanced_settings(report: Probed, upper: float) -> dict[str, dict[str, Any]]:
    """how -> {"weights": weight name -> value, "note": what to know of them}, for each `how` that has an answer here.

    Only ratios matter to a balance: where a weight would lie beyond `upper`, the end of the sliders, all are scaled down.
    """
    found = {}
    for how in whatif.offered():
        try:
            weights, kept = whatif.balanced(report, how)
        except (ValueError, RuntimeError, ImportError):  # no gradient to balance, no end of the solver, a broken SciPy
            continue
        notes = [f"Weight kept: {', '.join(kept.values())}."] if kept else []
        largest = max(weight for name, weight in weights.items() if name not in kept)
        if largest > upper:
            notes.append("Scaled down to fit the sliders.")
            for name in weights.keys() - kept.keys():
                weights[name] = min(weights[name] / largest * upper, upper)
        found[how] = {"weights": weights, "note": " ".join(notes)}
    return found
