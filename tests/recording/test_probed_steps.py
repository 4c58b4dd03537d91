"""A watch that probes sampled steps of an unedited loop: exact, without a trace in the run, and silent where it could harm."""

import gc
import json
import math
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import kit
from kit.recording import Trace, probed_steps, watch
from kit.recording.step_graphs import StepGraphs
from tests.recording._left import everything, same
from tests.recording._loops import adamw, job, lbfgs, sgd


class Net(nn.Module):
    def __init__(self, norm=False):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)
        self.norm, self.drop = nn.BatchNorm1d(6) if norm else nn.Identity(), nn.Dropout(0.3 if norm else 0.0)

    def forward(self, x):
        return self.b(self.drop(torch.tanh(self.norm(self.a(x)))))


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 4, generator=generator).double(), torch.randn(8, 3, generator=generator).double()


def net(**options):
    torch.manual_seed(0)
    return Net(**options).double()


def train(model, loss, steps=3, extra=(), scaler=None, divisor=1, before=lambda total: None):
    """`loss(model, x, y)` -> total; returns per step the weights that it began with."""
    optimizer = torch.optim.Adam([*model.parameters(), *extra], lr=0.01)
    states = []
    for step in range(steps):
        if step % divisor == 0:
            optimizer.zero_grad()
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        total = loss(model, *batch(step))
        before(total)
        if scaler is not None:
            scaler.scale(total / divisor).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            (total / divisor if divisor > 1 else total).backward()
            if (step + 1) % divisor == 0:
                optimizer.step()
    return states


def two(model, x, y):
    out = model(x)
    rec = F.mse_loss(out, y)
    kl = out.square().mean()
    return rec + 0.3 * kl


def parts(model, x, y):
    out = model(x)
    return [F.mse_loss(out, y), out.square().mean()]


def by_hand(state, step, terms):
    """Values and the Gram matrix, by autograd on a model of its own."""
    model = net()
    model.load_state_dict(state)
    values = terms(model, *batch(step))
    rows = []
    for value in values:
        found = torch.autograd.grad(value, list(model.parameters()), retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for g, p in zip(found, model.parameters(), strict=True)
                ]
            )
        )
    J = torch.stack(rows)
    return np.array([value.item() for value in values]), (J @ J.T).numpy()


def assert_by_hand(trace, states, terms, weights):
    assert trace.probes
    for step, report in trace.probes.items():
        L, G = by_hand(states[step - 1], step - 1, terms)
        m = len(L)
        assert report.L[:m] == pytest.approx(L, rel=1e-9, abs=1e-12)
        assert report.G[:m, :m] == pytest.approx(G, rel=1e-9, abs=1e-12)
        assert list(report.weights) == pytest.approx(weights)
        assert report.total == pytest.approx(report.weights @ report.L) and report.residual < 1e-9
        assert report.grad_norm == pytest.approx(math.sqrt(report.weights @ report.G @ report.weights))


def test_terms_in_local_variables_are_as_by_hand():
    model = net()
    with watch(model, probe_every=2) as run:
        states = train(model, two, steps=4)
    assert list(run.trace.probes) == [1, 3]
    assert_by_hand(run.trace, states, parts, [1.0, 0.3])
    report = run.trace.probes[1]
    assert report.names == ("rec", "kl") and report.groups == ("a", "b") and not report.notes
    assert report.G == pytest.approx(report.G_groups.sum(0)) and list(report.n_parameters) == [30, 21]


def test_a_regulariser_over_all_parameters_is_one_term():
    def loss(model, x, y):
        reg = sum(p.square().sum() for p in model.parameters())
        return F.mse_loss(model(x), y) + 1e-3 * reg

    def terms(model, x, y):
        return [F.mse_loss(model(x), y), sum(p.square().sum() for p in model.parameters())]

    model = net()
    with watch(probe_every=2) as run:
        states = train(model, loss)
    assert_by_hand(run.trace, states, terms, [1.0, 1e-3])


def test_a_weight_of_zero_still_shows_the_gradient_of_its_term():
    model = net()
    with watch(model, probe_every=1) as run:
        states = train(model, lambda model, x, y: parts(model, x, y)[0] + 0.0 * parts(model, x, y)[1], steps=1)
    assert_by_hand(run.trace, states, parts, [1.0, 0.0])


