from __future__ import annotations

import dataclasses
import re
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kit import whatif
from kit.stepgraph import DecompositionError, gram, probe, progress
from tests.stepgraph import _probe_cases as cases

FLOAT32 = 1e-6


@pytest.mark.parametrize("loss", [cases.Exposed, cases.Weighted, cases.Alpha, cases.Dot])
def test_gram_equals_plain_autograd(loss):
    model, batch = cases.make()
    J = cases.reference(model, batch, cases.terms)
    report = probe(model, loss(), batch)
    assert report.gradient_way == "two_stage"
    cases.assert_gram(report, J)
    assert report.residual < 1e-12
    assert report.groups == ("encoder.0", "encoder.1", "x", "y")
    assert report.n_parameters.tolist() == [40, 16, 27, 18]
    total = cases.reference(model, batch, lambda p, t: {"total": loss()(p, t)})
    assert report.grad_norm == pytest.approx(np.linalg.norm(total), rel=1e-12)


@pytest.mark.parametrize("loss", [cases.Exposed, cases.Weighted, cases.Alpha, cases.Dot])
def test_paths_and_parameters_out_of_reach(loss):
    model, batch = cases.make()
    model.unused = nn.Linear(2, 2).double()
    report = probe(model, loss(), batch)
    unused = ("unused.weight", "unused.bias")
    assert list(report.no_path.values()) == [("y.weight", "y.bias", *unused)] + [("x.weight", "x.bias", *unused)] * 2
    paths = dict(zip(report.groups, report.paths.tolist(), strict=True))
    assert paths["x"] == [True, False, False] and paths["y"] == [False, True, True]
    assert paths["encoder.0"] == [True] * 3 and paths["unused"] == [False] * 3
    assert (report.G_groups[report.groups.index("x"), 1:] == 0).all()


def test_what_if_equals_a_real_backward_of_the_reweighted_loss():
    model, batch = cases.make()
    report = probe(model, cases.Weighted(), batch)
    for weights in ([2.0, 0.0, 0.3], [0.0, 1.0, 0.0], [0.1, 0.2, 1.9]):
        loss = cases.Weighted(*weights)
        state = torch.get_rng_state()
        total = loss(model(batch[0]), batch[1])
        torch.set_rng_state(state)
        grads = torch.autograd.grad(total, list(model.parameters()))
        assert whatif.total(report, weights) == pytest.approx(total.item(), rel=1e-12)
        real = torch.cat([g.flatten() for g in grads]).norm().item()
        assert whatif.grad_norm(report, weights) == pytest.approx(real, rel=1e-12)
        by_name = {"lam_a": weights[0], "lam_b": weights[1], "lam_c": weights[2]}
        assert whatif.total(report, by_name) == whatif.total(report, weights)


def test_float32_is_within_its_own_rounding():
    model, batch = cases.make(torch.float32)
    report = probe(model, cases.Weighted(), batch)
    cases.assert_gram(report, cases.reference(model, batch, cases.terms), FLOAT32)
    assert report.residual < FLOAT32 and report.notes == ()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight
        self.y = nn.Linear(4, 2)

    def forward(self, inputs):
        h = self.second(torch.tanh(self.first(inputs)))
        h = torch.tanh(self.second(h)) + nn.functional.linear(h, self.first.weight)
        return {"x": self.head(h), "y": self.y(h)}


class Checkpointed(cases.TwoHeads):
    reentrant = False

    def __init__(self):
        super().__init__(dropout=0.5)
        self.before = nn.Linear(4, 4)

    def forward(self, inputs):
        h = checkpoint(self.encoder, self.before(inputs), use_reentrant=self.reentrant)
        return {"x": self.x(h), "y": self.y(h)}


class Reentrant(Checkpointed):
    reentrant = True


