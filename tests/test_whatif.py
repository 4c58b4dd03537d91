from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from kit import whatif


def make(m=4, n=3, d=10, seed=0, **changes):
    rng = np.random.default_rng(seed)
    J = rng.normal(size=(n, m, d))
    G_groups = J @ J.transpose(0, 2, 1)
    fields = {
        "names": tuple(f"term{i}" for i in range(m)), "weight_names": tuple(f"lam_{i}" for i in range(m)),
        "L": rng.uniform(0.1, 2.0, m), "weights": rng.uniform(0.1, 1.0, m), "adjustable": np.ones(m, bool),
        "groups": tuple(f"g{i}" for i in range(n)), "G": G_groups.sum(0), "G_groups": G_groups, "J": J,
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def faulty(i=1):
    report = make()
    report.L[i] = np.nan
    for G in (report.G, *report.G_groups):
        G[i, :] = G[:, i] = np.nan
    return report


def test_settle_takes_nothing_names_or_a_sequence():
    report = make()
    assert (whatif.settle(report) == report.weights).all()
    w = whatif.settle(report, {"lam_1": 0})
    assert w[1] == 0 and (np.delete(w, 1) == np.delete(report.weights, 1)).all()
    assert whatif.settle(report, [1, 2, 3, 4]).tolist() == [1, 2, 3, 4]
    whatif.settle(report)[0] = 99
    assert report.weights[0] != 99


def test_a_fixed_term_keeps_its_weight():
    report = make(weight_names=("lam_0", "lam_1", "lam_2", ""), adjustable=np.array([1, 1, 1, 0], bool))
    report.weights[3] = 1.0
    assert whatif.settle(report, [0, 0, 0, 0]).tolist() == [0, 0, 0, 1]
    assert whatif.total(report, {"lam_0": 0, "lam_1": 0, "lam_2": 0}) == pytest.approx(report.L[3])
    with pytest.raises(ValueError, match="known are"):
        whatif.settle(report, {"": 2.0})


@pytest.mark.parametrize(
    "weights, text",
    [
        ({"lam_x": 1.0}, r"Found \['lam_x'\]; known are \['lam_0', 'lam_1', 'lam_2', 'lam_3'\]"),
        ({"lam_0": -0.1}, "lam_0 should be finite and >= 0. Found lam_0 = -0.1"),
        ({"lam_0": float("nan")}, "lam_0 should be finite"),
        ([1, 2, 3], "should have 4 entries, one a term. Found 3"),
        ([1, 2, 3, np.inf], "lam_3 should be finite"),
    ],
)
def test_wrong_weights_are_refused(weights, text):
    with pytest.raises(ValueError, match=text):
        whatif.settle(make(), weights)


@pytest.mark.parametrize("value", ["1", True, None])
def test_a_weight_that_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=f"lam_0 should be a number. Found lam_0 = {value!r}"):
        whatif.settle(make(), {"lam_0": value})


@pytest.mark.parametrize("weights", [0.0, 2, np.array(1.0), "lam_0", {0.1, 0.2}])
def test_weights_that_are_no_collection_are_refused(weights):
    with pytest.raises(TypeError, match="weights should be a dict by weight name, a sequence of 4 numbers, or None"):
        whatif.total(make(), weights)


def test_algebra_equals_explicit_gradients():
    report, w = make(), np.array([0.3, 0.0, 2.0, 1.0])
    g = np.einsum("i,lid->ld", w, report.J)
    assert whatif.total(report, w) == pytest.approx(w @ report.L)
    assert whatif.grad_norm(report, w) == pytest.approx(np.linalg.norm(g))
    for i, group in enumerate(report.groups):
        assert whatif.grad_norm(report, w, group) == pytest.approx(np.linalg.norm(g[i]))
        norms = np.linalg.norm(report.J[i], axis=1)
        np.testing.assert_allclose(whatif.term_grad_norms(report, w, group), w * norms)
        unit = report.J[i] / norms[:, None]
        np.testing.assert_allclose(whatif.cosines(report, group), unit @ unit.T, atol=1e-12)
    norms = np.linalg.norm(report.J, axis=(0, 2))
    np.testing.assert_allclose(whatif.gradient_shares(report, w), w * norms / (w @ norms))
    assert whatif.cancellation(report, w) == pytest.approx((w @ norms) / np.linalg.norm(g))
    np.testing.assert_allclose(whatif.weighted(report, w), w * report.L)
    assert whatif.shares(report, w).sum() == pytest.approx(1)


