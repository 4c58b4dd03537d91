"""`whatif.balance`: each way by the conditions that only its answer meets, over terms of very different size."""

from __future__ import annotations

import importlib
import itertools
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import kit
from kit import whatif

HOW = ("equal_gradient_norm", "min_norm", "upgrad")


def optional(name, extra):
    """A user without the extra skips; CI, which sets KIT_REQUIRE_GUESTS, must not."""
    if os.environ.get("KIT_REQUIRE_GUESTS"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"no {name} on this machine: pip install '.[{extra}]'")


@pytest.fixture
def scipy():
    return optional("scipy", "balance")


def made(J, **changes):
    m = len(J)
    fields = {
        "names": [f"term{i}" for i in range(m)], "weight_names": [f"lam_{i}" for i in range(m)], "L": np.ones(m),
        "weights": np.linspace(0.1, 1.0, m), "adjustable": np.ones(m, bool), "G": J @ J.T, "J": J,
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def drawn(m, decades, seed, against=0.5):
    """m gradients of sizes from 10^-decades to 10^decades; all but the first partly oppose it."""
    rng = np.random.default_rng(seed)
    J = rng.normal(size=(m, m + 4))
    J[1:] -= against * J[0]
    return made(J * 10.0 ** rng.uniform(-decades, decades, m)[:, None])


CASES = [(m, decades, seed) for m, decades in itertools.product((2, 3, 7, 16), (0, 2, 6)) for seed in range(5)]


def parts(report, how):
    """w [m]; (G w)_i and w'Gw in units in which a rounding error is about 1e-16."""
    w = np.array(list(whatif.balance(report, how).values()))
    d = np.sqrt(np.diag(report.G))
    reach = w @ d
    return w, report.G @ w / d / reach, d, reach


@pytest.mark.parametrize(("m", "decades", "seed"), CASES)
def test_equal_norms_with_the_sum_of_norms_as_it_was(m, decades, seed):
    report = drawn(m, decades, seed)
    w = whatif.balance(report, "equal_gradient_norm")
    norms = whatif.term_grad_norms(report, w)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-12)
    assert norms.sum() == pytest.approx(whatif.term_grad_norms(report).sum(), rel=1e-12)