class ReentrantAtTheBottom(cases.TwoHeads):
    """Every parameter of the encoder is hidden from autograd.grad, which says None and no word."""

    def forward(self, inputs):
        h = checkpoint(self.encoder, inputs.requires_grad_(), use_reentrant=True)
        return {"x": self.x(h), "y": self.y(h)}


class Spectral(cases.TwoHeads):
    def __init__(self):
        super().__init__()
        self.x = nn.utils.parametrizations.spectral_norm(self.x)


@pytest.mark.parametrize("kind", [Tied, Checkpointed, Spectral])
def test_tied_reused_checkpointed_and_parametrised_weights(kind):
    model, batch = cases.make(model=kind)
    report = probe(model, cases.Weighted(), batch)
    assert report.gradient_way == "two_stage" and report.residual < 1e-12
    cases.assert_gram(report, cases.reference(model, batch, cases.terms))


@pytest.mark.parametrize("kind", [Reentrant, ReentrantAtTheBottom])
def test_reentrant_checkpoints_need_a_fresh_forward_a_term(kind):
    model, (inputs, target) = cases.make(model=kind)
    before = cases.snapshot(model)
    report = probe(model, cases.Weighted(), (inputs, target))
    assert cases.snapshot(model) == before
    assert report.gradient_way == "fresh_forward" and report.residual < 1e-12
    assert any("fresh_forward instead of two_stage: the model uses reentrant" in note for note in report.notes)
    twin = cases.make(model=Checkpointed if kind is Reentrant else cases.TwoHeads)[0]
    twin.load_state_dict(model.state_dict())
    cases.assert_gram(report, cases.reference(twin, (inputs.detach(), target), cases.terms))
    assert inputs.grad is None


def test_an_optimizer_that_steps_inside_backward_is_refused_where_it_would_run():
    model, batch = cases.make(model=Reentrant)
    before = cases.snapshot(model)
    handle = model.x.weight.register_post_accumulate_grad_hook(lambda p: p.data.zero_())
    with pytest.raises(ValueError, match="no post-accumulate-grad hooks"):
        probe(model, cases.Weighted(), batch)
    handle.remove()
    after = cases.snapshot(model)
    assert all(after[key] == before[key] for key in before if "attributes" not in key)


def test_such_hooks_do_not_run_in_the_default_way():
    model, batch = cases.make()
    model.x.weight.register_post_accumulate_grad_hook(lambda p: p.data.zero_())
    report = probe(model, cases.Weighted(), batch)
    assert report.gradient_way == "two_stage" and report.residual < 1e-12
    assert model.x.weight.abs().sum() > 0


class OneUse(torch.autograd.Function):
    """Like a compiled module with donated buffers: its graph serves one backward."""

    @staticmethod
    def forward(ctx, x):
        ctx.used = False
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        if ctx.used:
            raise RuntimeError("This backward function was compiled with non-empty donated buffers which requires ...")
        ctx.used = True
        return grad * 2


def test_a_graph_for_one_use_needs_a_fresh_forward_a_term():
    class Model(cases.TwoHeads):
        def forward(self, inputs):
            h = OneUse.apply(self.encoder(inputs))
            return {"x": self.x(h), "y": self.y(h)}

    model, batch = cases.make(model=Model)

    def twice(m, b):
        h = 2 * m.encoder(b[0])
        return {"x": m.x(h), "y": m.y(h)}

    report = probe(model, cases.Weighted(), batch)
    assert report.gradient_way == "fresh_forward" and any("donated" in note for note in report.notes)
    cases.assert_gram(report, cases.reference(model, batch, cases.terms, forward=twice))


def test_other_errors_of_backward_go_up():
    class Broken(OneUse):
        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("out of cheese")

    class Model(cases.TwoHeads):
        def forward(self, inputs):
            return {k: Broken.apply(v) for k, v in super().forward(inputs).items()}

    model, batch = cases.make(model=Model)
    with pytest.raises(RuntimeError, match="out of cheese"):
        probe(model, cases.Weighted(), batch)


