"""Kinds of faults in plain loops, each in another style than the bench's programs, and healthy loops that look odd."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kit

EPOCHS, BATCHES, ROWS = 4, 5, 16


def data(seed=0, rows=BATCHES * ROWS, features=6):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator)
    return x, (x[:, :1] - 0.5 * x[:, 1:2]).tanh(), (x[:, 0] > 0).long()


def network(outputs=1):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, outputs))


def loop(
    model,
    loss,
    *,
    optimizers=None,
    before_step=None,
    after_epoch=None,
    epochs=EPOCHS,
    evaluated=None,
    steps=None,
    shown=None,
):
    """A plain loop: `loss(model, rows)`, with rows (x, y, label) of a batch. What it displayed, by epoch."""
    optimizers = optimizers or [torch.optim.Adam(model.parameters(), 0.01)]
    train, held_out = data(), data(1, 32)
    displayed = {"train_loss": [], "val_loss": []}
    for epoch in range(epochs):
        total, count = 0.0, 0
        for first in range(0, BATCHES * ROWS, ROWS):
            for optimizer in optimizers:
                optimizer.zero_grad()
            value = loss(model, [part[first : first + ROWS] for part in train])
            value.backward()
            for number, optimizer in enumerate(optimizers):
                if before_step is not None:
                    before_step(number, optimizer)
                if steps is None or steps(epoch * BATCHES + first // ROWS):
                    optimizer.step()
            total, count = total + value.item(), count + 1
        with torch.no_grad():
            displayed["val_loss"].append(loss(evaluated or model, held_out).item())
        displayed["train_loss"].append((shown or (lambda mean: mean))(total / count))
        if after_epoch is not None:
            after_epoch(epoch, optimizers)
    return displayed


def fit(model, rows):
    return F.mse_loss(model(rows[0]), rows[1])


def classify(model, rows):
    return F.cross_entropy(model(rows[0]), rows[2])


# --- faults -----------------------------------------------------------------------------------------------------------


def flat_target():
    return loop(network(), lambda model, rows: F.smooth_l1_loss(model(rows[0]), rows[1][:, 0]))


def flat_target_by_hand():
    return loop(network(), lambda model, rows: (rows[1].view(-1) - model(rows[0])).pow(2).mean())


def softmax_before_cross_entropy():
    model = nn.Sequential(network(2), nn.Softmax(dim=1))
    return loop(model, classify)


def sigmoid_before_logits():
    def loss(model, rows):
        return F.binary_cross_entropy_with_logits(model(rows[0]).sigmoid().squeeze(1), rows[2].float())

    return loop(network(), loss)


def two_zero_layers():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.down, self.up = network(), nn.Linear(6, 3), nn.Linear(3, 1)
            for p in (*self.down.parameters(), *self.up.parameters()):
                nn.init.zeros_(p)

        def forward(self, x):
            return self.body(x) + self.up(F.relu(self.down(x)))

    return loop(Residual(), fit)


def nothing_is_mined():
    def loss(model, rows):
        out, far = model(rows[0]), rows[1].abs() > 50
        mined = ((out - rows[1]).abs() * far).sum() / far.sum().clamp(min=1)
        return F.mse_loss(out, rows[1]) + 0.5 * mined

    return loop(network(), loss)


def one_term_from_numpy():
    def loss(model, rows):
        out = model(rows[0])
        smooth = torch.as_tensor(out.detach().numpy()).diff(dim=0).pow(2).mean()
        return F.mse_loss(out, rows[1]) + 0.3 * smooth

    return loop(network(), loss)


def accuracy_as_a_term():
    def loss(model, rows):
        logits = model(rows[0])
        wrong = (logits.argmax(1) != rows[2]).float().mean()
        return F.cross_entropy(logits, rows[2]) + 0.5 * wrong

    return loop(network(2), loss)


def all_weights_zero():
    settings = {"fit": 0.0, "size": 0.0}

    def loss(model, rows):
        out = model(rows[0])
        terms = {"fit": F.mse_loss(out, rows[1]), "size": out.square().mean()}
        return sum(settings[name] * value for name, value in terms.items())

    return loop(network(), loss)


def gate_of_a_counter():
    return loop(network(), fit, steps=lambda number: number == 7)


def own_optimizer_that_does_nothing():
    class Own:
        def __init__(self, parameters):
            self.parameters, self.rate = list(parameters), 0.0

        def zero_grad(self):
            for p in self.parameters:
                p.grad = None

        def step(self):
            with torch.no_grad():
                for p in self.parameters:
                    p.sub_(self.rate * p.grad)

    model = network()
    return loop(model, fit, optimizers=[Own(model.parameters())])


def one_of_two_cleared():
    model = nn.ModuleDict({"encoder": nn.Linear(6, 8), "decoder": nn.Linear(8, 1)})
    optimizers = [torch.optim.Adam(model[name].parameters(), 0.01) for name in ("encoder", "decoder")]

    def clear(number, optimizer):
        if number == 0:
            optimizer.zero_grad()

    def loss(model, rows):
        return F.mse_loss(model["decoder"](model["encoder"](rows[0]).tanh()), rows[1])

    return loop(model, loss, optimizers=optimizers, before_step=clear)


def rate_that_vanishes():
    def decay(epoch, optimizers):
        for group in optimizers[0].param_groups:
            group["lr"] *= 1e-9

    return loop(network(), fit, after_epoch=decay)


def slow_average():
    model = network()
    average = copy.deepcopy(model).eval()

    def follow(epoch, optimizers):
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.mul_(0.9999).add_(fast, alpha=1e-4)

    return loop(model, fit, after_epoch=follow, evaluated=average, epochs=6)


def reference_is_the_model():
    def loss(model, rows):
        chosen, rejected = model(rows[0]), model(rows[0].flip(1))
        with torch.no_grad():
            first, second = model(rows[0]), model(rows[0].flip(1))
        return -F.logsigmoid(0.1 * ((chosen - rejected) - (first - second))).mean()

    return loop(network(), loss)


def batches_of_a_generator():
    """Made once, so it serves one epoch; evaluated in training mode."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    x, y, _ = data()
    rows = ((x[i : i + ROWS], y[i : i + ROWS]) for i in range(0, len(x), ROWS))
    displayed = {"train_loss": [], "val_loss": []}
    for _ in range(EPOCHS + 2):
        total, count = 0.0, 0
        for part, target in rows:
            optimizer.zero_grad()
            value = F.mse_loss(model(part), target)
            value.backward()
            optimizer.step()
            total, count = total + value.item(), count + 1
        with torch.no_grad():
            displayed["val_loss"].append(F.mse_loss(model(x), y).item())
        displayed["train_loss"].append(total / max(count, 1))
    return displayed


