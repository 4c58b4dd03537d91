"""Loops of every style: what was counted is what was done."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

import kit
from kit.recording import watch
from tests.recording._loops import BATCH, BATCHES, SAMPLES, TwoTerms, adamw, batches, data, job, lbfgs, mlp, sgd

COUNTED = ["batches", "reached", "backwards", "steps", "eval_forwards"]


def counted(run) -> list[list[float]]:
    """Per epoch: batches, reached, backwards, steps, evaluation passes."""
    return run.trace.epochs[COUNTED].to_numpy().tolist()


def complete(run) -> bool:
    return not [note for note in run.trace.facts["not_seen"] if "could not be recorded" in note]


@pytest.mark.parametrize("given", [True, False], ids=["given", "found"])
@pytest.mark.parametrize("every", [1, 4])
def test_a_plain_loop(given, every):
    one = job()
    with watch(*([one.model] if given else []), loss=one.loss if given else None, every=every) as run:
        one.plain()
    trace = run.trace
    assert complete(run)
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 1]] * 2
    assert trace.steps["turn"].tolist() == list(range(1, 2 * BATCHES + 1))
    assert trace.steps["epoch"].tolist() == [1] * BATCHES + [2] * BATCHES
    assert trace.steps["loss"].tolist() == trace.steps["loss_returned"].tolist() == one.shown
    assert np.allclose(trace.epochs["loss_mean"], np.reshape(one.shown, (2, -1)).mean(1))
    assert trace.epochs[["loss_calls", "eval_loss_calls"]].to_numpy().tolist() == [[BATCHES, 1]] * 2
    assert (trace.steps[["lr", "lr_min"]] == 0.1).all(axis=None)
    assert (trace.steps["batch"] == BATCH).all()
    measured = trace.steps["grad_norm"].notna()
    assert measured.tolist() == [turn <= 3 or turn % every == 0 for turn in trace.steps["turn"]]
    facts = trace.facts
    assert (facts["model"], facts["loss"], facts["optimizers"]) == ("Sequential", "CrossEntropyLoss", ["SGD"])
    assert (facts["parameters"], facts["trainable"], facts["not_in_optimizer_count"]) == (6, 6, 0)
    assert (facts["foreign_in_optimizer_count"], facts["classes_configured"], facts["ended"]) == (0, 3, "return")


def test_gradient_accumulation_has_a_turn_for_every_micro_batch():
    one = job(adamw)
    with watch() as run:
        one.accumulating()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, 1, 1]] * 2
    steps = run.trace.steps
    assert steps["steps"].tolist() == [0, 0, 1] * 2
    assert steps["lr"].isna().tolist() == [True, True, False] * 2
    stepped = steps[steps["steps"] == 1]
    assert (stepped["grad_norm"] > 0.01).all()
    assert np.allclose(stepped["seen_norm"], 0.01, rtol=1e-3)  # clipped on the way to the optimizer


def test_a_closure_is_one_turn_a_step():
    one = job(lbfgs)
    with watch(one.model) as run:
        one.closure()
    steps = run.trace.steps
    assert steps["steps"].tolist() == [1, 1]
    assert (steps["backwards"] > 1).all()
    assert (steps["forwards"] == 1).all()  # the closure runs again on the same batch
    assert (steps["forwards"] == steps["reached"]).all()
    assert np.allclose(steps["seen_norm"], steps["grad_norm"])
    assert (steps["update_norm"] > 0).all()


def test_a_closure_that_clears_its_gradients_is_seen_as_the_optimizer_sees_it():
    model, loss = mlp(), nn.CrossEntropyLoss()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

    def again():
        optimizer.zero_grad()
        value = loss(model(data()[0]), data()[1])
        value.backward()
        optimizer.zero_grad()
        return value

    with watch(model) as run:
        optimizer.step(closure=again)
    step = run.trace.steps.iloc[0]
    assert step["grad_norm"] > 0
    assert step["seen_none"] == step["seen_tensors"] == 6


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_gradient_scaler(make):
    one = job(make)
    with watch(one.model) as run:
        one.scaled()
    steps = run.trace.steps
    assert (steps["scale"] == 1024).all()
    assert np.allclose(steps["loss"], steps["loss_returned"], rtol=1e-6)
    assert (steps["seen_norm"] <= steps["grad_norm"] * 1.01).all()
    assert steps["grad_norm"].between(0.01, 100).all()  # in the units of the loss


def test_steps_that_the_scaler_skips():
    model = mlp()
    optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", init_scale=2.0, backoff_factor=0.5)
    with watch(model) as run:
        for number, (x, y) in enumerate(batches()):
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if number != 1:
                model[0].weight.grad[0, 0] = math.inf
            scaler.step(optimizer)
            scaler.update()
    steps = run.trace.steps
    assert steps["scaler_skips"].tolist() == [1, 0, 1]
    assert steps["steps"].tolist() == [0, 1, 0]
    assert steps["scale"].tolist() == [2.0, 1.0, 1.0]
    assert run.trace.facts["optimizers"] == ["SGD"]


def test_a_fused_optimizer_that_skips_by_itself():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with watch(model) as run:
        for number, (x, y) in enumerate(batches()):
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            if number == 0:
                model[0].weight.grad[0, 0] = math.inf
            scaler.step(optimizer)
            scaler.update()
    steps = run.trace.steps
    assert steps["scaler_skips"].tolist() == [1, 0, 0]
    assert steps["steps"].tolist() == [0, 1, 1]
    assert np.allclose(steps["seen_norm"][1:], steps["grad_norm"][1:])  # both in the units of the loss


def test_a_scaler_that_is_off_is_none():
    model = mlp()
    optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", enabled=False)
    with watch(model) as run:
        for x, y in batches():
            scaler.scale(F.cross_entropy(model(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert run.trace.steps["scale"].isna().all()
    assert run.trace.epochs[["steps", "scaler_skips"]].to_numpy().tolist() == [[3, 0]]


def test_two_networks_against_each_other():
    G, D = mlp(1, out=4), mlp(2, out=1)
    optimizers = adamw(G), adamw(D)
    with watch() as run:
        for _ in range(2):
            G.train(), D.train()
            for x, _ in batches():
                fake = G(x)
                optimizers[1].zero_grad()
                (F.softplus(-D(x)).mean() + F.softplus(D(fake.detach())).mean()).backward()
                optimizers[1].step()
                optimizers[0].zero_grad()
                F.softplus(-D(fake)).mean().backward()
                optimizers[0].step()
            G.eval()
            with torch.no_grad():
                G(x)
    # passes of the network that runs most in a step: twice the critic, then once
    assert counted(run) == [[3 * BATCHES, 3 * BATCHES, 2 * BATCHES, 2 * BATCHES, 1]] * 2
    assert run.trace.facts["not_in_optimizer_count"] == run.trace.facts["foreign_in_optimizer_count"] == 0
    assert run.trace.facts["trainable"] == 12


def test_a_generator_under_no_grad_ends_no_epoch():
    G, D = mlp(1, out=4), mlp(2, out=1)
    optimizer = adamw(D)
    with watch() as run:
        for x, _ in batches():
            with torch.no_grad():
                fake = G(x)
            F.softplus(D(fake)).mean().backward()
            optimizer.step()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 0]]
    assert run.trace.epochs["side_forwards"].tolist() == [BATCHES]


@pytest.mark.parametrize("first", [True, False])
def test_a_teacher_ends_no_epoch_and_an_evaluation_does(first):
    student, teacher = mlp(1), mlp(2).eval()
    optimizer = sgd(student)
    with watch() as run:
        for _ in range(2):
            student.train()
            for x, _ in batches():
                hidden = None if first else student(x)
                with torch.no_grad():
                    soft = teacher(x)
                hidden = student(x) if first else hidden
                F.mse_loss(hidden, soft).backward()
                optimizer.step()
            student.eval()
            with torch.no_grad():
                student(data()[0])
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 1]] * 2
    assert run.trace.epochs["side_forwards"].sum() == 2 * BATCHES


def test_a_prediction_made_a_leaf_again_feeds_no_parameter():
    one = job()
    with watch() as run:
        for x, y in batches():
            one.optimizer.zero_grad()
            with torch.no_grad():
                prediction = one.model(x)
            one.loss(prediction.requires_grad_(), y).backward()
            one.optimizer.step()
    assert complete(run)
    assert run.trace.steps["loss_graph"].tolist() == [0] * BATCHES


def test_pseudo_labels_of_the_network_itself_end_no_epoch():
    one = job()
    with watch() as run:
        for x, _ in batches():
            with torch.no_grad():
                label = one.model(x).argmax(1)
            one.loss(one.model(x), label).backward()
            one.optimizer.step()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 0]]


def test_an_evaluation_that_forgot_eval_still_ends_the_epoch():
    one = job()
    with watch() as run:
        for _ in range(2):
            for x, y in batches():
                one.loss(one.model(x), y).backward()
                one.optimizer.step()
            with torch.no_grad():
                one.loss(one.model(data()[0]), data()[1])
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 1]] * 2
    assert run.trace.epochs["eval_loss_calls"].tolist() == [1, 1]


def test_an_evaluation_before_the_training_ends_no_epoch():
    one = job()
    with watch() as run:
        one.evaluate()
        one.plain()
    assert counted(run)[0] == [BATCHES, BATCHES, BATCHES, BATCHES, 2]
    assert len(counted(run)) == 2


def test_training_in_eval_mode_counts_by_what_is_differentiated():
    one = job()
    one.model.eval()
    with watch() as run:
        for _ in range(2):
            for x, y in batches():
                one.optimizer.zero_grad()
                one.loss(one.model(x), y).backward()
                one.optimizer.step()
            one.evaluate()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 1]] * 2
    assert run.trace.steps["loss"].tolist() == run.trace.steps["loss_returned"].tolist()
    assert run.trace.steps["loss_graph"].all()


def test_a_forward_pass_under_no_grad_is_training_when_a_backward_pass_follows():
    one = job()
    with watch() as run:
        for _ in range(2):
            one.model.train()
            for x, y in batches():
                with torch.no_grad():
                    logits = one.model(x)
                one.loss(logits, y).requires_grad_().backward()
                one.optimizer.step()
            one.evaluate()
    assert counted(run) == [[BATCHES, 0, BATCHES, BATCHES, 1]] * 2
    assert not run.trace.steps["loss_graph"].any()
    assert not run.trace.steps["loss_returned_graph"].any()


def test_an_attack_by_autograd_grad_is_part_of_the_turn():
    one = job()
    with watch() as run:
        for x, y in batches():
            x = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(one.loss(one.model(x), y), x)
            one.loss(one.model((x + 0.1 * slope.sign()).detach()), y).backward()
            one.optimizer.step()
    assert run.trace.steps[["forwards", "reached", "backwards", "steps"]].to_numpy().tolist() == [[2, 2, 1, 1]] * 3


def test_several_forward_passes_before_one_backward_pass():
    cell, optimizer = nn.GRUCell(4, 4), None
    optimizer = sgd(cell)
    with watch(cell) as run:
        for x, _ in batches():
            state, total = torch.zeros(BATCH, 4), 0.0
            for _ in range(5):
                state = cell(x, state)
                total = total + state.square().mean()
            total.backward()
            optimizer.step()
    assert run.trace.steps[["forwards", "reached", "backwards", "steps"]].to_numpy().tolist() == [[5, 5, 1, 1]] * 3


def test_a_loss_after_the_loop_reaches_one_forward_pass():
    one = job()
    with watch() as run:
        for _ in range(2):
            one.model.train()
            for x, y in batches():
                logits, label = one.model(x), y
            one.loss(logits, label).backward()
            one.optimizer.step()
            one.evaluate()
    assert counted(run) == [[BATCHES, 1, 1, 1, 1]] * 2


def test_a_loop_that_never_trains():
    one = job()
    with watch(one.model) as run:
        for _ in range(3):
            for _ in range(0):
                raise AssertionError
            one.evaluate()
    run.log(epoch=[1, 2, 3], train_loss=[0, 0, 0], val_loss=[1, 1, 1])
    assert counted(run) == [[0, 0, 0, 0, 1]] * 3
    assert run.trace.steps.empty
    assert "grad_norm" in run.trace.steps


def test_a_loop_that_calls_nothing():
    with watch() as run:
        pass
    assert run.trace.steps.empty
    assert run.trace.epochs["batches"].tolist() == [0]
    assert any("No network" in note for note in run.trace.facts["not_seen"])


def test_forward_passes_without_backward_have_epochs_too():
    one = job()
    with watch() as run:
        for _ in range(2):
            one.model.train()
            for x, _ in batches():
                one.model(x)
            one.evaluate()
    assert counted(run) == [[BATCHES, 0, 0, 0, 1]] * 2


def test_a_model_without_parameters():
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    with watch(model) as run:
        for x, _ in batches():
            model(x)
    assert run.trace.epochs["batches"].tolist() == [BATCHES]
    assert run.trace.facts["trainable"] == 0


def test_a_loop_without_modules_shows_what_it_can():
    U = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([U], lr=0.1)
    with watch() as run:
        for _ in range(4):
            optimizer.zero_grad()
            (U @ U.T - torch.eye(4)).square().mean().backward()
            optimizer.step()
    trace = run.trace
    assert trace.steps[["backwards", "steps"]].to_numpy().tolist() == [[1, 1]] * 4
    assert trace.steps["forwards"].isna().all()  # not 0: functions cannot be seen
    assert trace.epochs["batches"].isna().all()
    assert trace.steps["loss_graph"].all()
    assert (trace.steps["grad_norm"] > 0).all()
    assert trace.epochs["drift"].item() > 0
    facts = trace.facts
    assert (facts["trainable"], facts["not_in_optimizer_count"], facts["foreign_in_optimizer_count"]) == (1, 0, 0)


def test_helpers_around_the_network_are_no_networks():
    class Jitter(nn.Module):
        def forward(self, x):
            return x + 0.1

    class Accuracy(nn.Module):
        def forward(self, logits, y):
            return (logits.argmax(1) == y).float().mean()

    one, jitter, softmax, accuracy = job(), Jitter(), nn.LogSoftmax(1), Accuracy()
    loss = nn.NLLLoss()
    with watch() as run:
        for x, y in batches():
            logits = softmax(one.model(jitter(x)))
            accuracy(logits, y)
            loss(logits, y).backward()
            one.optimizer.step()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 0]]
    assert run.trace.epochs["loss_calls"].tolist() == [BATCHES]
    assert (run.trace.facts["model"], run.trace.facts["loss"]) == ("Sequential", "NLLLoss")


def test_a_model_that_computes_its_own_loss():
    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.criterion = mlp(), nn.CrossEntropyLoss()

        def forward(self, x, labels=None):
            logits = self.net(x)
            return {"loss": self.criterion(logits, labels), "logits": logits}

    model = WithLoss()
    optimizer = sgd(model)
    with watch() as run:
        for x, y in batches():
            model(x, labels=y)["loss"].backward()
            optimizer.step()
    steps = run.trace.steps
    assert steps[["forwards", "loss_calls", "reached"]].to_numpy().tolist() == [[1, 1, 1]] * 3
    assert steps["loss_returned"].tolist() == steps["loss"].tolist()
    assert (steps["targets"] == BATCH).all()
    assert (steps["outputs"] == 1).all()
    assert run.trace.facts["model"] == "WithLoss"


def test_the_given_model_inside_something_larger():
    class Trainer(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.criterion = model, nn.CrossEntropyLoss()

        def forward(self, x, y):
            return self.criterion(self.model(x), y)

    model = mlp()
    trainer, optimizer = Trainer(model), sgd(model)
    with watch(model) as run:
        for x, y in batches():
            trainer(x, y).backward()
            optimizer.step()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 0]]
    assert run.trace.epochs["loss_calls"].tolist() == [BATCHES]
    assert (run.trace.facts["model"], run.trace.facts["loss"]) == ("Sequential", "CrossEntropyLoss")


def test_a_frozen_part_and_one_that_no_optimizer_holds():
    model = mlp()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with watch(model) as run:
        for x, y in batches():
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    facts = run.trace.facts
    assert (facts["parameters"], facts["trainable"], facts["frozen_count"]) == (6, 4, 2)
    assert facts["not_in_optimizer"] == ["4.weight", "4.bias"]
    assert (run.trace.steps["grad_tensors"] == 4).all()
    assert (run.trace.steps["seen_tensors"] == 2).all()


def test_an_optimizer_of_another_instance():
    model, other = mlp(), mlp()
    optimizer = sgd(other)
    with watch() as run:
        for x, y in batches():
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    facts = run.trace.facts
    assert (facts["not_in_optimizer_count"], facts["foreign_in_optimizer_count"]) == (6, 6)
    assert run.trace.epochs["drift"].tolist() == [0]
    assert (run.trace.steps["seen_none"] == 6).all()


def test_parts_that_are_unfrozen_on_the_way():
    model = mlp()
    model[0].requires_grad_(False)
    optimizer = sgd(model)
    with watch(model) as run:
        for number, (x, y) in enumerate(batches()):
            model[0].requires_grad_(number > 0)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert run.trace.steps["grad_tensors"].tolist() == [4, 6, 6]
    assert run.trace.facts["not_in_optimizer_count"] == 0


@pytest.mark.parametrize("when", ["before the first call", "later"])
def test_parts_that_are_added_inside_the_block(when):
    model = mlp()
    with watch(model) as run:
        optimizer = sgd(model)
        for number, (x, y) in enumerate(list(batches()) * 5):
            if number == (0 if when == "before the first call" else 4):
                model.append(nn.Linear(3, 3))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert run.trace.facts["not_in_optimizer"] == ["5.weight", "5.bias"]
    assert run.trace.steps["grad_tensors"].iloc[-1] == 8


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_layers():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    with watch(model) as run:
        for x, y in batches():
            F.cross_entropy(model(x), y).backward()
            sgd(model).step()
    assert run.trace.facts["trainable"] == 4
    assert run.trace.facts["not_in_optimizer_count"] == 0
    assert (run.trace.steps["grad_tensors"] == 4).all()
    assert complete(run)


def test_layers_in_a_list_are_named():
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = [nn.Linear(4, 4), nn.Linear(4, 4)], nn.Linear(4, 3)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
            return self.head(x)

    model = Stack()
    with watch(model) as run:
        F.cross_entropy(model(data()[0]), data()[1]).backward()
    assert run.trace.facts["unregistered"] == ["Linear"]
    assert run.trace.facts["trainable"] == 2 and "unregistered_left_out" not in run.trace.facts  # no optimizer was seen


@pytest.mark.parametrize(("held", "frozen", "left"), [(False, False, ["Linear"]), (True, False, []), (False, True, [])])
def test_layers_in_a_list_that_no_optimizer_holds_are_left_out(held, frozen, left):
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = [nn.Linear(4, 4).requires_grad_(not frozen)], nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.layers[0](x).relu())

    model = Stack()
    optimizer = torch.optim.SGD([*model.parameters(), *(model.layers[0].parameters() if held else ())], 0.1)
    with watch(model) as run:
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(model(data()[0]), data()[1]).backward()
            optimizer.step()
    assert run.trace.facts["unregistered_left_out"] == left


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_recompute_unseen(reentrant):
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.rest, self.last = nn.Linear(4, 4), mlp(out=4), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(checkpoint(self.rest, self.first(x), use_reentrant=reentrant))

    model = Deep()
    optimizer = sgd(model)
    with watch(model) as run:
        for x, y in batches():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 0]]
    assert (run.trace.steps["grad_none"] == 0).all()
    assert run.trace.steps["loss_graph"].all()


# the compiler looks at .grad of the loss's inputs, watched or not
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("compiled_first", [True, False])
def test_compiled_modules_show_their_outside(compiled_first):
    torch._dynamo.reset()
    plain = mlp()
    model = torch.compile(plain, backend="eager")
    if compiled_first:
        model(data()[0])
    loss = torch.compile(TwoTerms(), backend="eager")
    optimizer = sgd(plain)
    with watch(loss=loss) as run:
        for x, y in batches():
            loss(model(x), y).backward()
            optimizer.step()
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 0]]
    assert run.trace.epochs["loss_calls"].tolist() == [BATCHES]
    facts = run.trace.facts
    assert (facts["model"], facts["loss"], facts["not_in_optimizer_count"]) == ("Sequential", "TwoTerms", 0)
    assert any("compiled" in note for note in facts["not_seen"])
    torch._dynamo.reset()


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_an_average_that_is_evaluated(decay):
    one = job()
    average = AveragedModel(one.model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.update_parameters(one.model)
    with watch(one.model) as run:
        for _ in range(3):
            one.model.train()
            for x, y in batches():
                one.loss(one.model(x), y).backward()
                one.optimizer.step()
                average.update_parameters(one.model)
            one.evaluate(average)
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 1]] * 3
    moved = run.trace.epochs["eval_drift"].tolist()
    assert math.isnan(moved[0])
    assert [move > 0 for move in moved[1:]] == [decay < 1] * 2


def test_a_copy_from_before_the_training_does_not_move():
    one = job(epochs=3)
    stale = copy.deepcopy(one.model)
    one.evaluate = lambda evaluate=one.evaluate: evaluate(stale)
    with watch(one.model) as run:
        one.plain()
    assert run.trace.epochs["eval_drift"].tolist()[1:] == [0, 0]
    assert (run.trace.epochs["drift"] > 0).all()


def test_copies_made_anew_for_every_evaluation_are_compared():
    one = job(epochs=3)
    one.evaluate = lambda evaluate=one.evaluate: evaluate(copy.deepcopy(one.model))
    with watch() as run:
        one.plain()
    drift = run.trace.epochs[["drift", "eval_drift"]].to_numpy()[1:]
    assert np.allclose(drift[:, 0], drift[:, 1])


def test_several_evaluations_of_many_batches():
    one = job()
    with watch() as run:
        for _ in range(2):
            one.model.train()
            for x, y in batches():
                one.loss(one.model(x), y).backward()
                one.optimizer.step()
            one.model.eval()
            with torch.no_grad():
                values = [one.loss(one.model(x), y).item() for x, y in batches()]
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, BATCHES]] * 2
    assert run.trace.epochs["eval_loss_mean"].iloc[-1] == pytest.approx(np.mean(values))


def test_an_optimizer_that_wraps_another_steps_once():
    class Outer(torch.optim.Optimizer):
        def __init__(self, inner):
            super().__init__(inner.param_groups[0]["params"], {"lr": 0.1})
            self.inner = inner

        def step(self, closure=None):
            self.inner.step()

    model = mlp()
    optimizer = Outer(sgd(model))
    with watch(model) as run:
        for x, y in batches():
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert run.trace.epochs["steps"].tolist() == [BATCHES]


def test_a_step_that_raises_is_none_and_the_next_one_counts():
    class Sometimes(torch.optim.SGD):
        fails = True

        @torch.no_grad()
        def step(self, closure=None):
            if self.fails:
                raise RuntimeError("not now")
            return super().step(closure)

    model = mlp()
    optimizer = Sometimes(model.parameters(), lr=0.1)
    with watch(model) as run:
        for number, (x, y) in enumerate(batches()):
            optimizer.fails = number == 0
            F.cross_entropy(model(x), y).backward()
            try:
                optimizer.step()
            except RuntimeError:
                pass
    assert run.trace.steps["steps"].tolist() == [0, 1, 1]


def test_a_loss_with_parameters_of_its_own():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_scale = nn.Parameter(torch.zeros(()))

        def forward(self, logits, y):
            return F.cross_entropy(logits, y) * torch.exp(-self.log_scale) + self.log_scale

    model, loss = mlp(), Learned()
    optimizer = sgd(model)
    with watch() as run:
        for x, y in batches():
            loss(model(x), y).backward()
            optimizer.step()
    assert run.trace.facts["loss"] == "Learned"
    assert run.trace.facts["not_in_optimizer"] == ["(loss).log_scale"]
    assert run.trace.epochs["loss_calls"].tolist() == [BATCHES]
    assert run.trace.epochs["batches"].tolist() == [BATCHES]


def test_a_function_as_loss_is_known_by_its_root_only():
    model = mlp()
    optimizer = sgd(model)
    with watch(model, loss=F.cross_entropy) as run:
        for x, y in batches():
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert run.trace.steps["loss"].notna().all()
    assert run.trace.steps["loss_calls"].isna().all()
    assert any("not an nn.Module" in note for note in run.trace.facts["not_seen"])


@pytest.mark.parametrize(("rate", "verdict"), [(0.1, "nothing_found"), (0.0, "fault")])
def test_parameters_that_are_moved_by_hand_count_as_trained(rate, verdict):
    """torch.autograd.grad and an update of one's own: neither a backward pass nor a step is seen."""
    model = mlp()
    parameters = dict(model.named_parameters())
    with watch() as run:
        for _ in range(4):
            model.train()
            for x, y in batches():
                loss = F.cross_entropy(torch.func.functional_call(model, parameters, (x,)), y)
                gradients = torch.autograd.grad(loss, list(parameters.values()))
                with torch.no_grad():
                    for parameter, gradient in zip(parameters.values(), gradients, strict=True):
                        parameter -= rate * gradient
            model.eval()
            with torch.no_grad():
                model(data()[0])
    assert run.trace.epochs["steps"].sum() == 0
    found = kit.diagnose(run.trace)
    assert found.verdict == verdict
    # no loss was logged, so it is not called healthy; that something was trained is known by the parameters
    assert [notice.key for notice in found.lacks] == (["not_displayed"] if rate else ["nothing_trained"])


