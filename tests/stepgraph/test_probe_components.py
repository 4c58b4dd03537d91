from __future__ import annotations

import dataclasses
import functools
import warnings

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
        (cases.Weighted, "float_subclass"), (cases.Guarded, "float_subclass"), (cases.Branching, "float_subclass"),
        (cases.SumToOne, "float_subclass"), (cases.Plain, "float_subclass"), (cases.Buffered, "float_subclass"),
        (cases.Alpha, "tiny_probe"), (cases.AlphaGuarded, "tiny_probe"), (cases.Dot, "tiny_probe"),
        (cases.ZeroOrMore, "zero_one_probe"),
    ],
)  # fmt: skip
def test_each_habit_is_told_apart_by_the_expected_way(step, loss, way):
    loss = loss()
    before = [loss.lam_a, loss.lam_b, loss.lam_c]
    found = decompose(loss, *step)
    assert found.way == way
    assert found.weight_names == ("lam_a", "lam_b", "lam_c")
    assert found.weights == tuple(before)
    assert all(found.adjustable)
    assert_terms(found, *step)
    assert [loss.lam_a, loss.lam_b, loss.lam_c] == before
    assert all(type(lam) is not cases.np.float64 and type(lam).__name__ in ("float", "Tensor") for lam in before)


def test_names_come_from_the_loss_or_from_the_attribute(step):
    assert decompose(cases.Exposed(), *step).names == ("term_a", "term_b", "term_c")
    assert decompose(cases.Weighted(), *step).names == ("a", "b", "c")


def test_float_subclass_is_bitwise_in_float32():
    model, (inputs, target) = cases.make(torch.float32)
    prediction = {k: v.detach().requires_grad_() for k, v in model(inputs).items()}
    found = decompose(cases.Weighted(), prediction, target)
    for value, truth in zip(found.values, cases.terms(prediction, target).values(), strict=True):
        assert value.item() == truth.item()
        a, b = (
            torch.autograd.grad(v, prediction["y"], retain_graph=True, allow_unused=True)[0] for v in (value, truth)
        )
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("loss", [cases.Normalised, cases.Squared, cases.Product, cases.LogOfAll])
def test_a_total_that_is_not_affine_is_refused_and_says_so(step, loss):
    with pytest.raises(
        DecompositionError, match="not affine.*terms=.*weights={'a': 0.5, 'b': 0.2, 'c': 1.5}"
    ) as caught:
        decompose(loss(), *step)
    assert not any(way in str(caught.value) for way in ("exposed", "float_subclass", "tiny_probe", "zero_one_probe"))
    tried = str(caught.value.__cause__)
    assert tried.startswith("Tried: ") and all(
        way in tried for way in ("float_subclass", "tiny_probe", "zero_one_probe")
    )


def test_a_not_affine_total_is_refused_where_it_happens_to_agree(step):
    with pytest.raises(DecompositionError, match="not affine"):  # 1**2 == 1: right at the weights in use only
        decompose(cases.Squared(lam_a=1.0), *step)


def test_a_loss_that_refuses_other_weights_is_judged_by_second_derivatives(step):
    class Stubborn(cases.Weighted):
        def forward(self, p, t):
            assert (self.lam_a, self.lam_b, self.lam_c) == LAM
            return super().forward(p, t)

    class Bent(Stubborn, cases.Squared):
        pass

    found = decompose(Stubborn(), *step)
    assert found.way == "float_subclass" and any("second derivatives only" in note for note in found.notes)
    with pytest.raises(DecompositionError, match="not affine in lam_a: its second derivative is not 0"):
        decompose(Bent(lam_a=0.5), *step)


def test_a_normalised_total_that_exposes_its_terms_is_refused(step):
    class Loss(cases.Exposed):
        def forward(self, p, t):
            return super().forward(p, t) / (self.lam_a + self.lam_b + self.lam_c)

    with pytest.raises(DecompositionError, match="not affine"):
        decompose(Loss(), *step)


def test_weights_fixed_at_construction_are_those_of_the_graph(step):
    found = decompose(cases.Fixed(), *step)
    assert found.way == "step_graph"
    assert any("has no effect on the total" in note for note in found.notes)
    assert sum(w * v.item() for w, v in zip(found.weights, found.values, strict=True)) == pytest.approx(
        cases.Fixed()(*step).item(), rel=1e-12
    )


def test_fixed_weights_with_exposed_terms_are_noted(step):
    assert any("ignores" in note for note in decompose(cases.FixedExposed(), *step).notes)


def test_a_nan_term_does_not_spoil_the_others(step):
    found = decompose(cases.OneNan(), *step)
    assert found.way == "float_subclass"
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
        assert found.way == "float_subclass"
        total, parts = loss(*step).item(), [w * v.item() for w, v in zip(found.weights, found.values, strict=True)]
        assert sum(parts) == pytest.approx(total, rel=1e-9)


