"""A watch says where in the program a NaN was made, which parameters get nothing, and what each optimizer did."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit.recording import Trace, watch
from kit.recording.outputs import look
from tests.recording._loops import mlp

HERE = "tests/recording/test_inside_the_network.py"
SOURCE = Path(__file__).read_text().splitlines()


def batch(seed=0, rows=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 4, generator=generator), torch.randn(rows, 3, generator=generator)


def train(model, total, steps=3, guard=True):
    """Plain steps; with `guard`, gradients that are not finite are set to 0 before the step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(1, steps + 1):
        x, y = batch(step)
        optimizer.zero_grad()
        total(model(x), y, step).backward()
        if guard:
            for p in model.parameters():
                p.grad = torch.nan_to_num(p.grad, 0.0, 0.0, 0.0)
        optimizer.step()


BACKWARD = {
    "sqrt": lambda out, y, step: F.mse_loss(out, y) + (out * 0).sqrt().mean(),
    "pow": lambda out, y, step: F.mse_loss(out, y) + ((out * 0) ** 0.5).mean(),
    "where": lambda out, y, step: torch.where(out > 1e9, (out - out.detach()).sqrt(), out).mean(),
    "acos": lambda out, y, step: torch.acos(1 + out * 0).mean(),
}


@pytest.mark.parametrize("kind", BACKWARD)
def test_the_operation_whose_gradient_is_the_first_that_is_not_finite(kind):
    with watch() as run:
        train(mlp(), BACKWARD[kind])
    origin = run.trace.facts["first_nonfinite"]
    operation = {"where": "sqrt"}.get(kind, kind)
    assert (origin["pass"], origin["step"], origin["operation"]) == ("backward", 1, operation)
    number = int(origin["source"].removeprefix(f"{HERE}:"))
    assert f'"{kind}": lambda' in SOURCE[number - 1]
    assert f"first NaN or infinity: made by {operation} in the backward pass of step 1, {HERE}:{number}" in str(
        run.trace
    )


FORWARD = {
    "log": (lambda out, y: (out * 0).log().mean(), "infinity"),
    "exp": (lambda out, y: (1000 + out * 0).exp().mean(), "infinity"),
    "div": (lambda out, y: ((out * 0) / (out * 0)).mean(), "NaN"),
    "softmax": (lambda out, y: out.masked_fill(out < math.inf, -math.inf).softmax(-1).mean(), "NaN"),
}


@pytest.mark.parametrize("kind", FORWARD)
def test_the_operation_that_made_the_loss_nan_or_infinite(kind):
    total, what = FORWARD[kind]
    with watch() as run:
        train(mlp(), lambda out, y, step: F.mse_loss(out, y) + total(out, y))
    origin = run.trace.facts["first_nonfinite"]
    assert origin["pass"] == "forward" and origin["what"] == what
    assert origin["operation"].removeprefix("true") == kind and origin["source"].startswith(HERE)


def test_infinities_that_are_masks_are_nobodys_fault():
    def total(out, y, step):
        return F.cross_entropy(
            out.masked_fill(torch.arange(3) == 2, -math.inf), torch.zeros(len(out), dtype=torch.long)
        )

    with watch() as run:
        train(mlp(), total)
    assert "first_nonfinite" not in run.trace.facts and "nonfinite_gradients" not in run.trace.facts


def test_data_that_are_nan_are_no_operation_of_the_program():
    with watch() as run:
        train(mlp(), lambda out, y, step: F.mse_loss(out, y * torch.tensor(math.nan)))
    assert "first_nonfinite" not in run.trace.facts


def test_a_nan_that_begins_late_is_found_in_the_step_behind_it():
    def total(out, y, step):
        return F.mse_loss(out, y) + ((out - out.detach()).sqrt().mean() if step >= 7 else 0)

    with watch() as run:
        train(mlp(), total, steps=12)
    origin = run.trace.facts["first_nonfinite"]
    assert (origin["operation"], origin["step"]) == ("sqrt", 8)


def test_names_of_gradients_that_are_not_finite():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.good, self.bad = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.good(x) + (self.bad(x) * 0).sqrt()

    with watch() as run:
        train(Two(), lambda out, y, step: F.mse_loss(out, y))
    assert run.trace.facts["nonfinite_gradients"] == ["bad.weight: in 3 of 3", "bad.bias: in 3 of 3"]


class Gate(nn.Module):
    """Both layers of the branch begin at 0, so that neither is ever moved."""

    def __init__(self, first=0.0):
        super().__init__()
        self.main, self.inner, self.outer = nn.Linear(4, 3), nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False)
        nn.init.constant_(self.inner.weight, first)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        return self.main(x) + self.outer(self.inner(x))