def test_the_whole_batch_is_one_turn_an_epoch():
    one = job()
    with watch() as run:
        for _ in range(4):
            one.model.train()
            one.optimizer.zero_grad()
            one.loss(one.model(data()[0]), data()[1]).backward()
            one.optimizer.step()
            one.evaluate()
    assert counted(run) == [[1, 1, 1, 1, 1]] * 4
    assert (run.trace.steps["batch"] == SAMPLES).all()


def test_an_output_that_is_an_object_is_looked_into():
    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return torch.distributions.Categorical(logits=self.net(x))

    model = Policy()
    with watch(model) as run:
        for x, y in batches():
            (-model(x).log_prob(y).mean()).backward()
    assert run.trace.steps["reached"].tolist() == [1, 1, 1]


def test_an_output_that_shows_nothing_is_not_called_unreached():
    class Opaque:
        __slots__ = ("value",)

        def __init__(self, value):
            self.value = value

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return Opaque(self.net(x))

    model = Wrapped()
    with watch(model) as run:
        for x, y in batches():
            F.cross_entropy(model(x).value, y).backward()
    assert run.trace.epochs["batches"].tolist() == [BATCHES]
    assert run.trace.epochs["reached"].isna().all()
    assert any("shows no tensor" in note for note in run.trace.facts["not_seen"])