class Decaying(cases.Weighted):
    """Weight decay as a term of the loss: it reads the parameters past the prediction."""

    def __init__(self, model):
        super().__init__()
        self.read, self.lam_decay = [model], 0.01

    def forward(self, p, t):
        return super().forward(p, t) + self.lam_decay * sum(w.square().sum() for w in self.read[0].parameters())


def test_weight_decay_inside_the_loss_goes_one_stage():
    model, batch = cases.make()
    report = probe(model, Decaying(model), batch)
    assert report.gradient_way == "one_stage" and report.residual < 1e-12
    assert any("decay reach parameters past the prediction" in note for note in report.notes)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert report.norms[3] == pytest.approx(2 * flat.norm().item(), rel=1e-12)
    cases.assert_gram(report, np.vstack([cases.reference(model, batch, cases.terms), 2 * flat.numpy()]))


def test_a_prediction_that_hides_a_part_names_both_reasons():
    class Loss(cases.Weighted):
        def forward(self, p, t):
            return super().forward({"x": p["x"], "y": p["hidden"]["y"]}, t)

    model, batch = cases.make()
    report = probe(model, Loss(), batch, predict=lambda m, b: {"x": (p := m(b[0]))["x"], "hidden": Opaque(**p)})
    assert report.gradient_way == "one_stage" and report.residual < 1e-12
    assert any("weight decay" in note and "a part of the prediction is of a type" in note for note in report.notes)


def test_own_parameters_of_the_loss_are_a_group():
    class Learned(cases.Weighted):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64))

        def forward(self, p, t):
            return super().forward({"x": p["x"] * self.scale, "y": p["y"]}, t)

    model, batch = cases.make()
    loss = Learned()
    report = probe(model, loss, batch)
    assert report.groups[-1] == "(loss)" and report.n_parameters[-1] == 3
    assert report.gradient_way == "one_stage" and report.residual < 1e-12
    assert report.paths[-1].tolist() == [True, False, False] and "(loss).scale" in report.no_path["b"]
    assert loss.scale.grad is None


def test_a_nonlinear_hook_is_exposed_by_the_self_check():
    model, batch = cases.make()
    for parameter in model.parameters():
        parameter.register_hook(lambda g: g.clamp(-1e-2, 1e-2))
    report = probe(model, cases.Weighted(), batch)
    assert report.residual > 1e-2
    assert any("do not add up" in note and "not valid" in note for note in report.notes)


class HiddenBackward(torch.autograd.Function):
    """Runs its inner graph by itself, as reversible layers do: autograd.grad never sees the inner parameters."""

    @staticmethod
    def forward(ctx, x, inner):
        ctx.inner = inner
        ctx.save_for_backward(x)
        return inner(x.detach()).detach()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            torch.autograd.backward(ctx.inner(leaf), grad)
        return leaf.grad, None


def test_parameters_hidden_from_autograd_grad_are_found_by_the_self_check():
    class Model(cases.TwoHeads):
        def forward(self, inputs):
            h = HiddenBackward.apply(inputs.requires_grad_(), self.encoder)
            return {"x": self.x(h), "y": self.y(h)}

    model, batch = cases.make(model=Model)
    model.encoder[3].p = 0.0
    report = probe(model, cases.Weighted(), batch)
    assert report.gradient_way == "fresh_forward" and report.residual < 1e-12
    assert any("failed its self-check" in note for note in report.notes)
    J = cases.reference(model, batch, cases.terms, forward=lambda m, b: cases.TwoHeads.forward(m, b[0]))
    cases.assert_gram(report, J)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 3, dtype=torch.complex128))
        self.v = nn.Parameter(torch.randn(3, 2, dtype=torch.float64))

    def forward(self, inputs):
        z = inputs.to(torch.complex128) @ self.w
        return {"x": z, "y": z.real @ self.v}


