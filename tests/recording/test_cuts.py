"""What is handed on without its graph, and which of it is a mistake."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import kit
from kit.recording import unused_optimizers, watch
from tests.recording._loops import BATCHES, batches, sgd


class Net(nn.Module):
    """Body and head; `cut` stands between them."""

    def __init__(self, cut=None, body=None):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = body or nn.Sequential(nn.Linear(4, 8), nn.Tanh()), nn.Linear(8, 3)
        self.cut = cut or (lambda features: features)

    def forward(self, x):
        return self.head(self.cut(self.body(x)))


def trained(model, optimizer=None, loss=F.cross_entropy, around=lambda logits: logits):
    optimizer = optimizer or sgd(model)
    with watch() as run:
        for _ in range(3):
            model.train()
            for x, y in batches():
                optimizer.zero_grad()
                loss(around(model(x)), y).backward()
                optimizer.step()
    return run.trace


@pytest.mark.parametrize(
    ("cut", "found"),
    [
        (None, []),
        (torch.Tensor.detach, ["Net.body"]),
        (lambda features: features.detach().flatten(1), ["Net.body"]),
        (lambda features: features.data, ["Net.body"]),
        (lambda features: features + features.detach(), []),  # another tensor, with a graph
    ],
)
def test_a_part_before_a_cut(cut, found):
    assert trained(Net(cut)).facts["cut_off"] == found


@pytest.mark.parametrize(("cut", "found"), [(torch.Tensor.detach, ["Linear"]), (lambda features: features, [])])
def test_layers_that_the_loop_calls_one_by_one(cut, found):
    """An activation between them is no network, and what it is given counts."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(x):
        return model[2](model[1](cut(model[0](x))))

    optimizer = sgd(model)
    with watch() as run:
        for _ in range(3):
            for x, y in batches():
                optimizer.zero_grad()
                F.cross_entropy(forward(x), y).backward()
                optimizer.step()
    assert run.trace.facts["cut_off"] == found


def test_a_part_that_is_held_by_no_optimizer_was_left_out_on_purpose():
    model = Net(torch.Tensor.detach)
    assert trained(model, sgd(model.head)).facts["cut_off"] == []


def test_a_frozen_part_needs_no_graph():
    model = Net(torch.Tensor.detach)
    model.body.requires_grad_(False)
    assert trained(model).facts["cut_off"] == []


def test_a_copy_without_graph_beside_one_with_it_cuts_nothing_off():
    """A probe on detached features: the body learns from the head all the same."""

    class Probed(Net):
        def __init__(self):
            super().__init__()
            self.probe = nn.Linear(8, 3)

        def forward(self, x):
            features = self.body(x)
            return self.head(features) + self.probe(features.detach())

    assert trained(Probed()).facts["cut_off"] == []


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")
def test_a_reentrant_checkpoint_over_an_input_without_gradient():
    class Checkpointed(Net):
        def forward(self, x):
            return self.head(checkpoint(self.body, x, use_reentrant=self.reentrant))

    for reentrant, found in ((True, ["Checkpointed.body"]), (False, [])):
        model = Checkpointed()
        model.reentrant = reentrant
        assert trained(model).facts["cut_off"] == found


def test_a_prediction_that_is_detached_in_front_of_the_loss():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return {"a": self.a(x), "b": self.b(x)}

    class Both(nn.Module):
        def forward(self, prediction, y):
            return F.cross_entropy(prediction["a"], y) + F.cross_entropy(prediction["b"], y)

    detached = trained(Two(), loss=Both(), around=lambda out: {**out, "b": out["b"].detach()})
    assert detached.facts["cut_off"] == ["Two.b"]
    assert kit.diagnose(detached).top.key == "graph_cut"
    assert trained(Two(), loss=Both()).facts["cut_off"] == []