def test_an_evaluation_in_inference_mode():
    one = job(epochs=3)
    with watch(one.model) as run:
        for _ in range(3):
            one.model.train()
            for x, y in batches():
                one.loss(one.model(x), y).backward()
                one.optimizer.step()
            one.model.eval()
            with torch.inference_mode():
                one.loss(one.model(data()[0]), data()[1])
    assert counted(run) == [[BATCHES, BATCHES, BATCHES, BATCHES, 1]] * 3
    assert (run.trace.epochs["eval_drift"].iloc[1:] > 0).all()
    assert complete(run)


def test_training_by_functional_calls_is_left_alone():
    def train(model):
        weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        buffers = {name: b.clone() for name, b in model.named_buffers()}

        def value(weights, x, y):
            return F.cross_entropy(torch.func.functional_call(model.eval(), (weights, buffers), (x,)), y)

        for x, y in batches():
            slopes = torch.func.grad(value)(weights, x, y)
            weights = {name: weights[name] - 0.1 * slopes[name] for name in weights}
        return weights

    bare = train(mlp())
    with watch() as run:
        watched = train(mlp())
    assert all(torch.equal(bare[name], watched[name]) for name in bare)
    assert complete(run)


def test_a_loss_that_returns_one_value_a_sample():
    model, loss = mlp(), nn.CrossEntropyLoss(reduction="none")
    with watch(model) as run:
        for x, y in batches():
            loss(model(x), y).mean().backward()
    steps = run.trace.steps
    assert np.allclose(steps["loss_returned"], steps["loss"])


def test_a_loss_that_returns_parts_without_a_total():
    class Parts(nn.Module):
        def forward(self, logits, y):
            return {"fit": F.cross_entropy(logits, y), "size": logits.square().mean()}

    model, loss = mlp(), Parts()
    with watch(model, loss=loss) as run:
        for x, y in batches():
            sum(loss(model(x), y).values()).backward()
    steps = run.trace.steps
    assert steps["loss_calls"].tolist() == [1, 1, 1]
    assert steps["loss_returned"].isna().all()
    assert np.allclose(steps["term:fit"] + steps["term:size"], steps["loss"])