def a_teacher_that_is_the_student():
    def loss(model, rows):
        out = model(rows[0])
        with torch.no_grad():
            aim = model(rows[0])
        return F.mse_loss(out, rows[1]) + 0.5 * (out - aim).square().mean()

    return loop(network(), loss)


def a_loss_of_nothing_that_is_patched():
    def loss(model, rows):
        out = model(rows[0])
        none = rows[1] > 99
        return ((out - rows[1]).square() * none).sum().div(none.sum()).nan_to_num() + 0 * out.sum()

    return loop(network(), loss)


def targets_longer_than_the_input():
    ctc = nn.CTCLoss(zero_infinity=True)

    def loss(model, rows):
        rows_now = len(rows[0])
        out = model(rows[0]).view(rows_now, 2, 5).permute(1, 0, 2).log_softmax(-1)
        lengths = torch.full((rows_now,), 2), torch.full((rows_now,), 4)
        return ctc(out, torch.randint(1, 5, (rows_now, 4), generator=torch.Generator().manual_seed(1)), *lengths)

    return loop(network(10), loss)


def never_cleared():
    class Kept(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            pass

    model = network()
    return loop(model, fit, optimizers=[Kept(model.parameters(), 0.01)])


def an_encoder_under_no_grad():
    model = nn.ModuleDict({"encoder": nn.Linear(6, 8), "head": nn.Linear(8, 1)})

    def loss(model, rows):
        with torch.no_grad():
            hidden = model["encoder"](rows[0]).tanh()
        return F.mse_loss(model["head"](hidden), rows[1])

    return loop(model, loss)


FAULTS = {
    flat_target: "broadcast", flat_target_by_hand: "broadcast", softmax_before_cross_entropy: "double_activation",
    sigmoid_before_logits: "double_activation", two_zero_layers: "dead_branch", nothing_is_mined: "term_always_zero",
    one_term_from_numpy: "graph_cut", accuracy_as_a_term: "graph_cut", all_weights_zero: "loss_weights",
    gate_of_a_counter: "steps_skipped", own_optimizer_that_does_nothing: "steps_skipped", one_of_two_cleared: "gradients_cleared",
    rate_that_vanishes: "zero_learning_rate", slow_average: "stale_validation", reference_is_the_model: "reference_is_policy",
    batches_of_a_generator: "no_batches", a_teacher_that_is_the_student: "reference_is_policy", a_loss_of_nothing_that_is_patched: "infinite_loss_zeroed",
    targets_longer_than_the_input: "infinite_loss_zeroed", never_cleared: "gradients_not_cleared", an_encoder_under_no_grad: "graph_cut",
}  # fmt: skip
PARTLY = {
    an_encoder_under_no_grad,
    two_zero_layers,
    nothing_is_mined,
    one_term_from_numpy,
    accuracy_as_a_term,
    one_of_two_cleared,
    a_teacher_that_is_the_student,
}


@pytest.mark.parametrize("program", FAULTS, ids=lambda program: program.__name__)
def test_a_fault_is_named(program):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a target size")
        with kit.watch() as run:
            shown = program()
    run.log(**shown)
    found = kit.diagnose(run.trace)
    assert found.top is not None and found.top.key == FAULTS[program], found.explain()
    assert found.verdict == ("partly" if program in PARTLY else "fault")
    assert str(found).startswith("Established: ")


# --- healthy, and odd -------------------------------------------------------------------------------------------------


def a_weight_that_begins_at_zero():
    step = iter(range(1000))

    def loss(model, rows):
        out = model(rows[0])
        return F.mse_loss(out, rows[1]) + min(1.0, next(step) / 10) * 0.1 * out.square().mean()

    return loop(network(), loss)


def one_zero_layer():
    model = network()
    nn.init.zeros_(model[2].weight)
    return loop(model, fit)


def micrometres():
    torch.manual_seed(3)
    model = network()

    def loss(model, rows):
        return (1e-6 * (model(rows[0]) - rows[1])).pow(2).mean()

    return loop(model, loss, optimizers=[torch.optim.Adam(model.parameters(), 0.01, eps=1e-20)])


def a_rehearsal_first():
    model = network()
    model(torch.zeros(2, 6))
    with torch.no_grad():
        model.eval()(torch.zeros(2, 6))
    return loop(model.train(), fit)


def times_the_batch_size():
    return loop(
        network(), lambda model, rows: F.mse_loss(model(rows[0]), rows[1]) * ROWS, shown=lambda mean: mean / ROWS
    )


def cosine_to_zero():
    def decay(epoch, optimizers):
        for group in optimizers[0].param_groups:
            group["lr"] = 0.01 * (1 + torch.tensor(torch.pi * (epoch + 1) / EPOCHS).cos().item()) / 2

    return loop(network(), fit, after_epoch=decay)


def accumulation():
    return loop(network(), lambda model, rows: fit(model, rows) / 1, steps=lambda number: number % 2 == 1)


def pairs_on_purpose():
    def loss(model, rows):
        out = model(rows[0]).squeeze(1)
        order = (out[:, None] - out).sigmoid()
        return F.binary_cross_entropy(order, (rows[1] > rows[1].T).float()) + 0.1 * F.mse_loss(out, rows[1][:, 0])

    return loop(network(), loss)


def attention_before_the_head():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.score, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.score(x).softmax(1) * x)

    return loop(Attention(), classify)


