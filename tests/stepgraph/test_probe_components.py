from __future__ import annotations

import dataclasses
import functools

import pytest
import torch

from kit.stepgraph import DecompositionError, decompose
from tests.stepgraph import _probe_cases as cases

LAM = (0.5, 0.2, 1.5)


@pytest.fixture
def step():
    model, (inputs, target) = cases.make()
    return {k: v.detach().requires_grad_() for k, v in model(inputs).items()}, target


def assert_terms(found, prediction, target, tolerance=1e-12):
    leaves = list(prediction.values())
    for value, truth in zip(found.values, cases.terms(prediction, target).values(), strict=False):
        assert value.item() == pytest.approx(truth.item(), rel=tolerance)
        grads = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
        truths = torch.autograd.grad(truth, leaves, retain_graph=True, allow_unused=True)
        for leaf, g, true in zip(leaves, grads, truths, strict=True):
            g, true = (torch.zeros_like(leaf) if grad is None else grad for grad in (g, true))
            torch.testing.assert_close(g, true, rtol=tolerance, atol=1e-15)


@pytest.mark.parametrize(
    "loss, way",
    [
        (cases.Exposed, "exposed"), (cases.FixedExposed, "exposed"),
        (cases.Weighted, "step_graph"), (cases.Guarded, "step_graph"), (cases.Branching, "step_graph"),
        (cases.SumToOne, "step_graph"), (cases.Plain, "step_graph"), (cases.Buffered, "step_graph"), (cases.Dot, "step_graph"),
    ],
)  # fmt: skip
def test_each_habit_is_told_apart_with_its_attributes_as_weights(step, loss, way):
    loss = loss()
    before = [loss.lam_a, loss.lam_b, loss.lam_c]
    found = decompose(loss, *step)
    assert (found.way, found.notes) == (way, ())
    assert found.weight_names == ("lam_a", "lam_b", "lam_c")
    assert found.weights == tuple(float(lam) for lam in before)
    assert all(found.adjustable)
    assert_terms(found, *step)
    assert [loss.lam_a, loss.lam_b, loss.lam_c] == before


def test_the_loss_is_called_once(step):
    class Loss(cases.Branching):
        def forward(self, p, t):
            CALLS.append(1)
            return super().forward(p, t)

    CALLS.clear()
    decompose(Loss(), *step)
    assert len(CALLS) == 1


CALLS = []  # global, since what a loss holds is put back


def test_names_come_from_the_loss_or_from_the_attribute(step):
    assert decompose(cases.Exposed(), *step).names == ("term_a", "term_b", "term_c")
    assert decompose(cases.Weighted(), *step).names == ("a", "b", "c")


def test_terms_are_bitwise_those_of_the_loss_in_float32():
    model, (inputs, target) = cases.make(torch.float32)
    prediction = {k: v.detach().requires_grad_() for k, v in model(inputs).items()}
    found = decompose(cases.Weighted(), prediction, target)
    for value, truth in zip(found.values, cases.terms(prediction, target).values(), strict=True):
        assert value.item() == truth.item()
        a, b = (
            torch.autograd.grad(v, prediction["y"], retain_graph=True, allow_unused=True)[0] for v in (value, truth)
        )
        assert (a is None and b is None) or torch.equal(a, b)


class Hidden(cases.Weighted):
    """Divides by a sum of weights that it computed before."""

    def forward(self, p, t):
        size = self.lam_a + self.lam_b
        size += self.lam_c
        return super().forward(p, t) / size


class ByMethod(cases.Weighted):
    def size(self):
        return self.lam_a + self.lam_b + self.lam_c

    def forward(self, p, t):
        return super().forward(p, t) / self.size()


class ByVariable(cases.Weighted):
    def forward(self, p, t):
        L = terms = cases.terms(p, t)
        square = self.lam_a**2
        return square * L["a"] + self.lam_a * terms["b"] + self.lam_c * L["c"]