def test_complex_parameters_and_outputs():
    torch.manual_seed(0)
    model, batch = Complex(), (torch.randn(8, 4, dtype=torch.float64), torch.randn(8, 3, dtype=torch.complex128))

    def each(p, t):
        return {"a": (p["x"] - t).abs().square().mean(), "b": p["y"].square().mean()}

    report = probe(model, lambda p, t: 0.5 * each(p, t)["a"] + 2 * each(p, t)["b"], batch, terms=each,
                   weights={"a": 0.5, "b": 2.0})  # fmt: skip
    assert report.n_parameters.sum() == 24 + 6 and report.residual < 1e-12
    cases.assert_gram(report, cases.reference(model, batch, each))


def test_a_nan_term_leaves_the_others_readable():
    model, batch = cases.make()
    report = probe(model, cases.OneNan(), batch)
    J = cases.reference(model, batch, cases.terms)
    healthy = np.ix_([0, 2], [0, 2])
    np.testing.assert_allclose(report.G[healthy], (J @ J.T)[healthy], rtol=1e-11)
    assert np.isnan(report.G[1]).all() and np.isnan(report.L[1]) and np.isnan(report.total)
    assert report.nonfinite[:, 1].sum() > 0 and report.nonfinite[:, [0, 2]].sum() == 0
    assert np.isfinite(report.G_groups[report.groups.index("x")]).all()  # the faulty term does not reach this group
    assert np.isnan(report.residual) and any("the gradient of b is not finite" in note for note in report.notes)
    assert np.isfinite(whatif.grad_norm(report, {"lam_b": 0.0}))


def test_a_nan_term_that_is_off_does_not_matter():
    class Loss(cases.Exposed):
        def components(self, p, t):
            L = super().components(p, t)
            return L | {"term_b": (L["term_b"] - 1e9).sqrt()}

    model, batch = cases.make()
    report = probe(model, Loss(lam_b=0.0), batch)
    assert np.isfinite([report.total, report.grad_norm, whatif.total(report), whatif.grad_norm(report)]).all()
    assert report.residual < 1e-12 and np.isnan(report.L[1])


def test_a_term_that_was_not_computed_has_no_gradient():
    model, batch = cases.make()
    report = probe(model, cases.Branching(lam_b=0.0), batch)
    assert np.isnan(report.G[1]).all() and np.isnan(report.L[1]) and report.residual < 1e-12
    assert np.isnan(whatif.grad_norm(report, {"lam_b": 1.0})) and np.isfinite(whatif.grad_norm(report))


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_float32_extremes(size):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            L = cases.terms(p, t)
            return self.lam_a * L["a"] * size + self.lam_b * L["b"] * size + self.lam_c * L["c"] * size

    model, batch = cases.make(torch.float32)
    report, plain = probe(model, Loss(), batch), probe(model, cases.Weighted(), batch)
    np.testing.assert_allclose(report.G, plain.G * size**2, rtol=1e-4, atol=1e-9 * size**2)
    assert report.residual < 1e-5


def test_noise_and_dropout_are_the_same_for_terms_and_total():
    model, batch = cases.make()
    for loss in (cases.Noisy(), cases.Remembering()):
        report = probe(model, loss, batch)
        assert report.gradient_way == "two_stage" and report.residual < 1e-12
        assert whatif.total(report) == pytest.approx(report.total, rel=1e-12)


def test_the_same_tensor_twice_and_one_output_made_from_another():
    class Model(cases.TwoHeads):
        def forward(self, inputs):
            p = super().forward(inputs)
            return {"x": p["x"], "again": [p["x"], (p["x"],)], "y": p["x"][:, :2] * p["y"], "n": 3, "s": None}

    class Loss(cases.Weighted):
        def forward(self, p, t):
            assert p["x"] is p["again"][0] and p["x"] is p["again"][1][0]
            return super().forward({"x": (p["x"] + p["again"][0] + p["again"][1][0]) / 3, "y": p["y"]}, t)

    model, batch = cases.make(model=Model)
    report = probe(model, Loss(), batch)
    assert report.gradient_way == "two_stage" and report.residual < 1e-12
    cases.assert_gram(report, cases.reference(model, batch, cases.terms))