def test_one_number_a_sample_and_a_stack_of_terms():
    weights = torch.tensor([1.0, 0.5], dtype=torch.float64)

    def stacked(model, x, y):
        rec, kl = parts(model, x, y)
        return (weights * torch.stack([rec, kl])).sum()

    def rows(model, x, y):
        out = model(x)
        rec = (out - y).square().mean(dim=1)
        kl = out.square().mean(dim=1)
        return (rec + 0.5 * kl).mean()

    for loss in (stacked, rows):
        model = net()
        with watch(model, probe_every=1) as run:
            states = train(model, loss, steps=2)
        assert_by_hand(run.trace, states, parts, [1.0, 0.5])


def test_a_trained_weight_is_a_weight_and_no_layer():
    model, s = net(), nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def loss(model, x, y):
        rec, kl = parts(model, x, y)
        reg = sum(p.square().sum() for p in model.parameters())
        return torch.exp(-s) * rec + s + 0.1 * kl + 1e-3 * reg

    def three(model, x, y):
        return [*parts(model, x, y), sum(p.square().sum() for p in model.parameters())]

    with watch(model, probe_every=1) as run:
        states = train(model, loss, steps=1, extra=[s])
    report = run.trace.probes[1]
    at = [report.names.index(name) for name in report.names if name != "s"]
    L, G = by_hand(states[0], 0, three)
    assert report.L[at] == pytest.approx(L, rel=1e-9) and report.G[np.ix_(at, at)] == pytest.approx(G, rel=1e-9)
    assert list(report.weights[at]) == pytest.approx([math.exp(-0.4), 0.1, 1e-3]) and report.residual < 1e-9
    assert report.groups == ("a", "b") and "A weight is trained itself" in report.notes[0]


@pytest.mark.parametrize("scaled", [False, True])
def test_accumulation_and_a_scaler_are_no_weights(scaled):
    model, scaler = net(), torch.amp.GradScaler("cpu", init_scale=1024.0) if scaled else None
    with watch(model, probe_every=2) as run:
        states = train(model, two, steps=5, divisor=2, scaler=scaler)
    assert list(run.trace.probes) == [1, 3, 5]
    assert_by_hand(run.trace, states, parts, [1.0, 0.3])
    model = net()
    with watch(model, probe_every=1) as run:  # nothing is added: the factor stands before the only term
        states = train(model, lambda *step: parts(*step)[0], steps=2, scaler=scaler)
    assert_by_hand(run.trace, states, lambda *step: parts(*step)[:1], [1.0])


def test_a_detached_term_has_a_value_and_no_gradient():
    model = net()
    with watch(model, probe_every=1) as run:

        def loss(model, x, y):
            rec, kl = parts(model, x, y)
            kl = kl.detach()
            return rec + 0.3 * kl

        states = train(model, loss, steps=1)
    report = run.trace.probes[1]
    L, G = by_hand(states[0], 0, parts)
    assert list(report.L) == pytest.approx(list(L)) and report.G[0, 0] == pytest.approx(G[0, 0])
    assert not report.G[1].any() and not report.paths[:, 1].any()


def fingerprint(watched, **options):
    """Everything that a run leaves: weights, gradients, buffers, optimizer, random state."""
    model = net(norm=True)
    torch.manual_seed(7)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with watch(model, **options) if watched else torch.enable_grad():
        for step in range(4):
            if step % 2 == 0:
                optimizer.zero_grad()
            two(model, *batch(step)).backward()
            if step % 2:
                optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values()]
    return [*model.state_dict().values(), *(p.grad for p in model.parameters()), *moments, torch.get_rng_state()]


def test_the_run_is_bitwise_the_same():
    alone, probed = fingerprint(False), fingerprint(True, probe_every=1)
    assert len(alone) == len(probed) and all(map(torch.equal, alone, probed))


@pytest.mark.parametrize(
    ("make", "loop"), [(sgd, "plain"), (lbfgs, "closure"), (adamw, "scaled"), (adamw, "accumulating")]
)
def test_loops_of_every_kind_are_bitwise_the_same(make, loop):
    bare = everything(job(make, dropout=0.3), loop)
    watched = job(make, dropout=0.3)
    with watch(watched.model, probe_every=1) as run:
        found = everything(watched, loop)
    for name in bare:
        assert same(bare[name], found[name]), name
    assert run.trace.probes and not [note for note in run.trace.facts["not_seen"] if "not probed" in note]


def test_what_the_trace_says_beside_the_probes_is_the_same():
    traces = []
    for options in ({}, {"probe_every": 1}):
        model = net()
        with watch(model, **options) as run:
            train(model, two, steps=4)
        traces.append(run.trace)
    assert traces[0].steps.equals(traces[1].steps) and traces[0].epochs.equals(traces[1].epochs)
    assert traces[0].terms.equals(traces[1].terms) and traces[0].facts == traces[1].facts
    assert traces[0].probes == {} and "probed in step" not in str(traces[0])


