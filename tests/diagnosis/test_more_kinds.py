"""Further kinds of faults in plain loops, of which some term, part or optimizer is wrong and the rest trains; and healthy loops beside them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kit
from tests.diagnosis.test_kinds import BATCHES, EPOCHS, ROWS, classify, data, fit, loop, network


def watched(program) -> kit.diagnosis.Diagnosis:
    with kit.watch() as run:
        shown = program()
    run.log(**shown)
    return kit.diagnose(run.trace)


def alternating(clears) -> dict:
    """A generator and its critic, each with its optimizer; `clears(who, when, optimizers)` may clear at any point of a step."""
    torch.manual_seed(5)
    generator, critic = (
        nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 3)),
        nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1)),
    )
    optimizers = {
        "critic": torch.optim.SGD(critic.parameters(), 0.05),
        "generator": torch.optim.SGD(generator.parameters(), 0.05),
    }
    real = data(features=3)[0]
    displayed: dict[str, list[float]] = {"train_loss": [], "val_loss": []}
    for _ in range(EPOCHS):
        total = 0.0
        for rows in real.split(ROWS):
            fake = generator(torch.randn(len(rows), 2))
            losses = {
                "critic": lambda fake=fake, rows=rows: critic(fake.detach()).sigmoid().mean() - critic(rows).sigmoid().mean(),
                "generator": lambda fake=fake: -critic(fake).sigmoid().mean(),
            }  # fmt: skip
            for who, loss in losses.items():
                clears(who, "before", optimizers)
                value = loss()
                value.backward()
                optimizers[who].step()
                clears(who, "after", optimizers)
            total += value.item()
        displayed["train_loss"].append(total / BATCHES)
        with torch.no_grad():
            displayed["val_loss"].append(-critic(generator(torch.randn(32, 2))).sigmoid().mean().item())
    return displayed


def only_the_critic_is_cleared():
    return alternating(lambda who, when, of: of["critic"].zero_grad() if (who, when) == ("critic", "before") else None)


def two_weights_under_another_name():
    weights = {"fit": 1.0, "flatness": 0.2}

    def loss(model, rows):
        out = model(rows[0])
        terms = {"fit": F.mse_loss(out, rows[1]), "flat": out.square().mean()}
        return sum(weight * terms[name] for name, weight in weights.items() if name in terms)

    return loop(network(), loss)


def a_default_for_a_missing_weight():
    class Criterion:
        weights = {"label": 1.0, "size_": 0.5}  # noqa: RUF012 - as people write it

        def __call__(self, terms):
            total = 0.0
            for name in terms:
                total = total + self.weights.get(name, 0.0) * terms[name]
            return total

    criterion = Criterion()

    def loss(model, rows):
        out = model(rows[0])
        return criterion({"label": F.cross_entropy(out, rows[2]), "size": out.square().mean()})

    return loop(network(2), loss)


def a_term_of_the_inputs_alone():
    def loss(model, rows):
        x = rows[0].clone().requires_grad_()
        out = model(x)
        smooth = ((out.detach() - x[:, :1]) ** 2).mean()
        return F.mse_loss(out, rows[1]) + 0.3 * smooth

    return loop(network(), loss)


class Halves(nn.Module):
    """Features of a trunk, handed to a head as they come out of `through`."""

    def __init__(self, through):
        super().__init__()
        torch.manual_seed(3)
        self.trunk = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
        self.head, self.through = nn.Linear(16, 1), through

    def forward(self, x):
        return self.head(self.through(self.trunk(x)))


def features_written_out():
    return loop(Halves(lambda features: torch.tensor(features.tolist())), fit)


def a_closed_gate_before_everything():
    frozen, net = network().requires_grad_(False), network()

    def loss(model, rows):
        return F.mse_loss(frozen(rows[0]) + 0.0 * model(rows[0]), rows[1])

    return loop(net, loss)


class Latent(nn.Module):
    def __init__(self, size):
        super().__init__()
        torch.manual_seed(3)
        self.encoder, self.decoder, self.size = nn.Linear(6, 8), nn.Linear(4, 6), size

    def forward(self, x):
        mean, log_variance = (self.size * self.encoder(x)).chunk(2, dim=1)
        return self.decoder(mean + torch.randn_like(mean) * (0.5 * log_variance).exp()), mean, log_variance


def divergence(size):
    def loss(model, rows):
        out, mean, log_variance = model(rows[0])
        kl = 0.5 * (mean.square() + log_variance.exp() - (1 + log_variance)).sum(1).mean()
        return F.mse_loss(out, rows[0]) + kl

    return loop(Latent(size), loss)


def a_divergence_that_rounds_to_nothing():
    return divergence(1e-6)


def one_iterator_for_five_epochs():
    torch.manual_seed(3)
    model, rows = (
        network(),
        iter([*zip(*(part.split(8) for part in data()), strict=True)]),
    )  # ten batches, a whole number an epoch
    optimizer, held_out = torch.optim.Adam(model.parameters(), 0.01), data(1, 32)
    displayed: dict[str, list[float]] = {"train_loss": [], "val_loss": []}
    for _ in range(5):
        total, count = 0.0, 0
        for batch in rows:
            optimizer.zero_grad()
            value = fit(model, batch)
            value.backward()
            optimizer.step()
            total, count = total + value.item(), count + 1
        model.eval()
        with torch.no_grad():
            displayed["val_loss"].append(fit(model, held_out).item())
        model.train()
        displayed["train_loss"].append(total / max(count, 1))
    return displayed


FAULTS = {
    only_the_critic_is_cleared: ("gradients_not_cleared", "partly"),
    two_weights_under_another_name: ("weight_names", "partly"),
    a_default_for_a_missing_weight: ("weight_names", "partly"),
    a_term_of_the_inputs_alone: ("graph_cut", "partly"),
    features_written_out: ("graph_cut", "partly"),
    a_closed_gate_before_everything: ("dead_branch", "fault"),
    a_divergence_that_rounds_to_nothing: ("term_always_zero", "partly"),
    one_iterator_for_five_epochs: ("no_batches", "fault"),
}
FACTS = {
    only_the_critic_is_cleared: "SGD (",
    two_weights_under_another_name: "weights['flatness'] = 0.2",
    a_default_for_a_missing_weight: "self.weights['size_'] = 0.5",
    a_term_of_the_inputs_alone: "smooth, cut by detach in",
    features_written_out: "trunk.0.weight",
}


@pytest.mark.parametrize("program", FAULTS, ids=lambda program: program.__name__)
def test_a_fault_is_named(program):
    found = watched(program)
    assert found.top is not None and (found.top.key, found.verdict) == FAULTS[program], found.explain()
    assert FACTS.get(program, "") in found.top.facts[0]


def undone(put_back, epochs=EPOCHS, swap=None) -> dict:
    """Epochs of a plain loop, and what `put_back(model)` does between the last step of one and its evaluation; `swap` after it."""
    model, (x, y, _) = network(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    put_back, displayed = put_back(model), {"train_loss": [], "val_loss": []}
    for _ in range(epochs):
        total = 0.0
        for inputs, target in zip(x.split(ROWS), y.split(ROWS), strict=True):
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), target)
            loss.backward()
            optimizer.step()
            total += loss.item()
        displayed["train_loss"].append(total / BATCHES)
        put_back()
        model.eval()
        with torch.no_grad():
            displayed["val_loss"].append(F.mse_loss(model(x[:32]), y[:32]).item())
        model.train()
        if swap:
            swap()
    return displayed


def the_best_weights_are_loaded_and_never_kept():
    def first(model):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        return lambda: model.load_state_dict(state)

    return undone(first)


def initialised_anew_each_epoch():
    def anew(model):
        def draw():
            torch.manual_seed(3)
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=0.3)

        draw()
        return draw

    return undone(anew)


@pytest.mark.parametrize("program", [the_best_weights_are_loaded_and_never_kept, initialised_anew_each_epoch])
def test_parameters_that_are_put_back_are_told_from_those_that_stand_still(program):
    found = watched(program)
    assert found.top is not None and (found.top.key, found.verdict) == ("parameters_restored", "fault"), found.explain()
    assert "they stood where they began at the end of each of" in found.top.facts[0]


# --- healthy, and close to one of them --------------------------------------------------------------------------------


def each_clears_its_own():
    return alternating(lambda who, when, of: of[who].zero_grad(set_to_none=False) if when == "before" else None)


def cleared_after_the_step():
    return alternating(lambda who, when, of: of[who].zero_grad() if when == "after" else None)


def both_cleared_once_a_round():
    return alternating(lambda who, when, of: [one.zero_grad() for one in of.values()] if who == "critic" and when == "before" else None)  # fmt: skip


def tasks_by_turns():
    weights, turn = {"fit": 1.0, "size": 0.2}, iter(range(10_000))

    def loss(model, rows):
        out, name = model(rows[0]), ("fit", "size")[next(turn) % 2]
        return weights[name] * {"fit": F.mse_loss(out, rows[1]), "size": (out.square().mean() - 0.3) ** 2}[name]

    return loop(network(), loss)


def weights_of_terms_that_are_not_asked():
    """A total kept beside its terms, as some libraries do, and a weight of a term that this run does not compute."""
    weights = {"total": 1.0, "fit": 1.0, "size": 0.2, "edge": 0.5}

    def loss(model, rows):
        out = model(rows[0])
        terms = {"total": 0.0, "fit": F.mse_loss(out, rows[1]), "size": (out.square().mean() - 0.3) ** 2}
        for name in ("fit", "size"):
            if name in weights:
                terms["total"] = terms["total"] + terms[name] * weights[name]
        return terms["total"]

    return loop(network(), loss)


def averaged_weights_are_evaluated():
    kept: dict[str, list] = {}

    def average(model):
        mean = [p.detach().clone() for p in model.parameters()]

        def show():
            kept["own"] = [p.detach().clone() for p in model.parameters()]
            with torch.no_grad():
                for m, p in zip(mean, model.parameters(), strict=True):
                    p.copy_(m.lerp_(p, 0.5))
            kept["model"] = [model]

        return show

    def back():
        with torch.no_grad():
            for own, p in zip(kept["own"], kept["model"][0].parameters(), strict=True):
                p.copy_(own)

    return undone(average, swap=back)


def a_latent_code_through_a_frozen_network():
    model, (x, y, _) = network().requires_grad_(False), data()
    code = torch.zeros(1, x.shape[1], requires_grad=True)
    optimizer, displayed = torch.optim.SGD([code], 0.1), {"train_loss": []}
    for _ in range(EPOCHS):
        total = 0.0
        for inputs, target in zip(x.split(ROWS), y.split(ROWS), strict=True):
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs + code), target)
            loss.backward()
            optimizer.step()
            total += loss.item()
        displayed["train_loss"].append(total / BATCHES)
        with torch.no_grad():
            model(x[:32])
    return displayed


def a_perturbation_with_a_price():
    def loss(model, rows):
        step = torch.full_like(rows[0], 0.01, requires_grad=True)
        return F.mse_loss(model(rows[0] + step), rows[1]) + 0.1 * step.square().mean()

    return loop(network(), loss)


def a_pooler_that_nobody_asks():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.pooler, self.head = network(16), nn.Linear(16, 16), nn.Linear(16, 1)

        def forward(self, x):
            hidden = self.body(x)
            return self.head(hidden), self.pooler(hidden)

    return loop(Pooled(), lambda model, rows: F.mse_loss(model(rows[0])[0], rows[1]))


def a_divergence_of_its_size():
    return divergence(1.0)


def two_losses_and_their_sum():
    label, size = nn.CrossEntropyLoss(), nn.MSELoss()

    def loss(model, rows):
        out = model(rows[0])
        return 0.1 * label(out[:, :2], rows[2]) + 0.1 * size(out[:, 2:], rows[1])

    return loop(network(3), loss)


def two_points_at_the_end():
    def loss(model, rows):
        ends = torch.zeros(2, 6)
        return F.mse_loss(model(rows[0]), rows[1]) + 0.1 * (model(ends) - 0.5).square().mean()

    return loop(network(), loss)


def a_frozen_body_behind_trained_inputs():
    """The body runs in training and in evaluation and never moves, as it is meant to; the validation loss hardly moves."""
    torch.manual_seed(3)
    body, head = network(4).requires_grad_(False), nn.Linear(4, 1)
    shift = nn.Parameter(torch.zeros(6))
    optimizers = [torch.optim.SGD([shift, *head.parameters()], 1e-3)]
    return loop(body, lambda model, rows: F.mse_loss(head(model(rows[0] + shift)), rows[1]), optimizers=optimizers)


HEALTHY = [
    averaged_weights_are_evaluated,
    weights_of_terms_that_are_not_asked,
    each_clears_its_own, cleared_after_the_step, both_cleared_once_a_round, tasks_by_turns, a_perturbation_with_a_price,
    a_pooler_that_nobody_asks, a_divergence_of_its_size, two_losses_and_their_sum, two_points_at_the_end,
    a_frozen_body_behind_trained_inputs,
]  # fmt: skip


@pytest.mark.parametrize("program", HEALTHY, ids=lambda program: program.__name__)
def test_a_healthy_loop_is_healthy(program):
    found = watched(program)
    assert found.verdict == "healthy", found.explain()


def test_a_loop_of_functions_is_no_empty_loader():
    """No module and no backward pass is seen, and the displayed loss falls: something trained it."""

    def program():
        weights = torch.zeros(6, 1, requires_grad=True)
        rows, displayed = data(), []
        for _ in range(EPOCHS):
            loss = F.mse_loss(rows[0] @ weights, rows[1])
            (gradient,) = torch.autograd.grad(loss, weights)
            weights = (weights - 0.1 * gradient).detach().requires_grad_()
            displayed.append(loss.item())
        return {"train_loss": displayed, "val_loss": displayed}

    found = watched(program)
    assert found.verdict == "nothing_found", found.explain()
    assert "torch.autograd.grad" in found.explain()


def test_parameters_that_others_stand_in_for_while_the_network_runs_are_in_the_optimizer():
    """Gradients of one sample at a time, by torch.func: while the network runs its parameters are exchanged."""

    def program():
        model, rows = network(2), data()
        optimizer, displayed = torch.optim.SGD(model.parameters(), 0.2), []

        def loss(parameters, x, label):
            out = torch.func.functional_call(model, parameters, (x[None],))
            return F.cross_entropy(out, label[None])

        each = torch.vmap(torch.func.grad_and_value(loss), (None, 0, 0))
        for _ in range(EPOCHS):
            gradients, losses = each({name: p.detach() for name, p in model.named_parameters()}, rows[0], rows[2])
            for name, p in model.named_parameters():
                p.grad = gradients[name].mean(0)
            optimizer.step()
            displayed.append(losses.mean().item())
        return {"train_loss": displayed, "val_loss": displayed}

    found = watched(program)
    assert found.verdict == "nothing_found", found.explain()
    assert found.result("parameters_outside_optimizer").yes is False
    assert found.result("batch_of_one").yes is None


def test_a_score_of_0_is_no_wrong_number():
    """The validation loss is computed, and what is displayed beside it is an accuracy that stays 0."""

    def program():
        criterion = nn.CrossEntropyLoss()
        displayed = loop(network(2), lambda model, rows: criterion(model(rows[0]), rows[2]))
        return {**displayed, "val_loss": [0.0] * EPOCHS}

    found = watched(program)
    assert found.verdict == "unexplained", found.explain()
    assert found.result("validation_display_differs").yes is None


def test_a_validation_that_stands_still_beside_what_was_computed_is_a_wrong_number():
    def program():
        criterion = nn.CrossEntropyLoss()
        displayed = loop(network(2), lambda model, rows: criterion(model(rows[0]), rows[2]))
        return {**displayed, "val_loss": [3.5] * EPOCHS}

    assert watched(program).verdict == "wrong_number"


def test_classes_are_left_alone():
    """The same loop without any of this: nothing is established."""
    assert watched(lambda: loop(network(2), classify)).facts == ()


def test_what_is_stepped_beside_a_frozen_network_is_not_put_back():
    found = watched(a_latent_code_through_a_frozen_network)
    assert next(one for one in found.results if one.key == "parameters_restored").yes is not True
    assert found.verdict != "fault"