@dataclasses.dataclass(frozen=True)
class Output:
    x: torch.Tensor
    y: torch.Tensor

    def __getitem__(self, key):
        return getattr(self, key)


class Mirrored(OrderedDict):
    """A mapping that shows its items as attributes too."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        object.__setattr__(self, key, value)


class Opaque:
    """Nobody can look inside: the terms then hang on the whole graph."""

    def __init__(self, **items):
        self.items = items

    def __getitem__(self, key):
        return self.items[key]


@pytest.mark.parametrize("kind, way", [(Output, "two_stage"), (Mirrored, "two_stage"), (Opaque, "one_stage")])
def test_kinds_of_predictions(kind, way):
    model, batch = cases.make()
    report = probe(model, cases.Weighted(), batch, predict=lambda m, b: kind(**m(b[0])))
    assert report.gradient_way == way and report.residual < 1e-12
    cases.assert_gram(report, cases.reference(model, batch, cases.terms))
    if kind is Opaque:
        assert any("of a type that the probe cannot look into: Opaque" in note for note in report.notes)
        assert not any("weight decay" in note for note in report.notes)


def test_kinds_of_batches():
    model, (inputs, target) = cases.make()
    report = probe(model, cases.Weighted(), (inputs, target))
    assert probe(model, cases.Weighted(), [inputs, target]) == report
    assert probe(model, cases.Weighted(), SimpleNamespace(inputs=inputs, target=target)) == report
    odd = SimpleNamespace(left=inputs, target=target)
    assert probe(model, cases.Weighted(), odd, predict=lambda m, b: m(b.left)) == report
    for other in (inputs, {"x": inputs, "y": target}, (inputs, target, 3)):
        with pytest.raises(
            ValueError, match=r"be a pair \(inputs, target\). Found .* or predict=, e.g. predict=lambda"
        ):
            probe(model, cases.Weighted(), other)


def test_any_batch_goes_with_predict():
    model, (inputs, target) = cases.make()
    report = probe(model, cases.Weighted(), (inputs, target))
    loss = cases.Weighted()
    assert probe(model, loss, {"x": inputs, "y": target}, predict=lambda m, b: (m(b["x"]), b["y"])) == report
    assert probe(model, loss, (inputs, target, 3), predict=lambda m, b: (m(b[0]), b[1])) == report
    assert probe(model, loss, SimpleNamespace(u=inputs, v=target), predict=lambda m, b: (m(b.u), b.v)) == report
    assert probe(model, loss, [inputs, target], predict=lambda m, b: m(b[0])) == report
    with pytest.raises(ValueError, match=r"should return the pair \(prediction, target\).*here a dict.*Found a dict"):
        probe(model, loss, {"x": inputs, "y": target}, predict=lambda m, b: m(b["x"]))


def test_a_target_made_by_the_network_keeps_its_graph():
    model, (inputs, target) = cases.make()
    model.encoder[3].p = 0.0

    def predict(m, b):
        return m(b["x"]), m.x(m.encoder(b["x"])) * 0.5 + target

    report = probe(model, cases.Weighted(), {"x": inputs}, predict=predict)
    assert report.gradient_way == "one_stage" and report.residual < 1e-12
    J = cases.reference(model, (inputs, target), lambda p, t: cases.terms(p, p["x"] * 0.5 + t))
    cases.assert_gram(report, J)


def test_what_is_no_function_is_refused():
    model, batch = cases.make()
    with pytest.raises(TypeError, match="loss should be a callable .* Found None"):
        probe(model, None, batch)
    with pytest.raises(TypeError, match="predict should be a callable .* Found a str"):
        probe(model, cases.Weighted(), batch, predict="model")


def test_inputs_that_the_model_changes_in_place():
    class Model(cases.TwoHeads):
        def forward(self, inputs):
            return super().forward(inputs.mul_(0.5))

    model, batch = cases.make(model=Model)
    before = batch[0].clone()
    report = probe(model, cases.Weighted(), batch)
    assert torch.equal(batch[0], before) and report.residual < 1e-12
    cases.assert_gram(report, cases.reference(model, (before.clone(), batch[1]), cases.terms))


def test_groups_can_be_chosen():
    model, batch = cases.make()
    assert probe(model, cases.Weighted(), batch, groups=1).groups == ("encoder", "x", "y")
    whole = probe(model, cases.Weighted(), batch, groups=lambda name: "net")
    assert whole.groups == ("net",)
    np.testing.assert_allclose(whole.G_groups[0], whole.G)


def test_frozen_parameters_are_left_out():
    model, batch = cases.make()
    model.encoder.requires_grad_(False)
    report = probe(model, cases.Weighted(), batch)
    assert report.groups == ("x", "y")
    cases.assert_gram(report, cases.reference(model, batch, cases.terms))


def test_nothing_to_probe_is_refused():
    model, batch = cases.make()
    with pytest.raises(ValueError, match="should hang on a graph"):
        probe(model, cases.Weighted(), batch, predict=lambda m, b: {k: v.detach() for k, v in m(b[0]).items()})
    with pytest.raises(TypeError, match="model should be a torch.nn.Module. Found a function"):
        probe(lambda x: x, cases.Weighted(), batch)
    with pytest.raises(DecompositionError, match="terms="):
        probe(model, lambda p, t: p["x"].mean(), batch)
    with pytest.raises(ValueError, match="real scalar. Found shape"):
        probe(model, lambda p, t: p["x"], batch)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="parameters that require grad. Found none"):
        probe(model, cases.Weighted(), batch)


def test_all_weights_zero_on_a_graph():
    model, batch = cases.make()
    report = probe(model, cases.Weighted(0.0, 0.0, 0.0), batch)
    assert (report.total, report.grad_norm, report.residual) == (0.0, 0.0, 0.0)
    cases.assert_gram(report, cases.reference(model, batch, cases.terms))


def test_complete_cancellation_is_not_taken_for_a_fault():
    class Loss(cases.Weighted):
        def forward(self, p, t):
            L = cases.terms(p, t)["a"]
            return self.lam_a * L + self.lam_b * (1.0 - L * 1.0)

    model, batch = cases.make(torch.float32)

    def each(p, t):
        return {"a": cases.terms(p, t)["a"], "b": 1.0 - cases.terms(p, t)["a"]}

    report = probe(model, Loss(0.3, 0.3), batch, terms=each, weights={"a": "lam_a", "b": "lam_b"})
    assert report.gradient_way == "two_stage" and not any("add up" in note for note in report.notes)


def test_autocast_is_allowed_its_rounding():
    model, batch = cases.make(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        report = probe(model, cases.Weighted(), batch)
    assert report.gradient_way == "two_stage" and report.residual < 0.05 and report.notes == ()


def test_a_given_weight_that_does_not_fit_is_noted_as_rest():
    model, batch = cases.make()
    report = probe(model, cases.Weighted(), batch, terms=cases.terms, weights={"a": 0.5, "b": 0.2, "c": 1.0})
    assert report.names[-1] == "rest" and report.residual < 1e-10
    assert report.norms[3] == pytest.approx(0.5 * report.norms[2], rel=1e-9)


class Beside(cases.Weighted):
    """Returns its total beside other things."""

    def __init__(self, change, **lam):
        super().__init__(**lam)
        self.change = change

    def forward(self, p, t):
        return self.change(super().forward(p, t), cases.terms(p, t))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda total, L: (total, L), "a tuple of 2; its [0]"),
        (lambda total, L: [0.5, total, L["a"].detach()], "a list of 3; its [1]"),
        (lambda total, L: {"logits": torch.zeros(3), "loss": total}, "a dict with logits, loss; its ['loss']"),
        (lambda total, L: {"total": total, "aux": L["b"].detach()}, "a dict with total, aux; its ['total']"),
        (lambda total, L: SimpleNamespace(loss=total, logits=3), "a SimpleNamespace; its .loss"),
    ],
)
def test_a_total_beside_other_things_is_the_total(change, what):
    model, batch = cases.make()
    want = probe(model, cases.Weighted(), batch)
    found = probe(model, Beside(change), batch)
    assert found.notes == (f"loss returned {what} is taken as the total.",)
    np.testing.assert_array_equal(found.G, want.G)
    assert (found.names, found.total, found.residual) == (want.names, want.total, want.residual)


def test_the_total_is_the_scalar_whose_graph_holds_the_others():
    class Loss(cases.Weighted):
        def forward(self, p, t):
            L = cases.terms(p, t)
            on = {name: L[name] for name in "abc" if getattr(self, f"lam_{name}") != 0}
            return *L.values(), sum(getattr(self, f"lam_{name}") * value for name, value in on.items())

    model, batch = cases.make()
    found = probe(model, Loss(), batch)  # its trials at weight 0 leave terms out of the graph of the total
    np.testing.assert_allclose(found.G, probe(model, cases.Weighted(), batch).G, rtol=1e-12)
    assert found.notes == ("loss returned a tuple of 4; its [3] is taken as the total.",)


class Clock:
    """Every look at it costs a second."""

    def __init__(self, each=1.0):
        self.now, self.each = 0.0, each

    def __call__(self):
        self.now += self.each
        return self.now


def test_a_long_probe_says_what_it_is_at_and_a_short_one_nothing(monkeypatch, capsys):
    model, batch = cases.make()
    monkeypatch.setattr(progress, "monotonic", Clock(1e-3))
    want = probe(model, cases.Weighted(), batch)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "monotonic", Clock())
    assert probe(model, cases.Weighted(), batch) == want
    out, said = capsys.readouterr()
    *lines, end = said.split("\r")[1:]
    assert out == "" and said.count("\n") == 1 and re.fullmatch(r"kit\.probe: took \d+ s *\n", end)
    assert lines[0].startswith("kit.probe: ") and "3 s so far" in lines[0]
    for part in ("gradients of the terms: 1 of 3", "products of gradients, by parameter: 8 of 8"):
        assert any(part in line for line in lines)
    monkeypatch.setattr("sys.stderr", None)  # a program without a console
    assert probe(model, cases.Weighted(), batch) == want


def test_a_probe_that_fails_ends_its_line(monkeypatch, capsys):
    model, batch = cases.make()
    monkeypatch.setattr(progress, "monotonic", Clock(2.0))

    def stop(*_):
        raise ValueError("out of patience")

    monkeypatch.setattr(gram, "products", stop)
    with pytest.raises(ValueError, match="out of patience"):
        probe(model, cases.Weighted(), batch)
    assert re.search(r"took \d+ s *\n\Z", capsys.readouterr().err)


def test_the_earlier_name_of_the_loss_is_taken_with_a_warning():
    model, batch = cases.make()
    with pytest.warns(DeprecationWarning, match=r"probe\(loss_fn=...\) is now probe\(loss=...\)") as caught:
        earlier = probe(model, loss_fn=cases.Weighted(), batch=batch)
    assert caught[0].filename == __file__
    assert earlier == probe(model, loss=cases.Weighted(), batch=batch)
    with pytest.raises(TypeError, match="loss_fn"):
        probe(model, loss=cases.Weighted(), batch=batch, loss_fn=cases.Weighted())