@pytest.mark.parametrize(("m", "decades", "seed"), CASES)
def test_minimum_norm_meets_the_conditions_of_the_optimum(scipy, m, decades, seed):
    """(G w)_i >= w'Gw for all i, equal where w_i > 0: with w >= 0 and sum 1 that is the shortest point, and no other is."""
    report = drawn(m, decades, seed)
    w, slope, d, reach = parts(report, "min_norm")
    assert (w >= 0).all() and w.sum() == pytest.approx(1, rel=1e-12)
    slack = slope - w @ report.G @ w / d / reach
    assert slack.min() >= -1e-12 and np.abs(slack[w > 0]).max() <= 1e-12


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("decades", [0, 2, 6])
def test_minimum_norm_of_two_is_the_closed_form(scipy, decades, seed):
    report = drawn(2, decades, seed, against=0.5 if seed % 2 else -2.0)
    (a, c), b = np.diag(report.G), report.G[0, 1]
    first = np.clip((c - b) / (a + c - 2 * b), 0.0, 1.0)
    found = whatif.balance(report, "min_norm")
    np.testing.assert_allclose(list(found.values()), [first, 1 - first], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_minimum_norm_is_what_another_solver_comes_near_to(scipy, seed):
    """MGDA of TorchJD, by steps of Frank and Wolfe: never shorter, and after 2000 of them nearly as short."""
    solver = optional("torchjd.aggregation", "guests").MGDAWeighting(epsilon=1e-9, max_iters=2000)
    report = drawn(5, 0, seed)
    near = solver(torch.from_numpy(report.G)).numpy()
    w = np.array(list(whatif.balance(report, "min_norm").values()))
    shortest, found = w @ report.G @ w, near @ report.G @ near
    assert -1e-12 <= (found - shortest) / np.diag(report.G).mean() <= 1e-3


def test_minimum_norm_of_opposed_gradients_is_0(scipy):
    report = made(np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    w = whatif.balance(report, "min_norm")
    assert w == pytest.approx({"lam_0": 1 / 3, "lam_1": 2 / 3, "lam_2": 0.0}, abs=1e-12)
    assert whatif.grad_norm(report, w) < 1e-7


@pytest.mark.parametrize(("m", "decades", "seed"), CASES)
def test_upgrad_opposes_no_term(scipy, m, decades, seed):
    report = drawn(m, decades, seed)
    w, slope, _, _ = parts(report, "upgrad")
    assert slope.min() >= -1e-13, "(G w)_i >= 0 for all i"
    assert (w >= 1 / m).all(), "a projection adds, it takes nothing away"
    step = whatif.next_step(report, 1.0, w)
    assert (step <= 1e-13 * np.sqrt(np.diag(report.G)) * whatif.term_grad_norms(report, w).sum()).all()


def test_upgrad_is_the_mean_of_the_projections_of_each_gradient(scipy):
    """By hand, for two: where g_0 . g_1 < 0, each loses its part along the other."""
    report = drawn(2, 0, 1, against=2.0)
    g, h = report.J
    assert g @ h < 0
    expected = ((g - (g @ h) / (h @ h) * h) + (h - (g @ h) / (g @ g) * g)) / 2
    w = np.array(list(whatif.balance(report, "upgrad").values()))
    np.testing.assert_allclose(w @ report.J, expected, rtol=1e-12)


def test_upgrad_of_gradients_that_agree_is_their_mean(scipy):
    report = made(np.abs(np.random.default_rng(2).normal(size=(5, 8))))
    assert list(whatif.balance(report, "upgrad").values()) == pytest.approx([0.2] * 5)


@pytest.mark.parametrize("how", HOW)
def test_terms_that_cannot_be_balanced_keep_their_weight_and_are_named(scipy, how):
    report, plain = drawn(6, 1, 3), drawn(6, 1, 3)
    report.J[1] = report.G[1, :] = report.G[:, 1] = 0.0
    report.G[4, :] = report.G[:, 4] = np.nan
    report.weights[5] = -0.2
    with pytest.warns(
        UserWarning,
        match=r"weight kept: term1 \(no gradient\), term4 \(its gradient is not finite\), term5 \(its weight is negative\).$",
    ):
        found = whatif.balance(report, how)
    assert [found[f"lam_{i}"] for i in (1, 4, 5)] == [report.weights[i] for i in (1, 4, 5)]
    rest = [0, 2, 3]
    alone = made(plain.J[rest], weights=plain.weights[rest])
    assert [found[f"lam_{i}"] for i in rest] == pytest.approx(list(whatif.balance(alone, how).values()))


@pytest.mark.parametrize("how", HOW)
def test_fixed_terms_are_not_weighed_and_terms_of_weight_0_are(scipy, how):
    report = drawn(4, 1, 5)
    report.adjustable[3], report.weights[:] = False, (0.5, 0.0, 2.0, 1.0)
    report.weight_names[3] = ""
    found = whatif.balance(report, how)
    assert list(found) == ["lam_0", "lam_1", "lam_2"] and report.weights.tolist() == [0.5, 0.0, 2.0, 1.0]
    if how == "equal_gradient_norm":
        assert found["lam_1"] > 0
    whatif.total(report, found)


def test_without_any_weight_equal_norms_have_weights_that_add_up_to_1():
    report = drawn(5, 2, 1)
    report.weights[:] = 0.0
    found = whatif.balance(report)
    assert sum(found.values()) == pytest.approx(1)
    norms = whatif.term_grad_norms(report, found)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-12)


@pytest.mark.parametrize("how", HOW)
def test_nothing_to_balance_is_refused(how):
    report = made(np.zeros((3, 4)))
    with pytest.raises(
        ValueError, match="at least one adjustable term should have a gradient that is finite and not 0"
    ):
        whatif.balance(report, how)


def test_another_way_and_no_report_are_refused():
    with pytest.raises(
        ValueError, match="how should be one of equal_gradient_norm, min_norm, upgrad. Found how = 'best'"
    ):
        whatif.balance(drawn(2, 0, 0), "best")
    with pytest.raises(TypeError, match="report should be a ProbeReport. Found float"):
        whatif.balance(1.0)


@pytest.mark.parametrize("how", HOW[1:])
def test_without_scipy_the_extra_is_named(monkeypatch, how):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"should have SciPy. Found none; pip install 'zero-loss-kit\[balance\]'"):
        whatif.balance(drawn(3, 0, 0), how)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert whatif.offered() == ("equal_gradient_norm",) and whatif.balance(drawn(3, 0, 0), "equal_gradient_norm")


@pytest.mark.parametrize("how", HOW)
def test_of_a_probe_of_the_reports_system(scipy, how):
    system = kit.datasets.reference_system()
    seen = kit.probe(system.new_model(), system.new_loss(), system.batch())
    found = whatif.balance(seen, how)
    assert list(found) == list(seen.weight_names)
    d, w = seen.norms, np.array(list(found.values()))
    slope = seen.G @ w / d / (w @ d)
    if how == "equal_gradient_norm":
        np.testing.assert_allclose(w * d, (seen.weights * d).mean(), rtol=1e-12)
    else:
        assert slope.min() >= -1e-12


def test_the_caveat_is_said_wherever_they_are():
    assert whatif.CAVEAT in whatif.balance.__doc__.replace("\n    ", " ")
