"""What-if numbers by exact arithmetic: fractions, and roots to 50 digits. `python -m tests.panel.golden_whatif` writes
`golden/whatif.json`, which the Python algebra and the front end are both held against.

Nothing of the kit computes here. Values and gradients are short binary fractions, so the JSON holds them exactly.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

PATH = Path(__file__).with_name("golden") / "whatif.json"
NAMES = ("loss_nmse", "loss_nmse_pred", "loss_ortho", "loss_K", "aux_l2")
WEIGHT_NAMES = ("lam_cov", "lam_cov_pred", "lam_ortho", "lam_K", "")
ADJUSTABLE = (True, True, True, True, False)
GROUPS, LENGTH = ("backbone", "heads", "norms"), 6


def report() -> dict:
    """Terms with integer gradients over 64 per group; the last group sees two terms only, the third term grows large."""
    rng = random.Random(20)
    gradients = [
        [[rng.randrange(-512, 513) * (64 if i == 2 else 1) for _ in range(LENGTH)] for i in range(len(NAMES))]
        for _ in GROUPS
    ]
    for i in (0, 1, 2):
        gradients[2][i] = [0] * LENGTH
    groups = [
        [[Fraction(sum(a * b for a, b in zip(x, y, strict=True)), 64**2) for y in g] for x in g] for g in gradients
    ]
    whole = [[sum(group[i][j] for group in groups) for j in range(len(NAMES))] for i in range(len(NAMES))]
    L = [Fraction(rng.randrange(-100, 4000), 1024) for _ in NAMES]
    weights = [Fraction(3, 8), Fraction(1, 32), Fraction(1, 1024), Fraction(1, 2), Fraction(1)]
    return {"L": L, "G": whole, "G_groups": groups, "weights": weights}


def settings() -> list[list[Fraction]]:
    """Weights [m] of the terms; the last is fixed at 1."""
    rng = random.Random(21)
    drawn = [[Fraction(rng.randrange(0, 2049), 1024) for _ in range(4)] for _ in range(12)]
    corners = [[Fraction(0)] * 4, [Fraction(2)] * 4, *([Fraction(2 * (i == j)) for j in range(4)] for i in range(4))]
    return [[*chosen, Fraction(1)] for chosen in [*drawn, *corners]]


def answers(seen: dict, w: list[Fraction]) -> dict:
    """total, weighted [m], shares [m]; gradient norm, term norms [m] and cosines [m, m] of the network and each group."""
    weighted = [a * b for a, b in zip(w, seen["L"], strict=True)]
    total = sum(weighted)
    matrices = [seen["G"], *seen["G_groups"]]
    m = range(len(w))
    return {
        "total": float(total),
        "weighted": [float(x) for x in weighted],
        "shares": [float(x / total) if total and x else 0.0 for x in weighted],
        "gradNorm": [_root(sum(w[i] * G[i][j] * w[j] for i in m for j in m)) for G in matrices],
        "termNorms": [[_root(w[i] ** 2 * G[i][i]) for i in m] for G in matrices],
        "cosines": [[[_cosine(G, w, i, j) for j in m] for i in m] for G in matrices],
    }


def _root(x: Fraction) -> float:
    with localcontext() as context:
        context.prec = 50
        return float((Decimal(x.numerator) / Decimal(x.denominator)).sqrt())


def _cosine(G: list, w: list[Fraction], i: int, j: int) -> float | None:
    if not (w[i] and w[j] and G[i][i] and G[j][j]):
        return None
    square = G[i][j] ** 2 / (G[i][i] * G[j][j])
    return _root(square) * (1 if G[i][j] >= 0 else -1)


def golden() -> dict:
    seen = report()
    return {
        "names": NAMES,
        "weight_names": WEIGHT_NAMES,
        "adjustable": ADJUSTABLE,
        "groups": GROUPS,
        **{key: _floats(value) for key, value in seen.items()},
        "settings": [{"w": _floats(w), **answers(seen, w)} for w in settings()],
    }


def _floats(value: list | Fraction) -> list | float:
    if isinstance(value, list):
        return [_floats(item) for item in value]
    assert Fraction(float(value)) == value, "the JSON should hold the number exactly"
    return float(value)


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