@pytest.mark.parametrize(
    "loss, weights, kept",
    [
        (cases.Normalised, (0.5 / 2.2, 0.2 / 2.2, 1.5 / 2.2), ()),
        (Hidden, (0.5 / 2.2, 0.2 / 2.2, 1.5 / 2.2), ()),
        (ByMethod, (0.5 / 2.2, 0.2 / 2.2, 1.5 / 2.2), ()),
        (cases.Squared, (0.25, 0.2, 1.5), ("lam_b", "lam_c")),
        (cases.Product, (0.5, 0.1, 1.5), ("lam_c",)),
        (ByVariable, (0.25, 0.5, 1.5), ("lam_c",)),
    ],
)
def test_a_weight_that_bends_names_no_slider(step, loss, weights, kept):
    """The factors in force are the weights; an attribute is one only where nothing else in the sum is computed from it."""
    found = decompose(loss(), *step)
    order = [found.names.index(name) for name in "abc"]
    assert [found.weights[i] for i in order] == pytest.approx(weights)
    assert {name for name in found.weight_names if name.startswith("lam_")} == set(kept)
    assert any("Part of the weight of" in note and "lam_a" in note for note in found.notes)
    truths = cases.terms(*step)
    assert [found.values[i].item() for i in order] == pytest.approx([truths[name].item() for name in "abc"])


def test_a_function_of_the_sum_is_refused_and_says_what_to_pass(step):
    with pytest.raises(
        DecompositionError, match="no sum. Pass .*terms=.*'a': .*weights={'a': 0.5, 'b': 0.2, 'c': 1.5}"
    ):
        decompose(cases.LogOfAll(), *step)


def test_terms_that_are_exposed_and_do_not_add_up_give_way_to_the_graph(step):
    class Loss(cases.Exposed):
        def forward(self, p, t):
            return super().forward(p, t) / (self.lam_a + self.lam_b + self.lam_c)

    found = decompose(Loss(), *step)
    assert found.way == "step_graph" and any("components and their weights add up to" in note for note in found.notes)
    assert sum(w * v.item() for w, v in zip(found.weights, found.values, strict=True)) == pytest.approx(
        Loss()(*step).item()
    )


