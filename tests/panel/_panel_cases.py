"""Reports made by hand for the panel's tests: the fields of a ProbeReport, plausible sizes, fixed seeds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

NAMES = ("loss_nmse", "loss_nmse_pred", "loss_ortho", "loss_K", "aux_l2", "loss_subspace_align", "loss_peak_contrast")
WEIGHT_NAMES = ("lam_cov", "lam_cov_pred", "lam_ortho", "lam_K", "lam_aux", "lam_subspace_align", "lam_peak_contrast")
L = (1.30, 1.30, 69.99, 2.06, 0.59, 0.96, 3.25)
WEIGHTS = (0.3, 0.03, 0.001, 0.5, 1.0, 0.05, 0.1)
GROUPS = ("backbone", "cov_head_angle", "cov_head_range", "k_head", "aux_head", "norms")
HOSTILE = (
    '</script><img src=x onerror="window.hit=1">',
    "<!--<script>",
    "line\u2028para\u2029end",
    "\u202eabc \u05e9\u05dc\u05d5\u05dd",
    "\U0001f525 emoji & \"quotes\" 'both'",
    "x" * 300,
    "__proto__",
)


def make_report(
    seed: int = 0,
    *,
    names=NAMES,
    weight_names=WEIGHT_NAMES,
    values=L,
    weights=WEIGHTS,
    groups=GROUPS,
    adjustable=None,
    notes=(),
    broken=(),
):
    """Gradients drawn with a fixed seed; G of the network is the sum of G over the groups. `broken`: terms without
    a finite gradient."""
    rng = np.random.default_rng(seed)
    m, n = len(names), len(groups)
    sizes = np.resize([2.1, 2.4, 160.0, 1.6, 0.9, 1.3, 4.0], m)
    g = rng.normal(size=(n, m, 40)) * sizes[None, :, None] / np.sqrt(40 * n)
    if m > 1:
        g[:, 1] = 0.8 * g[:, 0] + 0.6 * g[:, 1]
        g[:, -1] = -0.7 * g[:, 0] + 0.7 * g[:, -1]
    if n > 3 and m > 3:
        g[n - 3, 0] = 0.0
    G_groups = np.einsum("nik,njk->nij", g, g)
    G_groups = (G_groups + G_groups.transpose(0, 2, 1)) / 2
    for i in broken:
        G_groups[:, i, :] = np.nan
        G_groups[:, :, i] = np.nan
    G = G_groups.sum(0)
    w, values = np.asarray(weights, float), np.asarray(values, float)
    on = w != 0
    return SimpleNamespace(
        names=tuple(names),
        weight_names=tuple(weight_names),
        L=values,
        weights=w,
        adjustable=np.ones(m, bool) if adjustable is None else np.asarray(adjustable, bool),
        G=G,
        groups=tuple(groups),
        G_groups=G_groups,
        n_parameters=np.resize([18432, 5640, 5640, 325, 1290, 128], n),
        paths=np.ones((n, m), bool),
        no_path={},
        nonfinite=np.zeros((n, m), int),
        total=float(w[on] @ values[on]),
        grad_norm=float(np.sqrt(w[on] @ G[np.ix_(on, on)] @ w[on])),
        residual=2.3e-7,
        decomposition="exposed",
        gradient_way="two_stage",
        notes=tuple(notes),
        norms=np.sqrt(np.diag(G)),
    )
