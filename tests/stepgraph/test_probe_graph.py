"""A probe of a loss whose terms only the graph shows: locals, other names, constants, settings inside of a term."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit.stepgraph import DecompositionError, probe
from kit.whatif import total


def step():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    return model, (torch.randn(8, 4).double(), torch.randn(8, 3).double())


def by_hand(model, value):
    """The gradient of one term by every parameter, as one row."""
    grads = torch.autograd.grad(value, list(model.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            torch.zeros(p.numel()).double() if g is None else g.flatten()
            for g, p in zip(grads, model.parameters(), strict=True)
        ]
    )


def local_names(out, y):
    beta = 0.25
    fit = F.mse_loss(out, y)
    size = out.square().mean()
    return fit + beta * size


def one_number_a_sample(out, y):
    fit = (out - y).square().sum(1)
    size = out.abs().sum(1)
    return 2 * (fit + 0.25 * size).mean()


def stacked(out, y):
    weights = torch.tensor([1.0, 0.25]).double()
    return (weights * torch.stack([F.mse_loss(out, y), out.square().mean()])).sum()


def in_place(out, y):
    total = F.mse_loss(out, y)
    total += 0.25 * out.square().mean()
    return total


def many_of_one_line(out, y):
    loss = F.mse_loss(out, y)
    for column in range(3):
        loss = loss + 0.25 * out[:, column].square().mean()
    return loss


TERMS = {
    local_names: (lambda out, y: [F.mse_loss(out, y), out.square().mean()], [1, 0.25]),
    one_number_a_sample: (lambda out, y: [(out - y).square().sum(1).mean(), out.abs().sum(1).mean()], [2, 0.5]),
    stacked: (lambda out, y: [F.mse_loss(out, y), out.square().mean()], [1, 0.25]),
    in_place: (lambda out, y: [F.mse_loss(out, y), out.square().mean()], [1, 0.25]),
    many_of_one_line: (lambda out, y: [F.mse_loss(out, y), 3 * out.square().mean()], [1, 0.25]),
}


@pytest.mark.parametrize("loss", TERMS)
def test_values_weights_and_products_of_gradients_are_those_of_autograd_by_hand(loss):
    model, (x, y) = step()
    terms, weights = TERMS[loss]
    seen = probe(model, loss, (x, y))
    values = terms(model(x), y)
    rows = torch.stack([by_hand(model, value) for value in values])
    assert seen.decomposition == "step_graph"
    assert list(seen.L) == pytest.approx([value.item() for value in values], rel=1e-9)
    assert list(seen.weights) == pytest.approx(weights, rel=1e-6)
    assert seen.G == pytest.approx((rows @ rows.T).numpy(), rel=1e-9)
    assert seen.residual < 1e-9


def test_names_are_those_of_the_program_and_sliders_move_them():
    model, batch = step()
    seen = probe(model, local_names, batch)
    assert (seen.names, seen.weight_names) == (("fit", "size"), ("fit", "beta"))
    assert total(seen, {"beta": 0.0}) == pytest.approx(seen.L[0])


def test_a_setting_inside_of_a_term_is_named_and_held():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.lam_cov, self.lam_aux, self.lam_range_factor = 1.0, 0.5, 0.3

        def forward(self, p, t):
            return (
                self.lam_cov * (p[:, :2] + self.lam_range_factor * p[:, 1:] - t[:, :2]).square().mean()
                + self.lam_aux * p.abs().mean()
            )

    model, batch = step()
    loss = Loss()
    seen = probe(model, loss, batch)
    assert (seen.names, seen.weight_names) == (("cov", "aux"), ("lam_cov", "lam_aux"))
    assert any("Not written before any term of the sum, and held: lam_range_factor" in note for note in seen.notes)
    assert loss.lam_range_factor == 0.3


def test_a_term_without_a_graph_is_shown_with_gradient_0():
    def loss(out, y):
        fit = F.mse_loss(out, y)
        aux = out.abs().mean().detach()
        return fit + 2 * aux

    model, batch = step()
    seen = probe(model, loss, batch)
    assert seen.names == ("fit", "aux") and seen.L[1] > 0 and seen.G[1, 1] == 0
    assert not seen.paths[:, 1].any()


@pytest.mark.parametrize(
    "weight", [lambda s: s.lam_b**2, lambda s: min(s.lam_b, 1.0), lambda s: s.lam_b / (s.lam_b + 1)]
)
def test_a_slider_over_a_weight_that_bends_moves_the_factor_in_force(weight):
    class Loss(nn.Module):
        lam_a, lam_b = 1.0, 0.5

        def forward(self, p, t):
            size = p.abs().mean()
            return self.lam_a * F.mse_loss(p, t) + weight(self) * size

    model, batch = step()
    seen = probe(model, Loss(), batch)
    assert (seen.names, seen.weight_names) == (("a", "size"), ("lam_a", "size"))
    assert seen.weights[1] == pytest.approx(weight(Loss))
    out = model(batch[0])
    assert total(seen, {"size": 0.75}) == pytest.approx((F.mse_loss(out, batch[1]) + 0.75 * out.abs().mean()).item())


def test_a_loss_of_one_term_says_that_there_is_no_sum():
    model, batch = step()
    with pytest.raises(DecompositionError, match="its graph shows no sum"):
        probe(model, lambda out, y: F.mse_loss(out, y), batch)