def test_two_watches_do_not_hear_each_other():
    model = net()
    with watch(model, probe_every=1) as outer, watch(model, probe_every=2) as inner:
        train(model, two, steps=3)
    assert list(outer.trace.probes) == [1, 2, 3] and list(inner.trace.probes) == [1, 3]
    for run in (outer, inner):
        assert run.trace.probes[3].names == ("rec", "kl")
        assert list(run.trace.terms.effective_weight) == pytest.approx(list(run.trace.terms.weight))


class Doubled(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        Doubled.calls += 1
        return gradient * 2


def _hook(heard):
    return lambda *_: heard.append(1) and None


def _on_tensor(model, x, y, heard):
    out = model(x)
    out.register_hook(_hook(heard))
    return F.mse_loss(out, y) + 0.3 * out.mean()


def _on_node(model, x, y, heard):
    out = model(x)
    out.grad_fn.register_prehook(_hook(heard))
    return F.mse_loss(out, y) + 0.3 * out.mean()


def _retained(model, x, y, heard):
    out = model(x)
    out.retain_grad()
    return F.mse_loss(out, y) + 0.3 * out.mean()


def _function(model, x, y, heard):
    out = Doubled.apply(model(x))
    return F.mse_loss(out, y) + 0.3 * out.mean()


def _checkpointed(reentrant):
    def loss(model, x, y, heard):
        out = checkpoint(model, x.requires_grad_(), use_reentrant=reentrant)
        return F.mse_loss(out, y) + 0.3 * out.mean()

    return loss


def _packed(model, x, y, heard):
    def unpack(value):
        heard.append(1)
        return value

    with torch.autograd.graph.saved_tensors_hooks(lambda value: value, unpack):
        out = model(x)
    return F.mse_loss(out, y) + 0.3 * out.mean()


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (_on_tensor, "a hook stood in its graph"),
        (_on_node, "a hook stood in its graph"),
        (_retained, "a hook stood in its graph"),
        (_function, "its graph runs Python in its backward pass (DoubledBackward)"),
        (_checkpointed(True), "its graph runs Python in its backward pass (CheckpointFunctionBackward)"),
        (_checkpointed(False), "what its graph keeps is packed or recomputed (torch.utils.checkpoint"),
        (_packed, "what its graph keeps is packed or recomputed"),
    ],
)
def test_where_code_of_the_program_would_run_nothing_is_probed(loss, why):
    counts = []
    for options in ({}, {"probe_every": 1}):
        model, heard, Doubled.calls = net(), [], 0
        ran = []
        model.register_forward_hook(lambda *_, ran=ran: ran.append(1) and None)
        with watch(model, **options) as run:
            train(model, lambda *step, heard=heard: loss(*step, heard), steps=2)
        counts.append((len(heard), len(ran), Doubled.calls, [p.detach().clone() for p in model.parameters()]))
    assert counts[0][:3] == counts[1][:3] and all(map(torch.equal, counts[0][3], counts[1][3]))
    assert run.trace.probes == {}
    assert [note for note in run.trace.facts["not_seen"] if why in note and "Step 1 and 2 were not probed" in note]


def test_a_hook_of_a_parameter_is_not_called_more_often():
    model, heard = net(), []
    model.a.weight.register_hook(lambda _: heard.append("gradient"))
    with watch(model, probe_every=1) as run:
        train(model, two, steps=2)
    assert heard == ["gradient"] * 2 and run.trace.probes == {}


def test_what_waits_for_gradients_to_be_added_is_not_called_by_a_probe():
    model, heard = net(), []
    model.a.weight.register_post_accumulate_grad_hook(lambda _: heard.append("added"))
    with watch(model, probe_every=1) as run:
        train(model, two, steps=2)
    assert heard == ["added"] * 2 and list(run.trace.probes) == [1, 2]