def test_a_part_without_weight_becomes_the_rest(step):
    class Branch(cases.Alpha):
        def forward(self, p, t):
            return super().forward(p, t) + 0.7 * p["x"].pow(4).mean()

    for loss, way in ((cases.WithRest(), "float_subclass"), (Branch(), "tiny_probe")):
        found = decompose(loss, *step)
        assert found.way == way
        assert found.names[-1] == "rest" and found.weight_names[-1] == ""
        assert not found.adjustable[-1] and found.weights[-1] == 1
        assert found.values[-1].item() == pytest.approx(0.7 * step[0]["x"].pow(4).mean().item(), rel=1e-9)
        assert_terms(found, *step, tolerance=1e-9)


def test_a_dead_weight_is_named(step):
    class Loss(cases.Weighted):
        def __init__(self):
            super().__init__()
            self.lam_unused = 0.4

    found = decompose(Loss(), *step)
    dead = found.names.index("unused")
    assert found.values[dead].item() == 0
    assert any("lam_unused has no effect" in note for note in found.notes)


def test_a_term_that_is_off_and_cannot_be_computed_is_nan_and_noted(step):
    class Loss(cases.Branching):
        lam_d = 0.0

        def forward(self, p, t):
            total = super().forward(p, t)
            return total + self.lam_d * p["missing"].mean() if self.lam_d > 0 else total

    loss = Loss()
    found = decompose(loss, *step)
    assert torch.isnan(found.values[found.names.index("d")])
    assert any("lam_d" in note and "missing" in note for note in found.notes)
    assert "lam_d" not in vars(loss)


def test_a_weight_that_is_off_still_has_its_term(step):
    found = decompose(cases.Branching(lam_b=0.0), *step)
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


def test_given_terms_that_contradict_the_loss_are_refused(step):
    with pytest.raises(DecompositionError, match="add up"):
        decompose(cases.Squared(), *step, terms=cases.terms, weights={n: f"lam_{n}" for n in "abc"})


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


def test_a_loss_without_weights_and_a_frozen_one_say_what_was_tried(step):
    with pytest.raises(DecompositionError, match="have weights .* lam_.* Found none"):
        decompose(lambda p, t: cases.terms(p, t)["a"], *step)

    @dataclasses.dataclass(frozen=True)
    class Frozen:
        lam_a: float = 0.5

        def __call__(self, p, t):
            return self.lam_a * cases.terms(p, t)["a"]

    with pytest.raises(DecompositionError, match="lam_a cannot be assigned"):
        decompose(Frozen(), *step)


def test_a_loss_without_weights_is_told_once_and_what_to_do(step):
    def loss(p, t, lam_a=0.5):
        return lam_a * cases.terms(p, t)["a"]

    for plain in (loss, functools.partial(loss, lam_a=0.3)):
        with pytest.raises(DecompositionError) as caught:
            decompose(plain, *step)
        text = str(caught.value)
        assert text.startswith("loss should be a sum of terms, or have weights") and "float_subclass" not in text
        assert str(caught.value.__cause__).count("no numeric attribute lam_*") == 1
        for hint in ("its graph shows no sum", "as attributes lam_*", "terms=", "weights="):
            assert hint in text


def test_a_trained_weight_is_noted_as_fixed(step):
    class Loss(cases.Weighted):
        def __init__(self):
            super().__init__()
            self.lam_b = torch.nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    found = decompose(Loss(), *step)
    assert found.names == ("a", "c", "rest")
    assert any(note.startswith("lam_b is a trained parameter") for note in found.notes)
    loss = Loss()
    del loss.lam_a, loss.lam_c
    loss.forward = lambda p, t: loss.lam_b * cases.terms(p, t)["b"]
    with pytest.raises(DecompositionError, match="trained: lam_b"):
        decompose(loss, *step)


def test_an_error_that_is_not_about_weights_goes_up(step):
    class Stop(Exception):
        pass

    class Loss(cases.Weighted):
        def forward(self, p, t):
            if self.lam_a != 0.5:
                raise Stop
            return super().forward(p, t) + torch.tensor(float(self.lam_b)) * 0

    loss = Loss()
    with pytest.raises(Stop):
        decompose(loss, *step)
    assert (loss.lam_a, loss.lam_b, loss.lam_c) == LAM
    with pytest.raises(KeyError, match="nowhere"):  # the loss fails at its own weights: its own words
        decompose(lambda p, t: p["nowhere"], *step)


def test_warnings_about_trial_settings_do_not_reach_the_user(step):
    class Loss(cases.Alpha):
        def forward(self, p, t):
            if self.lam_a != 0.5:
                warnings.warn("unusual lam_a", stacklevel=2)
            return super().forward(p, t)

    assert decompose(Loss(), *step).way == "tiny_probe"


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
    assert all(found.adjustable) and found.way == "float_subclass"
    assert_terms(found, *step)
    assert vars(loss)["w_rec"] == 1 and type(loss.w_rec) is int and loss.beta == 0.1
    with pytest.raises(ValueError, match=r"weights\['b'\] should name a number of loss. Found 'gamma' = None"):
        decompose(loss, *step, weights={"a": "w_rec", "b": "gamma"})
    part = decompose(loss, *step, weights={"a": "w_rec"})  # what is not named is no setting, but stays in the total
    assert part.names == ("a", "rest") and part.adjustable == (True, False)


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