@pytest.mark.parametrize("first", [0.0, 0.1])
def test_a_branch_whose_gradient_is_exactly_0(first):
    with watch() as run:
        train(Gate(first), lambda out, y, step: F.mse_loss(out, y))
    dead = ["inner.weight", "outer.weight"] if first == 0 else None  # one zero layer is moved in the first step
    assert run.trace.facts.get("zero_gradients") == dead
    assert ("exactly 0 in every step" in str(run.trace)) == (first == 0)


def test_looking_changes_nothing_and_stops_when_it_was_found():
    alone, watched, calls = mlp(), mlp(), []
    for model in (alone, watched):
        model.load_state_dict(alone.state_dict())
    total = BACKWARD["sqrt"]
    train(alone, total, steps=5)
    with watch() as run:
        train(watched, lambda out, y, step: calls.append(step) or total(out, y, step), steps=5)
    assert calls == [1, 2, 3, 4, 5]
    assert all(map(torch.equal, alone.parameters(), watched.parameters()))
    assert run.trace.facts["first_nonfinite"]["step"] == 1


def two_networks(cleared):
    encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
    optimizers = [torch.optim.Adam(encoder.parameters(), 0.01), torch.optim.SGD(decoder.parameters(), 0.1)]
    for step in range(4):
        x, _ = batch(step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        F.mse_loss(decoder(encoder(x)), x).backward()
        optimizers[0].step()
        if cleared:
            optimizers[1].zero_grad()
        optimizers[1].param_groups[0]["lr"] *= 0.1
        optimizers[1].step()


@pytest.mark.parametrize("cleared", [True, False])
def test_each_optimizer_has_its_own_row(cleared, tmp_path):
    with watch() as run:
        two_networks(cleared)
    table = run.trace.optimizers
    assert list(table.kind) == ["Adam", "SGD"] and list(table.steps) == [4, 4] and list(table.tensors) == [2, 2]
    assert list(table.without_gradient) == [0, 4 if cleared else 0]
    assert list(table.lr_first) == pytest.approx([0.01, 0.01]) and table.lr_last[1] == pytest.approx(0.1**5)
    assert ["optimizers[0].step()", "optimizers[1].step()"] == [
        SOURCE[int(source.partition(":")[2]) - 1].strip() for source in table.source
    ]
    assert Trace.load(run.trace.save(tmp_path / "run.npz")).optimizers.equals(table)


def test_the_lines_of_the_loop_are_named():
    model = mlp()
    with watch(model) as run:
        train(model, lambda out, y, step: F.mse_loss(out, y))
        with torch.no_grad():
            model.eval()(batch()[0])
    lines = run.trace.facts["lines"]
    said = {act: [SOURCE[int(line.partition(":")[2]) - 1].strip() for line in found] for act, found in lines.items()}
    assert said == {
        "forward": ["total(model(x), y, step).backward()"],
        "backward": ["total(model(x), y, step).backward()"],
        "gradients": ["p.grad = torch.nan_to_num(p.grad, 0.0, 0.0, 0.0)"],
        "step": ["optimizer.step()"],
        "evaluation": ["model.eval()(batch()[0])"],
    }


def test_how_much_the_samples_of_a_batch_differ():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 5, generator=generator, dtype=torch.float64)
    expected = (((values - values.mean(0)) ** 2).sum() / (values**2).sum()).sqrt()
    assert look(values)["outputs_spread"] == pytest.approx(expected.item(), rel=1e-12)
    assert look(1e30 * values.float())["outputs_spread"] == pytest.approx(expected.item(), rel=1e-5)
    assert look(values[:1].expand(7, 5))["outputs_spread"] == pytest.approx(0, abs=1e-15)
    assert look({"one": values, "other": torch.ones(4, 2)})["outputs_spread"] == 0
    assert math.isnan(look(values[:1])["outputs_spread"])


def step_of(model, optimizer, between):
    x, y = batch()
    loss = F.mse_loss(model(x), y)
    optimizer.zero_grad()  # stands before the backward pass
    match between:
        case "one line":
            loss.backward(), optimizer.zero_grad(), optimizer.step()
        case "two lines":
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.0)
            for parameter in model.parameters():
                parameter.grad = None
            optimizer.step()
        case "nothing":
            loss.backward()  # no zero_grad() here
            optimizer.step(), optimizer.zero_grad()


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ("one line", ["loss.backward(), optimizer.zero_grad(), optimizer.step()"]),
        ("two lines", ["nn.utils.clip_grad_norm_(model.parameters(), 0.0)", "parameter.grad = None"]),
        ("nothing", None),
    ],
)
def test_the_lines_between_backward_and_step_that_name_gradients(between, expected):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model) as run:
        for _ in range(12):
            step_of(model, optimizer, between)
    found = run.trace.facts["lines"].get("gradients")
    assert expected == (found and [SOURCE[int(line.partition(":")[2]) - 1].strip() for line in found])
