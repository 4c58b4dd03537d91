"""A watch keeps the terms of any unedited loop: names, weights, what came through, and where a graph was lost."""

import gc
import math
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode, _len_torch_function_stack

from kit.recording import Trace, watch
from kit.recording.step_graphs import EVERY, MOST_ROWS, StepGraphs
from tests.recording._loops import mlp


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 4, generator=generator), torch.randn(8, 3, generator=generator)


def train(model, steps=6, divisor=1, scaler=None, after=lambda: None):
    """Three terms in local variables: one whose weight grows from 0, and one that is detached."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(steps):
        x, y = batch(step)
        out = model(x)
        beta = min(1.0, step / 4)
        rec = F.mse_loss(out, y)
        size = out.square().mean()
        aux = out.abs().mean().detach()
        loss = (rec + beta * size + 0.1 * aux) / divisor
        optimizer.zero_grad()
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        after()


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


def test_a_loop_with_local_variables_has_a_table_of_terms():
    with watch() as run:
        train(mlp())
    terms = run.trace.terms
    assert list(terms.name[:3]) == ["rec", "size", "aux"]
    assert list(terms[terms.name == "size"].weight) == pytest.approx([0.0, 0.25, 0.5])
    assert set(terms[terms.name == "size"].weight_name) == {"beta"}
    lost = terms[terms.name == "aux"]
    assert (lost.attached == 0).all() and set(lost.cut_by) == {"detach"}
    assert set(lost.text) == {"aux = out.abs().mean().detach()"}


def test_a_trace_prints_its_sum_and_what_is_wrong_with_it():
    with watch() as run:
        train(mlp(), steps=3)
    lines = str(run.trace).splitlines()
    place = lines.index("  terms of the total in step 3:")
    said = [line.strip() for line in lines[place + 1 : place + 4]]
    assert "weight 1, " in said[0] and said[0].endswith(str(run.trace.terms.source[0]))
    assert "weight beta = 0.5, " in said[1]
    assert "weight 0.1, " in said[2] and "; without a graph, so it trains nothing: cut by detach in " in said[2]


@pytest.mark.parametrize("divisor", [1, 4])
def test_effective_weights_are_those_of_the_backward_pass(divisor):
    with watch() as run:
        train(mlp(), divisor=divisor)
    terms = run.trace.terms.query("attached == 1")
    assert list(terms.effective_weight) == pytest.approx(list(terms.weight / divisor))


def test_a_gradient_scaler_is_no_weight():
    with watch() as run:
        train(mlp(), divisor=2, scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    terms = run.trace.terms.query("attached == 1")
    assert list(terms.effective_weight) == pytest.approx(list(terms.weight / 2))


def test_training_is_bitwise_as_without_a_watch():
    alone, watched = mlp(dropout=0.5), mlp(dropout=0.5)
    torch.manual_seed(3)
    train(alone)
    torch.manual_seed(3)
    with watch():
        train(watched)
    assert all(map(torch.equal, weights_of(alone), weights_of(watched)))


def test_each_total_of_a_step_has_its_own_rows():
    generator, critic = nn.Linear(4, 3), nn.Linear(3, 1)
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (critic, generator)]
    with watch() as run:
        x, y = batch()
        fake = critic(generator(x).detach()).mean()
        real = critic(y).mean()
        optimizers[0].zero_grad()
        (fake - real).backward()
        optimizers[0].step()
        adversarial = -critic(generator(x)).mean()
        distance = F.l1_loss(generator(x), y)
        optimizers[1].zero_grad()
        (adversarial + 100 * distance).backward()
        optimizers[1].step()
    terms = run.trace.terms
    assert list(terms.name) == ["fake", "real", "adversarial", "distance"]
    assert list(terms.weight) == [1, -1, 1, 100]


def test_what_a_term_is_divided_by_is_no_weight():
    model, lam = mlp(), 3.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch() as run:
        x, y = batch()
        mask = (y[:, 0] > 0).float()
        out = model(x)
        masked = lam * ((out - y).abs().mean(-1) * mask).sum() / mask.sum().clamp(min=1)
        (masked + 0.5 * out.square().mean()).backward()
        optimizer.step()
    terms = run.trace.terms
    assert list(terms.weight) == list(terms.effective_weight) == [3.0, 0.5]
    assert terms.value[0] == pytest.approx(masked.item() / 3)


class Weighted(nn.Module):
    def __init__(self, lam_fit=1.0, lam_size=0.5):
        super().__init__()
        self.lam_fit, self.lam_size = lam_fit, lam_size

    def forward(self, out, y):
        return self.lam_fit * F.mse_loss(out, y) + self.lam_size * out.square().mean()


class Forgetful(Weighted):
    def forward(self, out, y):
        return self.lam_fit * F.mse_loss(out, y)


class Parts(Forgetful):
    def forward(self, out, y):
        return {"fit": F.mse_loss(out, y), "size": out.square().mean()}


class ByName(Weighted):
    def forward(self, out, y):
        parts = {"fit": F.mse_loss(out, y), "size": out.square().mean()}
        return sum(getattr(self, f"lam_{name}") * value for name, value in parts.items())


class Cut(Weighted):
    def forward(self, out, y):
        return self.lam_fit * F.mse_loss(out.detach(), y) + self.lam_size * out.square().mean()


@pytest.mark.parametrize(
    ("kind", "total", "ignored", "cut"),
    [
        (Weighted, lambda loss, found: found, None, None),
        (Forgetful, lambda loss, found: found, ["lam_size"], None),
        (Parts, lambda loss, found: loss.lam_fit * found["fit"] + loss.lam_size * found["size"], None, None),
        (ByName, lambda loss, found: found, None, None),
        (Cut, lambda loss, found: found, None, ["mse_loss"]),
        (
            Weighted,
            lambda loss, found: found + 2 * torch.tensor(found.tolist()),
            None,
            ["tensor"],
        ),
        (Weighted, lambda loss, found: found + torch.tensor(0.5), None, None),
    ],
)
def test_a_weight_that_nothing_names_and_a_term_without_graph_are_facts(kind, total, ignored, cut):
    model, loss = mlp(), kind()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, loss=loss) as run:
        for step in range(3):
            x, y = batch(step)
            optimizer.zero_grad()
            total(loss, loss(model(x), y)).backward()
            optimizer.step()
    facts = run.trace.facts
    assert facts.get("ignored_weights") == ignored and facts.get("terms_without_graph") == cut


def test_how_many_parameters_a_term_reaches_is_counted():
    trunk, head, other = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 3)
    model = nn.ModuleList([trunk, head, other])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch() as run:
        x, y = batch()
        hidden = trunk(x)
        main = F.mse_loss(head(hidden), y)
        side = F.mse_loss(other(hidden.detach()), y)
        (main + side).backward()
        optimizer.step()
    assert list(run.trace.terms.parameters) == [4, 2]


class Parted(nn.Module):
    """Four parts: one as it should be, one that is detached, one under no_grad, one that is not called."""

    def __init__(self):
        super().__init__()
        self.good, self.cut, self.frozen, self.unused = (nn.Linear(4, 3) for _ in range(4))

    def forward(self, x):
        side = self.cut(x).detach()
        with torch.no_grad():
            still = self.frozen(x)
        return self.good(x) + side + still


def test_parameters_that_no_term_reaches_are_named_with_the_reason():
    model = Parted()
    with watch(model) as run:
        train(model, steps=3)
    said = dict(entry.split(": ", 1) for entry in run.trace.facts["unreached_parameters"])
    here = "tests/recording/test_terms_of_a_run.py"
    assert set(said) == {f"{part}.{name}" for part in ("cut", "frozen", "unused") for name in ("weight", "bias")}
    assert said["cut.weight"].startswith(f"cut by detach in {here}:")
    assert said["frozen.bias"].startswith(f"used under no_grad in {here}:")
    assert said["unused.weight"] == "not used in this step"
    assert "  no term reaches cut.weight: cut by detach in " in str(run.trace)
    assert "; unused.bias: not used in this step" in str(run.trace)


def test_a_part_that_one_total_of_several_reaches_is_reached():
    model = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = model

        def forward(self, x):
            return [part(x) for part in self.parts]

    both = Both()
    optimizer = torch.optim.SGD(both.parameters(), lr=0.1)
    with watch(both) as run:
        for step in range(3):
            x, y = batch(step)
            first, second = both(x)
            optimizer.zero_grad()
            F.mse_loss(first, y).backward()
            F.mse_loss(second, y).backward()
            optimizer.step()
    assert run.trace.facts["unreached_parameters"] == []


def test_later_steps_are_read_less_often_and_rows_stay_bounded():
    graphs = StepGraphs(dict)
    for step in range(1, 200_000):
        if graphs.wants(step):
            graphs._rows.extend({"step": step} for _ in range(20))
            graphs._thin()
    assert len(graphs.rows()) <= MOST_ROWS
    assert graphs.wants(3) and not graphs.wants(EVERY + 1)
    assert max(row["step"] for row in graphs.rows()) > 190_000


class Mode(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("outer", [True, False])
def test_modes_of_the_program_come_and_go_beside_the_tape(outer):
    if outer:
        with Mode(), torch.device("cpu"), watch() as run:
            train(mlp(), steps=2)
    else:
        with watch() as run:
            with torch.device("cpu"):
                model = mlp()
            with Mode():
                train(model, steps=1)
            with Mode(), torch.device("cpu"):
                train(model, steps=1)
    assert set(run.trace.terms.name) == {"rec", "size", "aux"}
    assert _len_torch_function_stack() == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("step", [1, 2])
def test_a_run_that_is_broken_off_leaves_nothing(error, step):
    seen = []

    def broken():
        seen.append(step)
        if len(seen) == step:
            raise error

    with pytest.raises(error), watch() as run:
        train(mlp(), after=broken)
    assert _len_torch_function_stack() == 0
    assert set(run.trace.terms.step) == set(range(1, step + 1))


def test_a_backward_pass_that_raises_leaves_no_hook():
    model = mlp()
    x, y = batch()
    with watch() as run:
        out = model(x)
        hook = out.register_hook(lambda grad: 1 / 0)
        loss = F.mse_loss(out, y) + 0.5 * out.abs().mean()
        with pytest.raises(ZeroDivisionError):
            loss.backward(retain_graph=True)
    assert list(run.trace.terms.weight) == [1.0, 0.5]
    hook.remove()
    loss.backward()  # what was heard of the first pass is not added to by another
    assert list(run.trace.terms.effective_weight) == [1.0, 0.5]


def test_variables_of_the_program_do_not_live_longer():
    def step():
        x, y = batch()
        out = model(x)
        rec = F.mse_loss(out, y)
        loss = rec + 0.5 * out.abs().mean()
        kept.extend(map(weakref.ref, (out, rec, loss)))
        loss.backward()
        del out, rec, loss
        gc.collect()
        return [ref for ref in kept if ref() is not None]

    model, kept = mlp(), []
    with watch():
        assert step() == []


def test_a_dict_that_the_program_got_from_locals_keeps_its_entries():
    def step():
        x, y = batch()
        mine = locals()
        out = model(x)
        loss = F.mse_loss(out, y) + 0.5 * out.abs().mean()
        loss.backward()
        return mine

    model = mlp()
    with watch():
        assert {"x", "y"} <= set(step())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, also without a watch
@pytest.mark.parametrize("inside", [True, False])
def test_a_compiled_function_is_not_compiled_again(inside):
    compiled = []

    def backend(graph, inputs):
        compiled.append(_len_torch_function_stack())
        return graph.forward

    def total(out, y):
        return F.mse_loss(out, y) + 0.1 * out.abs().mean()

    model, fast = mlp(), None
    if not inside:
        fast = torch.compile(total, backend=backend)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch() as run:
        fast = fast or torch.compile(total, backend=backend)
        for step in range(5):
            x, y = batch(step)
            optimizer.zero_grad()
            fast(model(x), y).backward()
            optimizer.step()
    assert compiled == [0]
    assert any("compiled anew" in sentence for sentence in run.trace.facts["not_seen"])


def test_an_evaluation_before_the_step_is_no_reason():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    with watch(model) as run:
        with torch.no_grad():
            model(batch()[0])
        hidden = model[0](batch()[0]).detach()
        F.mse_loss(model[1](hidden), batch()[1]).backward()
    assert all("cut by detach" in entry for entry in run.trace.facts["unreached_parameters"])


def test_the_table_is_saved_and_read(tmp_path):
    with watch() as run:
        train(mlp())
    trace = run.trace
    again = Trace.load(trace.save(tmp_path / "run.npz"))
    assert again == trace
    assert again.terms.equals(trace.terms) and math.isnan(again.terms.effective_weight[2])