def test_a_generator_and_its_critic():
    for detached in (False, True):
        torch.manual_seed(0)
        G, D = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)), nn.Linear(4, 1)
        g, d = sgd(G), sgd(D)
        with watch() as run:
            for x, _ in [*batches()] * 2:
                fake = G(x)
                d.zero_grad()
                (D(fake.detach()).mean() - D(x).mean()).backward()
                d.step()
                g.zero_grad()
                D(fake.detach() if detached else fake).mean().neg().backward()
                g.step()
        assert run.trace.facts["cut_off"] == (["Sequential"] if detached else [])
        assert (run.trace.steps["seen_fed"] > 0).all() or detached


def test_nothing_is_held_after_the_first_turns():
    model = Net()
    with watch() as run:
        optimizer = sgd(model)
        for _ in range(3):
            for x, y in batches():
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        seen = run._seen
        assert seen.book.count == 3 * BATCHES and seen.cuts._made == []
    assert run.trace.facts["cut_off"] == []


def test_terms_that_are_computed_and_not_added():
    class Criterion(nn.Module):
        def forward(self, logits, y):
            size = logits.square().mean()
            return {"loss_class": F.cross_entropy(logits, y), "loss_size": size, "psnr": size.log()}

    def added(*names):
        criterion = Criterion()
        return trained(Net(), loss=lambda logits, y: sum(criterion(logits, y)[name] for name in names))

    assert added("loss_class").facts["terms_unreached"] == ["loss_size"]
    assert added("loss_class", "loss_size").facts["terms_unreached"] == []
    assert trained(Net()).facts["terms_unreached"] is None


def test_an_optimizer_that_never_steps():
    model = Net()
    body, head = sgd(model.body), sgd(model.head)
    older = torch.optim.Adam(model.parameters())  # of a cell that was run before: what it holds is stepped by another
    with watch() as run:
        for x, y in [*batches()] * 3:
            F.cross_entropy(model(x), y).backward()
            head.step()
    assert run.trace.facts["idle_optimizers"] == ["SGD"]
    assert run.trace.facts["not_in_optimizer_count"] == 0
    with watch() as run:
        for x, y in [*batches()] * 3:
            F.cross_entropy(model(x), y).backward()
            head.step()
            body.step()
    assert run.trace.facts["idle_optimizers"] == []
    del older


class Trainer:
    """Holds its optimizers as trainers do."""

    def __init__(self, model):
        self.model, self.optimizers = model, {"body": [sgd(model.body)], "head": [sgd(model.head)]}

    def __getattribute__(self, name):
        if name == "__dict__":
            raise AssertionError("this is code of the program")
        return object.__getattribute__(self, name)

    def fit(self):
        for x, y in [*batches()] * 3:
            F.cross_entropy(self.model(x), y).backward()
            self.optimizers["head"][0].step()


def test_an_optimizer_that_never_steps_is_found_in_an_object(monkeypatch):
    monkeypatch.setattr(gc, "get_objects", lambda *_: pytest.fail("all living objects were looked through"))
    trainer = Trainer(Net())
    with watch() as run:
        trainer.fit()
    assert run.trace.facts["idle_optimizers"] == ["SGD"]


def test_what_several_functions_hold_is_looked_through_once(monkeypatch):
    """Thirty functions that hold the same list are no dearer than one, and the optimizer that only the outermost holds is found."""
    looked, parts = [0], unused_optimizers._parts

    def counted(value):
        looked[0] += 1
        return parts(value)

    monkeypatch.setattr(unused_optimizers, "_parts", counted)
    optimizer, held = sgd(Net()), [[] for _ in range(1000)]

    def called(held, depth):
        return called(held, depth - 1) if depth else unused_optimizers.optimizers_besides(())

    found = {}
    for depth in (1, 30):
        looked[0] = 0
        found[depth] = called(held, depth), looked[0]
    assert found[1][0] == found[30][0] and any(one is optimizer for one in found[30][0])
    assert found[1][1] > 1000 and found[30][1] < found[1][1] + 500


def test_what_an_inner_function_led_to_too_deep_is_looked_through_where_it_stands_nearer():
    trainer = Trainer(Net())
    far = [[[trainer]]]  # its optimizers are two levels below it: too deep from here

    def called(far):
        return unused_optimizers.optimizers_besides(())

    assert {id(one) for one in called(far)} >= {id(one) for (one,) in trainer.optimizers.values()}