@pytest.mark.parametrize(
    ("backward", "why"),
    [
        (lambda model, total: total.backward(inputs=list(model.parameters())), "inputs="),
        (lambda model, total: total.backward(create_graph=True), "create_graph="),
        (lambda model, total: total.backward(torch.tensor(2.0).double()), "gradient="),
        (lambda model, total: torch.autograd.backward([total, total * 2]), "not one number with a graph"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
def test_backward_passes_of_another_kind(backward, why):
    model = net()
    with watch(model, probe_every=1) as run:
        backward(model, two(model, *batch(0)))
    for p in model.parameters():
        p.grad = None  # with create_graph the gradients and the parameters hold each other
    assert run.trace.probes == {}
    assert [note for note in run.trace.facts["not_seen"] if note.startswith("Step 1 was not probed") and why in note]


def test_anomaly_mode_and_a_graph_of_an_earlier_step():
    model = net()
    early = two(model, *batch(0))
    with watch(model, probe_every=1) as run:
        early.backward()
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            two(model, *batch(1)).backward()
    said = " ".join(run.trace.facts["not_seen"])
    assert run.trace.probes == {} and "of an earlier step" in said and "anomaly mode is on" in said


def test_where_something_is_compiled_nothing_is_probed():
    model = net()
    with watch(model, probe_every=1) as run:
        torch.compile(model, backend="eager")
        train(model, two, steps=2)
    said = "Step 1 and 2 were not probed: a function was compiled in this process."
    assert run.trace.probes == {} and said in run.trace.facts["not_seen"]


def test_an_error_inside_is_noted_and_goes_no_further(monkeypatch):
    def out_of_memory(*_):
        raise torch.OutOfMemoryError("no room\nfor it")

    monkeypatch.setattr(probed_steps, "_gradient", out_of_memory)
    model = net()
    with watch(model, probe_every=1) as run:
        train(model, two, steps=2)
    assert "Step 1 and 2 were not probed: OutOfMemoryError: no room." in run.trace.facts["not_seen"]
    assert all(p.grad is not None for p in model.parameters())


def test_the_graph_is_gone_after_the_backward_pass():
    model, alive = net(), []
    gc.disable()
    try:
        with watch(model, probe_every=1) as run:
            train(model, two, steps=2, before=lambda total: alive.append(weakref.ref(total)))
            assert [ref() for ref in alive] == [None, None]
            with pytest.raises(RuntimeError, match="second time"):
                total = two(model, *batch(0))
                total.backward()
                total.backward()
    finally:
        gc.enable()
    assert len(run.trace.probes) == 3


def test_at_most_so_many_are_kept(monkeypatch):
    monkeypatch.setattr(probed_steps, "MOST", 4)
    model = net()
    with watch(model, probe_every=1) as run:
        train(model, two, steps=10)
    assert list(run.trace.probes) == [1, 5, 9]


@pytest.mark.parametrize("asked", [0, -1, 1.5, True, "50"])
def test_probe_every_is_a_whole_number(asked):
    with pytest.raises(ValueError, match="probe_every should be a whole number >= 1, or None. Found"):
        watch(probe_every=asked)


@pytest.fixture(scope="module")
def trace():
    model = net()
    with watch(model, probe_every=2) as run:
        train(model, two, steps=4)
    return run.trace


def test_saved_and_loaded_it_is_equal(trace, tmp_path):
    path = trace.save(tmp_path / "run.npz")
    loaded = Trace.load(path)
    assert loaded == trace and loaded.probes == trace.probes and loaded.probes[1] == trace.probes[1]
    assert loaded.save(tmp_path / "again.npz").read_bytes() == path.read_bytes()
    without = Trace(trace.steps, trace.epochs, trace.facts, trace.terms)
    assert without != trace and Trace.load(without.save(tmp_path / "none.npz")) == without


def test_it_says_so_in_one_line(trace):
    assert "  probed in step 1, 3: kit.Panel(trace)" in str(trace).splitlines()
    assert repr(trace).endswith(", probes=2)")


def _changed(record, how):
    return {
        "step": lambda: {"zero": record["1"]},
        "nought": lambda: {"0": record["1"]},
        "list": lambda: [1],
        "field": lambda: {"1": {key: value for key, value in record["1"].items() if key != "G"}},
        "shape": lambda: {"1": {**record["1"], "L": [1.0]}},
        "kind": lambda: {"1": {**record["1"], "total": None}},
    }[how]()


@pytest.mark.parametrize("how", ["step", "nought", "list", "field", "shape", "kind", "bytes", "dtype"])
def test_a_damaged_part_is_refused_by_name(trace, tmp_path, how):
    path = trace.save(tmp_path / "run.npz")
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    if how == "bytes":
        arrays["probes"] = arrays["probes"][:-9]
    elif how == "dtype":
        arrays["probes"] = arrays["probes"].astype(np.float32)
    else:
        said = json.dumps(_changed(json.loads(arrays["probes"].tobytes()), how)).encode()
        arrays["probes"] = np.frombuffer(said, np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"run\.npz should"):
        Trace.load(path)


def test_without_probe_every_nothing_is_listened_to():
    graphs = StepGraphs(dict)
    graphs.expect(1)
    assert not graphs.probed._guard.on and graphs.probed.not_seen() == []
    graphs.close()
    assert kit.watch(probe_every=None)