def test_what_stands_before_the_sum_belongs_to_the_terms(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            L = cases.terms(p, t)
            return (self.lam_a * L["a"] - 2 * self.lam_b / 5 * L["b"] + 3.0) / 4

    loss = Loss()
    found, L = decompose(loss, *step), cases.terms(*step)
    assert (found.names, found.weight_names) == (("a", "b", "rest"), ("lam_a", "lam_b", ""))
    assert [v.item() for v in found.values] == pytest.approx([L["a"].item() / 4, -L["b"].item() / 10, 0.75])
    loss.lam_a, loss.lam_b = 1.25, 0.75
    moved = 1.25 * found.values[0] + 0.75 * found.values[1] + found.values[2]
    assert loss(*step).item() == pytest.approx(moved.item(), rel=1e-12)


def test_summands_of_one_attribute_are_one_term(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            return super().forward(p, t) + self.lam_a * p["x"].abs().mean()

    found = decompose(Loss(), *step)
    assert found.names == ("a", "b", "c")
    both = cases.terms(*step)["a"] + step[0]["x"].abs().mean()
    assert found.values[0].item() == pytest.approx(both.item(), rel=1e-12)


class Reached(cases.Weighted):
    """`way` weighs terms L of a loss in which two weights are equal."""

    def __init__(self, way):
        super().__init__(lam_a=1.0, lam_b=1.0, lam_c=2)
        self.way = way

    def forward(self, p, t):
        return self.way(self, cases.terms(p, t))


def by_getattr(self, L):
    total = 0
    for name, value in L.items():
        total = total + getattr(self, f"lam_{name}") * value
    return total


def by_variable(self, L):
    total = 0
    for name, value in L.items():
        lam = getattr(self, "lam_" + name)
        if lam > 0:
            total += lam * value
    return total


def by_dict(self, L):
    weights = {"a": self.lam_a, "b": self.lam_b}
    return sum(weights[name] * L[name] for name in weights) + self.lam_c * L["c"]


def by_vector(self, L):
    weights = torch.tensor([self.lam_a, self.lam_b, self.lam_c]).to(L["a"])
    return (weights * torch.stack([*L.values()])).sum()


def by_list(self, L):
    return torch.stack([self.lam_a * L["a"], self.lam_b * L["b"], self.lam_c * L["c"]]).sum()


def by_argument(self, L):
    def added(total, weight, term):
        return total + weight * term

    return added(added(added(0.0, self.lam_a, L["a"]), self.lam_b, L["b"]), self.lam_c, L["c"])


def by_alias(self, L):
    lam_a, beta = self.lam_a, self.lam_b
    return lam_a * L["a"] + beta * L["b"] + self.lam_c * L["c"]


@pytest.mark.parametrize("way", [by_getattr, by_variable, by_dict, by_vector, by_list, by_alias])
def test_a_weight_is_the_attribute_however_it_is_reached(step, way):
    found = decompose(Reached(way), *step)
    assert (found.weight_names, found.weights) == (("lam_a", "lam_b", "lam_c"), (1.0, 1.0, 2.0))
    assert_terms(found, *step)


def test_a_weight_that_is_handed_to_a_function_is_the_attribute_if_no_other_is_the_same_number(step):
    loss = Reached(by_argument)
    loss.lam_a, loss.lam_b, loss.lam_c = LAM
    found = decompose(loss, *step)
    assert (found.weight_names, found.weights) == (("lam_a", "lam_b", "lam_c"), LAM)
    assert_terms(found, *step)


def test_a_vector_of_weights_in_float32_is_in_force_as_it_is(step):
    loss = Reached(by_vector)
    loss.lam_a, loss.lam_b, loss.lam_c = LAM
    found = decompose(loss, *step)
    assert (found.weight_names, found.weights) == (("lam_a", "lam_b", "lam_c"), LAM)
    total = sum(w * v for w, v in zip(found.weights, found.values, strict=True))
    assert total.item() == pytest.approx(loss(*step).item(), rel=1e-15)


def test_a_compiled_loss_shows_its_terms(step):
    loss = cases.Weighted()
    loss.compile(backend="eager")
    loss(*step)
    found = decompose(loss, *step)
    assert (found.names, found.weights) == (("a", "b", "c"), LAM)
    assert_terms(found, *step)


class Fused(torch.autograd.Function):
    """Two terms from one function, as fused kernels give them."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square().sum(), 3 * x.sum()

    @staticmethod
    def backward(ctx, first, second):
        (x,) = ctx.saved_tensors
        return 2 * x * first + 3 * second


def test_terms_of_a_function_of_the_program_are_followed(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            fit, size = Fused.apply(p["x"])
            return self.lam_a * fit + self.lam_b * size

    found, x = decompose(Loss(), *step), step[0]["x"]
    assert [v.item() for v in found.values[:2]] == pytest.approx([x.square().sum().item(), 3 * x.sum().item()])
    for value, truth in zip(found.values, (2 * x, 3 * torch.ones_like(x)), strict=False):
        torch.testing.assert_close(torch.autograd.grad(value, x, retain_graph=True)[0], truth)


def test_weights_fixed_at_construction_are_those_of_the_graph(step):
    found = decompose(cases.Fixed(), *step)
    assert found.way == "step_graph"
    assert found.weights == (0.5, 0.2, 1.5) and not any(name.startswith("lam_") for name in found.weight_names)
    assert any("Not written before any term of the sum, and held: lam_a, lam_b, lam_c" in note for note in found.notes)
    assert sum(w * v.item() for w, v in zip(found.weights, found.values, strict=True)) == pytest.approx(
        cases.Fixed()(*step).item(), rel=1e-12
    )


def test_a_nan_term_does_not_spoil_the_others(step):
    found = decompose(cases.OneNan(), *step)
    assert found.way == "step_graph"
    assert torch.isnan(found.values[1])
    truth = list(cases.terms(*step).values())
    assert found.values[0].item() == pytest.approx(truth[0].item(), rel=1e-12)
    assert found.values[2].item() == pytest.approx(truth[2].item(), rel=1e-12)
    grad = torch.autograd.grad(found.values[0], step[0]["x"], retain_graph=True)[0]
    assert torch.isfinite(grad).all()


def test_a_nan_term_that_is_off_does_not_matter_when_terms_are_exposed(step):
    class Loss(cases.Exposed):
        def components(self, p, t):
            return super().components(p, t) | {"term_b": p["y"].sum() * float("nan")}

    found = decompose(Loss(lam_b=0.0), *step)
    assert found.way == "exposed" and torch.isnan(found.values[1]) and len(found.names) == 3


def test_random_and_remembering_losses_are_replayed(step):
    for loss in (cases.Noisy(), cases.Remembering()):
        torch.manual_seed(3)
        before = cases.snapshot(loss)
        found = decompose(loss, *step)
        assert cases.snapshot(loss) == before
        assert found.way == "step_graph"
        total, parts = loss(*step).item(), [w * v.item() for w, v in zip(found.weights, found.values, strict=True)]
        assert sum(parts) == pytest.approx(total, rel=1e-9)


def test_a_part_without_an_attribute_is_a_term_under_its_own_name(step):
    found = decompose(cases.WithRest(), *step)
    assert found.names[:3] == ("a", "b", "c") and found.names[3] == found.weight_names[3]
    assert found.weights[3] == 0.7
    assert found.values[3].item() == pytest.approx(step[0]["x"].pow(4).mean().item(), rel=1e-12)
    assert_terms(found, *step)


def test_a_weight_that_the_sum_does_not_contain_is_named(step):
    class Loss(cases.Weighted):
        def __init__(self):
            super().__init__()
            self.lam_unused = 0.4

    found = decompose(Loss(), *step)
    assert found.names == ("a", "b", "c")
    assert found.notes == (
        "Not written before any term of the sum, and held: lam_unused (a setting inside of a term?).",
    )


def test_a_term_that_is_off_and_was_not_computed_is_nan_and_noted(step):
    found = decompose(cases.Branching(lam_b=0.0), *step)
    assert (found.names, found.weights) == (("a", "b", "c"), (0.5, 0.0, 1.5))
    assert torch.isnan(found.values[1]) and found.adjustable[1]
    assert found.notes == ("lam_b is 0 and its term was not computed (or it is a setting): nothing in the sum has it.",)


def test_a_weight_that_is_off_in_a_product_still_has_its_term(step):
    found = decompose(cases.Weighted(lam_b=0.0), *step)
    assert found.weights[1] == 0.0
    assert_terms(found, *step)


def test_given_terms_with_numbers_or_attribute_names(step):
    def loss(p, t):
        return sum(w * v for w, v in zip(LAM, cases.terms(p, t).values(), strict=True))

    found = decompose(loss, *step, terms=cases.terms, weights=dict(zip("abc", LAM, strict=True)))
    assert found.way == "given" and found.weight_names == found.names == ("a", "b", "c")
    assert_terms(found, *step)
    found = decompose(cases.Normalised(0.2, 0.3, 0.5), *step, terms=cases.terms, weights={"a": 0.2, "b": 0.3, "c": 0.5})
    assert found.weights == (0.2, 0.3, 0.5)
    found = decompose(cases.Alpha(), *step, terms=cases.terms, weights={n: f"lam_{n}" for n in "abc"})
    assert found.way == "given" and found.weights == LAM
    assert decompose(cases.Alpha(), *step, terms=cases.terms).weights == LAM


def test_given_terms_that_leave_a_rest_are_completed_and_noted(step):
    found = decompose(cases.Weighted(), *step, terms=lambda p, t: {"a": cases.terms(p, t)["a"]}, weights={"a": 0.5})
    assert found.names == ("a", "rest")
    assert [note for note in found.notes if "'rest' is what the given terms and weights leave of the total" in note]


def test_given_terms_that_contradict_the_loss_leave_a_rest(step):
    found = decompose(cases.Squared(), *step, terms=cases.terms, weights={n: f"lam_{n}" for n in "abc"})
    assert found.names[-1] == "rest" and not found.adjustable[-1] and any("weight or formula" in n for n in found.notes)
    assert found.values[-1].item() == pytest.approx(-0.25 * cases.terms(*step)["a"].item(), rel=1e-9)


@pytest.mark.parametrize(
    "kwargs, error, text",
    [
        ({"terms": {}}, TypeError, "terms should be a callable"),
        ({"terms": cases.terms, "weights": {"a": 1.0}}, ValueError, "one entry for each term.*'b', 'c'"),
        ({"terms": cases.terms, "weights": {"a": "lam_x", "b": 1.0, "c": 1.0}}, ValueError, "should name a number"),
        ({"terms": cases.terms, "weights": {"a": None, "b": 1.0, "c": 1.0}}, TypeError, "number or an attribute name"),
        ({"terms": lambda p, t: {"a": p["x"]}, "weights": {"a": 1.0}}, ValueError, "real scalar"),
        ({"terms": lambda p, t: p["x"].sum(), "weights": {"a": 1.0}}, TypeError, "dict of unweighted"),
        ({"terms": cases.terms, "weights": [1.0]}, TypeError, "weights should be a dict"),
        ({"weights": {"a": 1.0}}, ValueError, "terms= or a loss that has components"),
    ],
)
def test_wrong_arguments_are_refused(step, kwargs, error, text):
    with pytest.raises(error, match=text):
        decompose(cases.Weighted(), *step, **kwargs)


def test_weights_need_not_be_assignable(step):
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        lam_a: float = 0.5

        def __call__(self, p, t):
            return self.lam_a * cases.terms(p, t)["a"]

    found = decompose(Frozen(), *step)
    assert (found.names, found.weight_names, found.weights) == (("a",), ("lam_a",), (0.5,))
    assert_terms(found, *step)


def test_a_loss_of_one_term_is_told_what_to_do(step):
    def loss(p, t, lam_a=0.5):
        return lam_a * cases.terms(p, t)["a"]

    for plain in (loss, functools.partial(loss, lam_a=0.3)):
        with pytest.raises(DecompositionError) as caught:
            decompose(plain, *step)
        text = str(caught.value)
        assert text.startswith("loss should be a sum of weighted terms. Found ")
        for hint in ("its graph shows no sum", "terms=", "weights="):
            assert hint in text


def test_a_trained_weight_is_noted_as_fixed(step):
    class Loss(cases.Weighted):
        def __init__(self):
            super().__init__()
            self.lam_b = torch.nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    found = decompose(Loss(), *step)
    assert found.names[:2] == ("a", "c") and found.weights[2] == 1
    assert found.values[2].item() == pytest.approx(0.2 * cases.terms(*step)["b"].item())
    assert any(note.startswith("lam_b is a trained parameter") for note in found.notes)
    loss = Loss()
    del loss.lam_a, loss.lam_c
    loss.forward = lambda p, t: loss.lam_b * cases.terms(p, t)["b"]
    with pytest.raises(DecompositionError, match="trained: lam_b"):
        decompose(loss, *step)


def test_what_the_loss_raises_goes_up_as_it_is(step):
    with pytest.raises(KeyError, match="nowhere"):
        decompose(lambda p, t: p["nowhere"], *step)


def test_weights_are_found_behind_methods_and_partials(step):
    loss = cases.Weighted()
    assert decompose(loss.forward, *step).weights == LAM
    assert decompose(functools.partial(loss), *step).weights == LAM


def test_a_loss_that_changes_its_prediction_and_target_in_place(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            t -= 1.0
            return super().forward({"x": p["x"].mul_(2.0), "y": p["y"]}, t)

    prediction, target = step
    before = target.clone()
    found = decompose(Loss(), prediction, target)
    assert torch.equal(target, before)
    truth = cases.terms({"x": 2 * prediction["x"], "y": prediction["y"]}, target - 1)
    assert found.values[0].item() == pytest.approx(truth["a"].item(), rel=1e-12)


def test_weights_under_other_names_are_named_alone_and_put_back(step):
    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w_rec, self.beta, self.scale = 1, 0.1, 2.0

        def forward(self, p, t):
            L = cases.terms(p, t)
            return self.w_rec * L["a"] + self.beta * L["b"]

    loss = Loss()
    found = decompose(loss, *step, weights={"a": "w_rec", "b": "beta"})
    assert (found.names, found.weight_names, found.weights) == (("a", "b"), ("w_rec", "beta"), (1.0, 0.1))
    assert all(found.adjustable) and found.way == "step_graph"
    assert_terms(found, *step)
    assert vars(loss)["w_rec"] == 1 and type(loss.w_rec) is int and loss.beta == 0.1
    with pytest.raises(ValueError, match=r"weights\['b'\] should name a number of loss. Found 'gamma' = None"):
        decompose(loss, *step, weights={"a": "w_rec", "b": "gamma"})
    part = decompose(loss, *step, weights={"rec": "w_rec"})  # what is not named keeps the names of the program
    assert (part.names, part.weight_names) == (("rec", "b"), ("w_rec", "beta"))


class Lengthy:
    """The variance of large numbers: E[x^2] - E[x]^2 rounds, E[(x - E[x])^2] does not."""

    def __init__(self, extra=None):
        self.extra = extra

    def __call__(self, p, t):
        x = p["x"].float() + 30.0
        total = (x.square().mean() - x.mean().square()) + 0.1 * p["y"].float().abs().mean()
        return total if self.extra is None else total + self.extra(p)

    @staticmethod
    def terms(p, t):
        x = p["x"].float() + 30.0
        return {"fit": (x - x.mean()).square().mean(), "size": p["y"].float().abs().mean()}

    weights = {"fit": 1.0, "size": 0.1}  # noqa: RUF012 - read only


def test_rounding_of_given_terms_is_no_rest(step):
    given = {"terms": Lengthy.terms, "weights": Lengthy.weights}
    missed = Lengthy()(*step).item() - sum(Lengthy.weights[n] * v.item() for n, v in Lengthy.terms(*step).items())
    assert 1e-4 < abs(missed) / Lengthy()(*step).item() < 1e-3, "more than a sum of terms rounds"
    assert decompose(Lengthy(), *step, **given).names == ("fit", "size")


def test_a_rest_as_small_as_rounding_that_pulls_on_the_network_stays(step):
    loss = Lengthy(lambda p: -2e-5 * p["y"].sum())
    found = decompose(loss, *step, terms=Lengthy.terms, weights=Lengthy.weights)
    assert found.names == ("fit", "size", "rest")
    assert abs(found.values[2].item()) < 1e-3 * loss(*step).item()


@pytest.mark.parametrize(
    "extra", [lambda p: 5e-5 * p["y"].sum(), lambda p: torch.tensor(3e-3), lambda p: 0.01 * p["x"].square().mean()]
)
def test_a_real_rest_stays_and_is_explained_in_one_sentence(step, extra):
    given = {"terms": Lengthy.terms, "weights": Lengthy.weights}
    found = decompose(Lengthy(extra), *step, **given)
    assert found.names == ("fit", "size", "rest")
    (note,) = [note for note in found.notes if "rest" in note]
    assert "is what the given terms and weights leave of the total" in note and "weight or formula differs" in note


def test_given_terms_keep_their_names_as_weights(step):
    def loss(p, t):
        L = cases.terms(p, t)
        return L["a"] + 0.1 * L["b"]

    found = decompose(
        loss, *step, terms=lambda p, t: dict(list(cases.terms(p, t).items())[:2]), weights={"a": 1, "b": 0.1}
    )
    assert found.weight_names == found.names == ("a", "b")