def test_a_term_that_is_off_contributes_nothing_even_if_nan():
    report, on = faulty(), [1.0, 0.0, 1.0, 1.0]
    assert np.isfinite([whatif.total(report, on), whatif.grad_norm(report, on)]).all()
    assert np.isfinite(whatif.grad_norm(report, on, "g0"))
    for values in (whatif.shares, whatif.weighted, whatif.term_grad_norms, whatif.gradient_shares):
        assert values(report, on)[1] == 0 and np.isfinite(values(report, on)).all()
    assert np.isfinite(whatif.cancellation(report, on))
    assert np.isnan(whatif.total(report)) and np.isnan(whatif.grad_norm(report))
    assert np.isnan(whatif.cosines(report)[1]).all() and np.isfinite(whatif.cosines(report)[0, 2])
    assert all("term1" not in pair[:2] for pair in whatif.conflicts(report))


def test_nothing_on_is_exactly_zero():
    report, off = make(), [0.0] * 4
    assert whatif.total(report, off) == 0 and whatif.grad_norm(report, off) == 0
    assert whatif.shares(report, off).tolist() == [0] * 4 and whatif.gradient_shares(report, off).tolist() == [0] * 4
    assert np.isnan(whatif.cancellation(report, off))


def test_rounding_below_zero_is_clamped():
    report = make(m=2, n=1, G=np.array([[1.0, -1.0 - 1e-15], [-1.0 - 1e-15, 1.0]]), groups=("g0",))
    assert whatif.grad_norm(report, [1.0, 1.0]) == 0
    assert whatif.cancellation(report, [1.0, 1.0]) == np.inf
    assert whatif.cosines(report)[0, 1] == -1


def test_conflicts_are_the_negative_pairs_worst_first():
    report = make()
    cosine, pairs = whatif.cosines(report), whatif.conflicts(report)
    expected = {(f"term{i}", f"term{j}") for i, j in itertools.combinations(range(4), 2) if cosine[i, j] < 0}
    assert expected and {pair[:2] for pair in pairs} == expected
    assert [pair[2] for pair in pairs] == sorted(pair[2] for pair in pairs)


def test_a_term_without_gradient_has_no_cosine():
    report = make()
    report.G[2, :] = report.G[:, 2] = 0.0
    cosine = whatif.cosines(report)
    assert np.isnan(cosine[2]).all() and (np.diag(cosine)[[0, 1, 3]] == 1).all()


@pytest.mark.parametrize("group", [None, "g1"])
@pytest.mark.parametrize("fixed", [False, True])
def test_maxima_equal_a_brute_force_grid(group, fixed):
    for seed in range(5):
        report = make(seed=seed)
        report.L[0] *= -1
        if fixed:
            report.adjustable, report.weight_names = np.array([1, 1, 1, 0], bool), ("lam_0", "lam_1", "lam_2", "")
            report.weights[3] = 1.0
        grid = [np.array(w) for w in itertools.product(np.linspace(0, 1.5, 4), repeat=4)]
        steepest = max(whatif.grad_norm(report, w, group) for w in grid)
        assert whatif.max_grad_norm(report, 1.5, group) == pytest.approx(steepest)
        assert whatif.max_total(report, 1.5) == pytest.approx(max(whatif.total(report, w) for w in grid))


def test_many_terms_are_bounded_by_the_triangle():
    report = make(m=16, n=1)
    exact = whatif.max_grad_norm(report)
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 2, (300, 16)) * 2.0
    assert max(whatif.grad_norm(report, w) for w in corners) <= exact * (1 + 1e-12)
    assert exact <= whatif.term_grad_norms(report, [2.0] * 16).sum()
    many = make(m=17, n=1)
    assert whatif.max_grad_norm(many) == pytest.approx(whatif.term_grad_norms(many, [2.0] * 17).sum())


def test_axes_stay_finite_with_a_faulty_term():
    assert np.isfinite([whatif.max_total(faulty()), whatif.max_grad_norm(faulty())]).all()
    assert np.isfinite(whatif.max_grad_norm(faulty(), group="g0"))


def test_unknown_group_and_wrong_upper_are_refused():
    with pytest.raises(ValueError, match=r"group should be one of \['g0', 'g1', 'g2'\]. Found group = 'x'"):
        whatif.grad_norm(make(), group="x")
    for upper in (0, -1, np.inf):
        with pytest.raises(ValueError, match="upper should be finite and > 0"):
            whatif.max_total(make(), upper)
