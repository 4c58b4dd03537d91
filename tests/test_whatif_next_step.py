"""`whatif.next_step` against a real step of SGD on a copy: what it leaves out falls like lr^2."""

from __future__ import annotations

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kit
from kit import whatif


class Weighted(nn.Module):
    """A loss of terms of its own, each a function of prediction and target; lam_1, lam_2, ... weigh them."""

    def __init__(self, terms, lam):
        super().__init__()
        self.terms = terms
        for i, value in enumerate(lam):
            setattr(self, f"lam_{i}", value)

    def components(self, prediction, target):
        return {f"term_{i}": term(prediction, target) for i, term in enumerate(self.terms)}

    def forward(self, prediction, target):
        terms = self.components(prediction, target).values()
        return sum(getattr(self, f"lam_{i}") * term for i, term in enumerate(terms))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def regression():
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    terms = [
        F.mse_loss,
        lambda p, y: p.pow(4).mean(),
        lambda p, y: -p.tanh().mean(),
        lambda p, y: F.softplus(p - 3 * y).mean(),
    ]
    return net, Weighted(terms, (1.0, 0.3, 0.05, 0.01)), torch.randn(16, 6), torch.randn(16, 2)


def classification():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GELU(), nn.Flatten(), nn.Linear(3 * 16, 4))
    entropy = lambda p, y: -(p.softmax(-1) * p.log_softmax(-1)).sum(-1).mean()
    terms = [F.cross_entropy, entropy, lambda p, y: p.logsumexp(-1).pow(2).mean()]
    return net, Weighted(terms, (1.0, 0.1, 0.0)), torch.randn(12, 1, 6, 6), torch.randint(0, 4, (12,))


def sequence():
    terms = [F.mse_loss, lambda p, y: F.softplus(p * y).mean()]
    return Recurrent(), Weighted(terms, (0.7, 1.3)), torch.randn(9, 5, 3), torch.randn(9, 2)


@pytest.fixture(params=[regression, classification, sequence], ids=lambda make: make.__name__)
def case(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    yield request.param()
    torch.set_default_dtype(before)


def values(model, loss, x, y):
    with torch.no_grad():
        return np.array([float(term) for term in loss.components(model(x), y).values()])


def real_change(model, loss, x, y, w, lr):
    """One step of SGD on a copy, under the weights w: the change of every term [m]."""
    model, loss = copy.deepcopy((model, loss))
    for i, value in enumerate(w):
        setattr(loss, f"lam_{i}", float(value))
    before = values(model, loss, x, y)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    loss(model(x), y).backward()
    optimizer.step()
    return values(model, loss, x, y) - before


def settings(m):
    """As probed, one term off, one term alone."""
    return [None, [0.0, *[0.8] * (m - 1)], [1.5, *[0.0] * (m - 1)]]


def test_it_is_what_a_step_does_up_to_lr_squared(case):
    seen = kit.probe(case[0], case[1], case[2:])
    assert list(seen.weight_names) == [f"lam_{i}" for i in range(len(case[1].terms))]
    for asked in settings(len(seen.names)):
        w = whatif.settle(seen, asked)
        lr = 1e-3
        left = [real_change(*case, w, lr / k) - whatif.next_step(seen, lr / k, asked) for k in (1, 2, 4)]
        assert np.abs(left[0]).max() <= 0.05 * np.abs(whatif.next_step(seen, lr, asked)).max()
        for coarse, fine in itertools.pairwise(left):
            np.testing.assert_allclose(coarse / fine, 4.0, atol=0.1)


def test_a_term_of_weight_0_is_predicted_to_change(case):
    seen = kit.probe(case[0], case[1], case[2:])
    alone = settings(len(seen.names))[2]
    change = whatif.next_step(seen, 1e-5, alone)
    assert (change[1:] != 0).all()
    np.testing.assert_allclose(change, real_change(*case, alone, 1e-5), rtol=2e-3)


def made(m=4, seed=0, **changes):
    rng = np.random.default_rng(seed)
    J = rng.normal(size=(m, 9))
    fields = {
        "names": [f"term{i}" for i in range(m)], "weight_names": [f"lam_{i}" for i in range(m)], "L": np.ones(m),
        "weights": rng.uniform(0.1, 1.0, m), "adjustable": np.ones(m, bool), "G": J @ J.T, "J": J,
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def test_it_is_the_change_along_the_gradient_and_linear_in_lr_and_weights():
    seen, w, v = made(), np.array([0.3, 0.0, 2.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.5])
    np.testing.assert_allclose(whatif.next_step(seen, 0.01, w), seen.J @ (-0.01 * (w @ seen.J)), rtol=1e-12)
    np.testing.assert_allclose(
        whatif.next_step(seen, 0.3, w + v),
        3 * (whatif.next_step(seen, 0.1, w) + whatif.next_step(seen, 0.1, v)),
        rtol=1e-12,
    )
    total = whatif.settle(seen, w) @ whatif.next_step(seen, 0.01, w)
    assert total == pytest.approx(-0.01 * whatif.grad_norm(seen, w) ** 2), "the total falls by lr |g|^2"


def test_what_is_not_finite_is_nan_where_it_counts_and_nowhere_else():
    seen = made()
    seen.G[1, :] = seen.G[:, 1] = np.nan
    off = whatif.next_step(seen, 0.1, {"lam_1": 0.0})
    assert np.isnan(off).tolist() == [False, True, False, False]
    rest = [0, 2, 3]
    np.testing.assert_allclose(off[rest], -0.1 * seen.J[rest] @ (seen.weights[rest] @ seen.J[rest]), rtol=1e-12)
    assert np.isnan(whatif.next_step(seen, 0.1)).all()
    assert whatif.next_step(seen, 0.1, [0.0] * 4).tolist() == [0.0] * 4, "without a weight no step is taken"


@pytest.mark.parametrize("lr", [0, -0.1, float("nan"), float("inf")])
def test_a_step_without_a_size_is_refused(lr):
    with pytest.raises(ValueError, match=f"lr should be finite and > 0. Found lr = {lr}"):
        whatif.next_step(made(), lr)


@pytest.mark.parametrize("lr", ["0.1", None, True])
def test_an_lr_that_is_no_number_is_refused(lr):
    with pytest.raises(TypeError, match=f"lr should be a number. Found lr = {lr!r}"):
        whatif.next_step(made(), lr)
    with pytest.raises(TypeError, match="report should be a ProbeReport. Found float"):
        whatif.next_step(0.1, 0.1)
