from __future__ import annotations

import numpy as np
import pytest
import torch

from kit.stepgraph.gram import gram, norm, products, scaled_products
from kit.stepgraph.layers import layer_groups


def rows_of(*shapes, m=3, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return [[torch.randn(shape, dtype=dtype) for shape in shapes] for _ in range(m)]


def plain(rows):
    flat = [torch.cat([(torch.view_as_real(g) if g.is_complex() else g).reshape(-1) for g in row]) for row in rows]
    J = torch.stack(flat).double().numpy()
    return J @ J.T


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_equals_the_plain_product(dtype):
    rows = rows_of((7, 5), (513,), (1,), (2, 3, 4), dtype=dtype)
    found = gram(rows, [0, 1, 1, 0], 2)
    np.testing.assert_allclose(found.whole, plain(rows), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.groups[0], plain([[r[0], r[3]] for r in rows]), rtol=1e-12, atol=1e-12)


def test_float32_sums_keep_their_digits():
    torch.manual_seed(0)
    J = torch.randn(2, 1_000_000) + 1.0
    truth = J.double() @ J.double().T
    assert np.abs(products(J) / truth.numpy() - 1).max() < 2e-8


@pytest.mark.parametrize("size", [1e-15, 1e-5, 1.0, 1e9])
def test_products_are_those_of_scaled_rows_or_left_to_them(size):
    torch.manual_seed(0)
    J = torch.randn(3, 1300) * torch.tensor([1.0, size, 1.0])[:, None]
    truth, found = (J.double() @ J.double().T).numpy(), products(J)
    norms = np.sqrt(np.diag(truth))
    for G in [scaled_products(J)] + ([] if found is None else [found]):
        assert (np.abs(G - truth) / np.outer(norms, norms)).max() < 3e-7
    assert (found is None) == (size == 1e-15)


@pytest.mark.parametrize("entry", [float("nan"), float("inf"), 3e38, 0.0])
def test_what_has_no_plain_square_is_left_to_scaled_rows(entry):
    J = torch.ones(2, 700)
    J[1] = entry
    assert products(J) is None


@pytest.mark.parametrize("size", [1e-38, 1e-44, 1e30, 3e38])
def test_float32_extremes_neither_overflow_nor_vanish(size):
    rows = [[torch.full((600,), size)], [torch.full((600,), -size)]]
    exact = float(torch.tensor(size)) ** 2 * 600
    np.testing.assert_allclose(gram(rows, [0], 1).whole, exact * np.array([[1, -1], [-1, 1]]), rtol=1e-6)


def test_missing_gradients_are_exact_zeros_without_a_path():
    rows = rows_of((4,), (3,))
    rows[1][0] = None
    found = gram(rows, [0, 1], 2)
    assert not found.reached[0, 1] and found.reached.sum() == 5
    assert (found.groups[0][1] == 0).all() and (found.groups[0][:, 1] == 0).all()


def test_only_the_faulty_term_is_nan_and_its_entries_are_counted():
    rows = rows_of((4,), (3,))
    rows[1][0][0], rows[1][0][2] = float("nan"), float("inf")
    found = gram(rows, [0, 1], 2)
    assert found.nonfinite.tolist() == [[0, 2, 0], [0, 0, 0]]
    healthy = [0, 2]
    assert np.isfinite(found.whole[np.ix_(healthy, healthy)]).all()
    assert np.isnan(found.whole[1]).all() and np.isnan(found.whole[:, 1]).all()
    assert np.isfinite(found.groups[1]).all()
    rest = norm(found.whole[np.ix_(healthy, healthy)], np.ones(2))
    assert norm(found.whole, np.array([1.0, 0.0, 1.0])) == pytest.approx(rest)
    assert np.isnan(rows[1][0][0].item())  # the gradients themselves are left alone


def test_empty_sparse_and_half_gradients():
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.tensor([3.0, 4.0]), (5,), check_invariants=True)
    rows = [[torch.zeros(0), sparse, torch.ones(3, dtype=torch.float16)], [torch.zeros(0), torch.ones(5), None]]
    np.testing.assert_allclose(gram(rows, [0, 0, 0], 1).whole, [[28, 7], [7, 5]])


def test_autocast_does_not_reach_the_products():
    J = torch.tensor([[1.0 + 2**-20]]).repeat(2, 512)
    with torch.autocast("cpu", torch.bfloat16):
        found = products(J)
    np.testing.assert_allclose(found, products(J), rtol=0)


NAMES = [f"net.{i}.{part}.{p}" for i in range(6) for part in ("a", "b", "c") for p in ("weight", "bias")] + ["scale"]


def test_default_groups_are_the_deepest_that_fit():
    assert list(dict.fromkeys(layer_groups(NAMES))) == [f"net.{i}" for i in range(6)] + ["(root)"]
    assert list(dict.fromkeys(layer_groups(NAMES[:12]))) == [f"net.{i}.{p}" for i in (0, 1) for p in "abc"]
    assert layer_groups([f"{i}.weight" for i in range(17)]) == ("all",) * 17
    assert layer_groups(["w", "b"]) == ("(root)", "(root)")


def test_groups_by_depth_and_by_callable():
    assert layer_groups(NAMES, 1) == ("net",) * 36 + ("(root)",)
    assert layer_groups(NAMES, 0) == ("all",) * 37
    assert set(layer_groups(NAMES, lambda name: name.rsplit(".", 1)[-1])) == {"weight", "bias", "scale"}
    with pytest.raises(ValueError, match="groups should be a callable, an int >= 0 or None. Found groups = -1"):
        layer_groups(NAMES, -1)
    with pytest.raises(TypeError, match="should be a str. Found 3"):
        layer_groups(NAMES, lambda name: 3)