class Same(torch.autograd.Function):
    """Its node is a Python object, so it can be asked whether its graph is alive."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Marked(Net):
    def forward(self, x):
        marked = Same.apply(super().forward(x))
        self.nodes = [*getattr(self, "nodes", ()), weakref.ref(marked.grad_fn)]
        return marked


def test_an_evaluation_without_no_grad_piles_up_no_graphs():
    model, (x, _) = Marked(), next(batches())
    with watch():
        for _ in range(40):
            model(x).argmax(1)
        gc.collect()
        assert sum(ref() is not None for ref in model.nodes) <= 10


def test_nan_on_its_way_is_seen_though_a_hook_cleans_the_gradients():
    model = Net()
    for parameter in model.parameters():
        parameter.register_hook(lambda grad: grad.nan_to_num(0.0))
    trace = trained(model, loss=lambda logits, y: (logits - logits.detach()).square().sum().sqrt())
    seen = trace.steps["flow_nonfinite"].dropna()
    assert (trace.steps["grad_nonfinite"] == 0).all() and len(seen) >= 3 and (seen == 1).all()


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (F.cross_entropy, "mean"),
        (lambda logits, y: F.cross_entropy(logits, y, reduction="sum"), "sum"),
        (lambda logits, y: logits.square().sum() / 8, None),
        (lambda logits, y: 0.5 * F.cross_entropy(logits, y) + logits.square().mean(), "mean"),
        (lambda logits, y: F.cross_entropy(logits, y) + 0.1 * logits.square().sum(), "sum"),
    ],
)
def test_mean_or_sum_is_read_off_the_graph(loss, found):
    assert trained(Net(), loss=loss).facts["loss_reduction"] == found


class Residual(nn.Module):
    """u' + u = 0, u(0) = 1."""

    def __init__(self, lam_ode=1.0, lam_start=5.0):
        super().__init__()
        self.lam_ode, self.lam_start = lam_ode, lam_start

    def components(self, u, x):
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return {"ode": (du + u).square().mean(), "start": (u[0] - 1).square().mean()}

    def forward(self, u, x):
        terms = self.components(u, x)
        return self.lam_ode * terms["ode"] + self.lam_start * terms["start"]


class Forgotten(Residual):
    def forward(self, u, x):
        return self.lam_ode * self.components(u, x)["ode"]


class CutOff(Residual):
    def components(self, u, x):
        (du,) = torch.autograd.grad(u.sum(), x, retain_graph=True)
        return {"ode": (du + u.detach()).square().mean(), "start": (u[0] - 1).square().mean()}


def physics(kind, *layers):
    torch.manual_seed(0)
    model, loss = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), *layers, nn.Linear(8, 1)), kind()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def train():
        values = []
        torch.manual_seed(1)
        for _ in range(4):
            x = torch.rand(9, 1).requires_grad_()
            optimizer.zero_grad()
            values.append(loss(model(x), x))
            values[-1].backward()
            optimizer.step()
        return torch.stack(values).detach()

    return model, loss, train


@pytest.mark.parametrize(
    ("kind", "ignored", "cut"), [(Residual, [], []), (Forgotten, ["lam_start"], []), (CutOff, [], ["ode"])]
)
def test_a_loss_that_differentiates_the_output_by_the_input(kind, ignored, cut):
    model, loss, train = physics(kind, nn.BatchNorm1d(8))
    with watch(model, loss=loss) as run:
        watched = train()
    facts, steps = run.trace.facts, run.trace.steps
    assert facts["ignored_weights"] == ignored and facts["terms_without_graph"] == cut
    if kind is Residual:
        total = (steps["term:ode"] + 5 * steps["term:start"]).dropna()
        assert torch.allclose(torch.tensor(total.to_numpy()).float(), watched, rtol=1e-5)
    buffers = dict(model.named_buffers())
    model, _, train = physics(kind, nn.BatchNorm1d(8))
    assert torch.equal(train(), watched), "the same training, bit for bit, without the watch"
    assert all(torch.equal(buffers[name], buffer) for name, buffer in model.named_buffers())
