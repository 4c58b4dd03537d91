"""The algebra of the shipped module, run by Node, against plain numpy."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kit.panel import Preset, module_source, panel_data
from tests.panel._panel_cases import NAMES, WEIGHT_NAMES, make_report

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node on this machine")


def evaluate(data, settings):
    """Answers of the module for each (case index, weights by name)."""
    asked = {
        "module": module_source(),
        "data": data,
        "settings": [{"index": i, "weights": weights} for i, weights in settings],
    }
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("panel_algebra.mjs"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected(report, w):
    """total, weighted, |g| and term norms in numpy: only rows in force are looked at; None where not finite."""
    on = w != 0
    L = np.where(on, report.L, 0.0)

    def none(x):
        return float(x) if np.isfinite(x) else None

    matrices = [report.G, *report.G_groups]
    norms = [
        [0.0 if not can else none(w_i * np.sqrt(g)) for can, w_i, g in zip(on, w, np.diag(G), strict=True)]
        for G in matrices
    ]
    grads = [
        none(np.sqrt(max(0.0, s)) if np.isfinite(s := w[on] @ G[np.ix_(on, on)] @ w[on]) else np.nan) for G in matrices
    ]
    return none(w @ L), [none(x) for x in w * L], grads, norms


def close(found, wanted, scale):
    if wanted is None or found is None:
        return found is wanted
    return abs(found - wanted) <= 1e-12 * max(scale, abs(wanted))


def test_agrees_with_numpy_for_random_weights_and_psd_gram_matrices():
    rng = np.random.default_rng(5)
    reports = [make_report(seed, values=rng.lognormal(size=7)) for seed in range(4)]
    data = panel_data({f"case {i}": report for i, report in enumerate(reports)})
    weights = list(rng.uniform(0, 2, size=(40, 7)) * (rng.uniform(size=(40, 7)) > 0.3))
    weights += [np.zeros(7), np.full(7, 2.0), *(2.0 * np.eye(7)), *(1.0 - np.eye(7))]
    settings = [(i % 4, w) for i, w in enumerate(weights)]
    answers = evaluate(data, [(i, dict(zip(WEIGHT_NAMES, map(float, w), strict=True))) for i, w in settings])["answers"]
    for (i, w), answer in zip(settings, answers, strict=True):
        value, parts, grads, norms = expected(reports[i], w)
        assert close(answer["total"], value, 0)
        assert all(close(a, b, 0) for a, b in zip(answer["weighted"], parts, strict=True))
        # A sum that cancels is exact relative to what went into it, not to what is left.
        assert all(close(a, b, sum(n)) for a, b, n in zip(answer["gradNorm"], grads, norms, strict=True))
        assert all(
            close(a, b, 0)
            for one, two in zip(answer["termNorms"], norms, strict=True)
            for a, b in zip(one, two, strict=True)
        )
        if value:
            assert np.allclose(answer["shares"], np.array(parts) / value, rtol=1e-12)


def test_all_weights_zero_is_exactly_zero_and_says_so():
    data = panel_data(make_report(1, values=[np.nan] * 7, broken=range(7)))
    (answer,) = evaluate(data, [(0, dict.fromkeys(WEIGHT_NAMES, 0.0))])["answers"]
    assert answer["total"] == 0 and answer["weighted"] == [0] * 7 and answer["shares"] == [0] * 7
    assert answer["gradNorm"] == [0] * 7 and answer["termNorms"] == [[0] * 7] * 7
    assert answer["meaning"]["alarm"] and "Every weight is zero" in answer["meaning"]["text"]


def test_a_term_that_is_not_finite_counts_only_while_its_weight_is_not_zero():
    report = make_report(2, values=(1.3, np.inf, 69.99, 2.06, 0.59, 0.96, 3.25), broken=(1,))
    data = panel_data(report)
    on, off = evaluate(data, [(0, {}), (0, {"lam_cov_pred": 0.0})])["answers"]
    assert on["total"] is None and on["gradNorm"] == [None] * 7 and on["weighted"][1] is None
    assert on["shares"][0] is None
    w = report.weights * (np.arange(7) != 1)
    value, _, grads, norms = expected(report, w)
    assert close(off["total"], value, 0) and all(
        close(a, b, sum(n)) for a, b, n in zip(off["gradNorm"], grads, norms, strict=True)
    )


def test_cosines_match_numpy_and_are_empty_without_weight_or_gradient():
    report = make_report(3)
    data = panel_data(report)
    (answer,) = evaluate(data, [(0, {"lam_K": 0.0})])["answers"]
    for G, found in zip([report.G, *report.G_groups], answer["cosines"], strict=True):
        for i in range(7):
            for j in range(7):
                if 3 in (i, j) or G[i, i] == 0 or G[j, j] == 0:
                    assert found[i][j] is None
                else:
                    assert found[i][j] == pytest.approx(G[i, j] / np.sqrt(G[i, i] * G[j, j]), abs=1e-12)
    assert any(G[i, i] == 0 for G in report.G_groups for i in range(7)), "the report should hold a term without path"


def test_missing_unknown_and_fixed_weights_settle_like_the_probed_ones():
    report = make_report(4, adjustable=[True] * 6 + [False])
    data = panel_data(report)
    bad = {"lam_cov": -1.0, "lam_K": None, "nobody": 3.0, "lam_peak_contrast": 0.0, "lam_aux": 0.25}
    (answer,) = evaluate(data, [(0, bad)])["answers"]
    w = report.weights.copy()
    w[4] = 0.25
    assert answer["w"] == w.tolist()


def test_axes_hold_their_values_and_numbers_read_well():
    out = evaluate(panel_data(make_report(0)), [])
    assert out["ends"] == [[0, 3], [0, 3], [0, 1], [-3, 5], [0, 1e-8], [0, 1]]
    assert out["words"] == ["0", "not finite", "3.431", "1235", "2.30e\u22127", "\u22120.5000", "1.000"]


def test_meaning_names_the_largest_part_and_the_strongest_pull():
    report = make_report(0)
    (answer,) = evaluate(panel_data(report, [Preset("k", "t")]), [(0, {})])["answers"]
    part = NAMES[int(np.argmax(report.weights * report.L))]
    pull = NAMES[int(np.argmax(report.weights * np.sqrt(np.diag(report.G))))]
    assert part in answer["meaning"]["text"] and pull in answer["meaning"]["text"].split("pull")[1]