def a_gate_of_its_own():
    main, side, gate = nn.Linear(6, 1), network(), nn.Parameter(torch.zeros(1))

    def loss(model, rows):
        return F.smooth_l1_loss(main(rows[0]) + gate * side(rows[0]), rows[1])

    return loop(main, loss, optimizers=[torch.optim.Adam([*main.parameters(), *side.parameters(), gate], 0.03)])


def cleared_to_zeros():
    class Zeros(torch.optim.SGD):
        def zero_grad(self, set_to_none=False):
            super().zero_grad(set_to_none=False)

    model = network()
    return loop(model, fit, optimizers=[Zeros(model.parameters(), 0.1)])


def a_policy_in_its_first_pass():
    """Ratios of 1 in every step: the old policy is asked anew, right before."""

    def loss(model, rows):
        with torch.no_grad():
            old = model(rows[0])
        gain = ((model(rows[0]) - old).exp() * (rows[1] - rows[1].mean())).mean()
        return F.mse_loss(model(rows[0]), rows[1]) - 0.01 * gain

    return loop(network(), loss)


def a_target_that_follows():
    model = network()
    target = copy.deepcopy(model)

    def loss(model, rows):
        with torch.no_grad():
            aim = target(rows[0])
        out = model(rows[0])
        return F.mse_loss(out, rows[1]) + 0.1 * F.mse_loss(out, aim)

    def follow(epoch, optimizers):
        target.load_state_dict(model.state_dict())

    return loop(model, loss, after_epoch=follow)


HEALTHY = [
    a_policy_in_its_first_pass, a_target_that_follows,
    a_gate_of_its_own, cleared_to_zeros,
    a_weight_that_begins_at_zero, one_zero_layer, micrometres, a_rehearsal_first, times_the_batch_size, cosine_to_zero, accumulation,
    pairs_on_purpose, attention_before_the_head,
]  # fmt: skip


@pytest.mark.parametrize("program", HEALTHY, ids=lambda program: program.__name__)
def test_a_healthy_loop_is_healthy(program):
    with kit.watch() as run:
        shown = program()
    run.log(**shown)
    found = kit.diagnose(run.trace)
    assert shown["train_loss"][-1] < shown["train_loss"][0]
    assert found.verdict == "healthy", found.explain()
