"""The algebra of the shipped module, run by Node, against plain numpy."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kit import whatif
from kit.panel import Preset, module_source, panel_data
from kit.panel.data import as_set
from kit.panel.static_view import next_changes
from tests.panel._node import node
from tests.panel._panel_cases import NAMES, WEIGHT_NAMES, make_report


def evaluate(data, settings):
    """Answers of the module for each (case index, weights by name)."""
    asked = {
        "module": module_source(),
        "data": data,
        "settings": [{"index": i, "weights": weights} for i, weights in settings],
    }
    done = subprocess.run(
        [node(), str(Path(__file__).with_name("panel_algebra.mjs"))],
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
    gradient = NAMES[int(np.argmax(report.weights * np.sqrt(np.diag(report.G))))]
    assert part in answer["meaning"]["text"] and gradient in answer["meaning"]["text"].split("gradient")[1]


def test_a_gradient_that_is_not_finite_is_not_said_to_spoil_the_network_for_certain():
    (answer,) = evaluate(panel_data(make_report(0, broken=(3,))), [(0, {})])["answers"]
    assert answer["meaning"]["alarm"]
    assert "would make the parameters not finite, unless the loop refuses it" in answer["meaning"]["text"]


def test_a_negative_weight_counts_in_total_gradient_norms_and_angles():
    report = make_report(6, weights=(0.3, 0.03, 0.001, 0.5, 1.0, 0.05, -0.1))
    (answer,) = evaluate(panel_data(report), [(0, {"lam_cov": 0.7, "lam_peak_contrast": 2.0})])["answers"]
    w = np.array([0.7, *report.weights[1:]])
    assert answer["w"] == w.tolist(), "a setting cannot move it"
    assert close(answer["total"], w @ report.L, 0) and answer["weighted"][6] == pytest.approx(-0.325)
    for G, norm, norms, angles in zip(
        (report.G, *report.G_groups), answer["gradNorm"], answer["termNorms"], answer["cosines"], strict=True
    ):
        gradients = np.outer(w, w) * G  # inner products of w_i g_i: the sign is in them
        assert close(norm, np.sqrt(gradients.sum()), sum(norms)) and np.allclose(norms, np.sqrt(np.diag(gradients)))
        if G[0, 0] and G[6, 6]:
            assert angles[0][6] == pytest.approx(
                gradients[0, 6] / np.sqrt(gradients[0, 0] * gradients[6, 6]), abs=1e-12
            )
            assert angles[6][6] == pytest.approx(1)


def words(change):
    """A mark of the front end as the table of the still picture says it."""
    if change["value"] is None:
        return "not known"
    way = {"\u25bc": "falls", "\u25b2": "rises", "\u2013": "unchanged"}[change["mark"]]
    return ", ".join(filter(None, (way, change["amount"])))


def test_the_next_step_is_that_of_python_and_is_said_alike():
    rng = np.random.default_rng(8)
    report = make_report(5, values=(1.3, -0.4, 69.99, 0.0, 1e-7, 2e5, 3.25))
    broken = make_report(6, broken=(2,))
    drawn = [*(rng.uniform(0, 2, (25, 7)) * (rng.uniform(size=(25, 7)) > 0.3)), np.zeros(7), *(2.0 * np.eye(7))]
    settings = [(i % 2, dict(zip(WEIGHT_NAMES, map(float, w), strict=True))) for i, w in enumerate(drawn * 2)]
    seen = set()
    answers = evaluate(panel_data({"a": report, "b": broken}), settings)["answers"]
    for (i, weights), answer in zip(settings, answers, strict=True):
        shown = as_set((report, broken)[i], weights)
        for lr, found in zip((1.0, 0.01), answer["nextStep"], strict=True):
            sizes = lr * np.abs(shown.G) @ shown.weights
            wanted = [x if np.isfinite(x) else None for x in whatif.next_step(shown, lr).tolist()]
            assert all(close(a, b, size) for a, b, size in zip(found, wanted, np.nan_to_num(sizes), strict=True))
        said = [words(change) for change in answer["changes"]]
        assert said == next_changes(shown)
        rising = [name for name, text in zip(NAMES, said, strict=True) if text.startswith("rises")]
        assert all(name in answer["rises"] for name in rising) and bool(rising) == bool(answer["rises"])
        seen |= {text.partition(",")[0] for text in said} | {"amount" for text in said if "," in text}
    assert seen == {"falls", "rises", "unchanged", "not known", "amount"}


def test_amounts_are_shares_of_the_value_for_one_percent_less_of_the_total():
    report = make_report(4)
    w = report.weights
    lr = 0.01 * report.total / report.grad_norm**2
    percent = 100 * whatif.next_step(report, lr) / report.L
    assert w @ whatif.next_step(report, lr) == pytest.approx(-0.01 * report.total)
    (answer,) = evaluate(panel_data(report), [(0, {})])["answers"]
    assert [change["percent"] for change in answer["changes"]] == pytest.approx(list(percent), rel=1e-12)


def test_numbers_may_be_typed_with_a_comma_and_nonsense_is_none():
    read = evaluate(panel_data(make_report(0)), [])["typed"]
    assert read == [0.5, 0.5, 0.5, 0.001, 2, -1, -1, *[None] * 8]


def test_a_cosine_is_never_a_zero_with_a_sign_nor_rounded_to_a_conflict():
    cosines = evaluate(panel_data(make_report(0)), [])["cosines"]
    assert cosines == ["0", "0", "0", "\u2212.01", "\u2212.09", "\u2212.10", "\u2212.10", ".69", "1.00", "\u22121.00"]


def test_the_matrix_says_what_was_measured():
    nothing, alone, half, none, one, many = evaluate(panel_data(make_report(0)), [])["remarks"]
    assert nothing.startswith("Nothing was measured") and "not finite" in nothing
    assert alone.startswith("Nothing to measure: fewer than two terms")
    assert half.startswith("No measured pair") and "could not be measured" in half
    assert none == "No pair of terms in force has opposed gradients."
    assert one.startswith("1 pair of gradients is opposed") and many.startswith("2 pairs of gradients are opposed")
    assert "could not be measured" in many


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_node_a_user_skips_and_ci_fails(monkeypatch, required, outcome):
    monkeypatch.setenv("KIT_REQUIRE_BROWSER", required)
    monkeypatch.setenv("PATH", "")
    # Both are caught: a skip that got through would only skip this test.
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="node") as caught:
        node()
    assert caught.type is outcome
