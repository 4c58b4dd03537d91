"""The programs of the bench: the healthy learn, each fault shows what it should, none knows the kit."""

from __future__ import annotations

import ast
import math
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.bench import programs
from tests.bench._observing import Seen, finite, observing, per_epoch
from tests.bench.programs import PROGRAMS, Case, Displayed, Program, Setting
from tests.bench.programs.losses import FieldLoss, HeadsLoss, VaeLoss
from tests.bench.programs.program import AS_INTENDED, Console

HEALTHY = [program for program in PROGRAMS if program.fault is None]
SETTINGS = (
    Setting(),
    Setting(seed=5, width=8, batch=6, lr=0.8, epochs=5),
    Setting(seed=9, width=24, batch=12, epochs=3),
)
DEFAULT = Setting()


def with_fault(*faults: str) -> list[Program]:
    found = [program for program in PROGRAMS if program.fault in faults]
    assert {program.fault for program in found} == set(faults)
    return found


@pytest.fixture(scope="module")
def run():
    """Each program once under the default setting: case, what was displayed, what was seen."""
    done: dict[tuple, tuple[Case, Displayed, Seen]] = {}

    def get(program: Program, setting: Setting = DEFAULT) -> tuple[Case, Displayed, Seen]:
        key = (program.style, program.fault, program.variant, setting)
        if key not in done:
            with pytest.MonkeyPatch.context() as patch, observing(patch) as seen:
                case = program.build(setting)
                seen.restart()
                shown = case.fit()
            done[key] = case, shown, seen
        return done[key]

    return get


def each(programs: list[Program]):
    return pytest.mark.parametrize("program", programs, ids=lambda p: f"{p.style}-{p.variant.replace(' ', '_')}")


def level(values: list[float], tolerance: float = 0.0) -> bool:
    return max(values) - min(values) <= tolerance * max(1.0, abs(values[0]))


def test_there_are_enough_of_every_kind():
    styles = {program.style for program in PROGRAMS}
    assert len(styles) >= 39
    assert {program.style for program in HEALTHY} == styles
    assert len(HEALTHY) >= 55
    assert len(PROGRAMS) - len(HEALTHY) >= 170
    assert len({(p.style, p.fault, p.variant) for p in PROGRAMS}) == len(PROGRAMS)
    for fault in {program.fault for program in PROGRAMS}:
        assert len({program.style for program in PROGRAMS if program.fault == fault}) >= 3, fault
    assert repr(PROGRAMS[0]) == "Program(plain / healthy / as intended)"


@pytest.mark.parametrize("path", sorted(Path(programs.__file__).parent.glob("*.py")), ids=lambda p: p.stem)
def test_no_program_knows_the_kit(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            known = name.split(".")[0] in ("kit", "tests")
            assert not known or name.startswith("tests.bench.programs"), f"{path.name} imports {name}"


def test_programs_travel_to_another_process():
    again = pickle.loads(pickle.dumps(PROGRAMS))
    assert again[0].build(DEFAULT).fit() == PROGRAMS[0].build(DEFAULT).fit()


@pytest.mark.parametrize("wrong", [{"width": 10}, {"width": 0}, {"batch": 1}, {"lr": 0.0}, {"epochs": 0}])
def test_a_setting_refuses_what_no_program_can_do(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} should be .* Found {name} = "):
        Setting(**wrong)


def test_the_console_leaves_out_what_was_never_printed():
    console = Console()
    console.line(1, val_loss=2.0)
    console.line(2)
    assert list(console.shown) == ["epoch", "val_loss"]
    assert console.shown["val_loss"][0] == 2.0 and math.isnan(console.shown["val_loss"][1])


@each(list(PROGRAMS))
def test_every_program_is_quick_repeatable_and_depends_on_its_seed(program, run):
    first = program.build(DEFAULT).fit()
    torch.rand(3)  # what others draw in between does not matter
    _, shown, seen = run(program)
    assert seen.forwards <= 400 and len(seen.backwards) + len(seen.steps) <= 400, "quick: few passes"
    assert sum(p.numel() for p in seen.parameters.values()) <= 5_000, "of something small"
    assert repr(first) == repr(shown)  # repr: nan is equal to nan
    assert first["epoch"] == list(range(1, DEFAULT.epochs + 1))
    assert set(first) <= {"epoch", "train_loss", "val_loss"}
    assert {len(values) for values in first.values()} == {DEFAULT.epochs}
    if program.fault is None:
        assert repr(program.build(replace(DEFAULT, seed=1)).fit()) != repr(shown)


@each(HEALTHY)
@pytest.mark.parametrize("setting", SETTINGS, ids=("default", "small", "large"))
def test_the_healthy_learn(program, setting, run):
    _, shown, seen = run(program, setting)
    curve = finite(shown.get("val_loss", shown.get("train_loss")))
    assert curve[-1] < curve[0] - 0.05 * abs(curve[0])
    assert all(math.isfinite(value) for value in curve)
    trained = [key for key, p in seen.parameters.items() if p.requires_grad and (key in seen.held or not seen.held)]
    assert any(seen.moved(key) for key in trained)


@each([program for program in HEALTHY if program.variant != AS_INTENDED])
def test_a_healthy_variant_is_something_else(program, run):
    (intended,) = (p for p in HEALTHY if p.style == program.style and p.variant == AS_INTENDED)
    assert repr(run(program)[1]) != repr(run(intended)[1])


def train_losses(style: str, fault: str, run) -> list[float]:
    """What the first program of this style and fault displays."""
    return run(next(p for p in PROGRAMS if (p.style, p.fault) == (style, fault)))[1]["train_loss"]


def test_the_healthy_hold_what_tempts_to_cheap_alarms(run):
    named = {(p.style, p.variant): run(p) for p in HEALTHY}
    _, _, seen = named["adapter", AS_INTENDED]
    zero_first = [key for key, start in seen.start.items() if seen.parameters[key].requires_grad and not start.any()]
    assert zero_first and all(seen.moved(key) for key in zero_first)  # B starts at exactly 0
    _, _, seen = named["language", AS_INTENDED]
    assert [step.lr for step in seen.steps[:6]] == [0.0, 0.0025, 0.005, 0.0075, 0.01, 0.01]
    _, _, seen = named["amp", "the first steps are skipped"]
    assert 0 < len(seen.backwards) - len(seen.steps) < len(seen.backwards) / 3
    _, shown, _ = named["resumed", AS_INTENDED]
    assert max(shown["train_loss"]) < 1e-3
    _, _, seen = named["recurrent", AS_INTENDED]
    assert seen.forwards == 8 * len(seen.backwards)  # 8 time steps
    _, shown, _ = named["plain", "validation in every other epoch"]
    assert math.isnan(shown["val_loss"][1])
    assert "train_loss" not in named["finetune", AS_INTENDED][1]
    assert "val_loss" not in named["physics", "no validation at all"][1]
    _, shown, seen = named["triplet", AS_INTENDED]
    assert 0 < sum(b.value == 0 and b.size == 0 for b in seen.backwards) < len(seen.backwards) / 2
    _, _, seen = named["partial", "rarer labels, nan_to_num on each term"]
    assert 0 < seen.replaced < len(seen.backwards) / 2  # terms without any label
    for style in ("wasserstein", "reinforce"):
        assert min(named[style, AS_INTENDED][1]["train_loss"]) < 0
        assert min(b.value for b in named[style, AS_INTENDED][2].backwards) < 0
        assert max(b.value for b in named[style, AS_INTENDED][2].backwards) > 0
    assert (
        named["curriculum", AS_INTENDED][1]["train_loss"][:2] == train_losses("curriculum", "term_always_zero", run)[:2]
    )
    case, _, seen = named["trainer", "an auxiliary weight 0 on purpose"]
    assert case.weights["lam_quality"] == 0.0 < case.weights["lam_class"]
    assert sum(p.requires_grad for p in named["finetune", AS_INTENDED][2].parameters.values()) == 2  # the head


@each(HEALTHY)
def test_no_weight_of_a_healthy_program_is_dead(program, run):
    case, _, seen = run(program)
    for name in seen.loss_calls and case.weights or ():
        assert total_rises_with(name, program, case, seen)


def total_rises_with(name: str, program: Program, case: Case, seen: Seen) -> bool:
    """Whether the loss of the last training batch depends on this weight."""
    loss, inputs, kwargs = seen.loss_calls[-1]
    if program.style == "physics":  # its loss differentiates, so the graph has to be fresh
        x = torch.linspace(0, 1, 9)[:, None].requires_grad_()
        inputs = case.model(x), x
    before = loss(*inputs, **kwargs).item()
    value = getattr(loss, name)
    setattr(loss, name, value + 1.0)
    after = loss(*inputs, **kwargs).item()
    setattr(loss, name, value)
    return after != before


@each(with_fault("no_batches"))
def test_no_batches(program, run):
    _, shown, seen = run(program)
    assert not seen.backwards and not seen.steps and not seen.forwards
    assert set(shown["train_loss"]) == {0.0} and level(shown["val_loss"])


@each(with_fault("steps_skipped"))
def test_steps_skipped(program, run):
    _, shown, seen = run(program)
    assert seen.forwards or program.style == "tensors"
    assert level(shown["val_loss"])
    if program.style == "gan":  # the discriminator does step
        assert len({step.optimizer for step in seen.steps}) == 1
    else:
        assert not seen.steps or not seen.backwards


@each(with_fault("loss_outside_loop"))
def test_loss_outside_loop(program, run):
    _, _, seen = run(program)
    assert len(seen.steps) == DEFAULT.epochs
    assert seen.forwards >= 8 * DEFAULT.epochs


@each(with_fault("zero_learning_rate"))
def test_zero_learning_rate(program, run):
    _, _, seen = run(program)
    shares = {}
    for step in seen.steps:
        shares.setdefault(step.optimizer, []).append(step.lr == 0.0 and step.size > 0.0)
    assert max(sum(flags) / len(flags) for flags in shares.values()) > 0.85


@each(with_fault("gradients_cleared"))
def test_gradients_cleared(program, run):
    _, shown, seen = run(program)
    assert all(backward.size > 0 for backward in seen.backwards)
    empty = {step.optimizer for step in seen.steps} - {step.optimizer for step in seen.steps if step.size > 0}
    assert len(empty) == 1
    assert level(shown["val_loss"])


@each(with_fault("parameters_not_trained"))
def test_parameters_not_trained(program, run):
    _, shown, seen = run(program)
    assert shown["val_loss"][-1] > 0.95 * shown["val_loss"][0]
    if program.style == "tensors":
        assert all(step.size == 0.0 for step in seen.steps)
        return
    # of what computes the prediction, what no optimizer can move
    idle = [key for key in seen.called if key not in seen.held or not seen.parameters[key].requires_grad]
    size = {key: seen.parameters[key].numel() for key in seen.called}
    assert 2 * sum(size[key] for key in idle) >= sum(size.values())
    assert not any(seen.moved(key) for key in idle)


@each(with_fault("graph_cut"))
def test_graph_cut(program, run):
    case, _, seen = run(program)
    assert any(backward.value != 0 for backward in seen.backwards)
    if program.style == "physics":
        assert total_rises_with("lam_ode", program, case, seen)
        x = torch.linspace(0, 1, 9)[:, None].requires_grad_()
        with_term = torch.autograd.grad(case.loss(case.model(x), x), list(case.model.parameters()))
        without = type(case.loss)(lam_ode=0.0, lam_start=case.loss.lam_start)
        torch.testing.assert_close(
            torch.autograd.grad(without(case.model(x), x), list(case.model.parameters())), with_term
        )
        return
    cut = [key for key in seen.called & set(seen.held) if not any(key in b.reached for b in seen.backwards)]
    assert cut and not any(seen.moved(key) for key in cut)


@each(with_fault("empty_targets"))
def test_empty_targets(program, run):
    _, shown, seen = run(program)
    assert all(backward.value == 0 or math.isnan(backward.value) for backward in seen.backwards)
    assert all(backward.size == 0 for backward in seen.backwards)
    assert set(shown["train_loss"]) == {0.0}
    assert min(shown["val_loss"]) > 0 and level(shown["val_loss"], tolerance=1e-2)  # weight decay goes on


@each(with_fault("constant_by_design"))
def test_constant_by_design(program, run):
    _, shown, seen = run(program)
    assert level(shown["train_loss"]) and level([backward.value for backward in seen.backwards], tolerance=1e-6)
    learns = program.style in ("policy", "tensors")
    assert (shown["val_loss"][-1] < shown["val_loss"][0]) == learns
    with_gradient = [backward.size > 0 for backward in seen.backwards]
    assert sum(with_gradient) > 0.5 * len(with_gradient) if learns else not any(with_gradient)


@each(with_fault("wrong_number"))
def test_wrong_number(program, run):
    _, shown, seen = run(program)
    assert shown["val_loss"][-1] < 0.95 * shown["val_loss"][0]
    values = seen.losses or [backward.value for backward in seen.backwards]
    wrong = []
    for number, epoch in zip(shown["train_loss"], per_epoch(values, DEFAULT.epochs), strict=True):
        mean = sum(epoch) / len(epoch)
        habits = (mean, sum(epoch), sum(epoch) * DEFAULT.batch, epoch[-1])
        one_of_them = any(number == pytest.approx(value, rel=1e-6) for value in values)
        wrong.append(not one_of_them and all(abs(number - habit) > 0.2 * habit for habit in habits))
    assert sum(wrong) >= len(wrong) / 2


@each(with_fault("stale_validation"))
def test_stale_validation(program, run):
    _, shown, seen = run(program)
    assert level(shown["val_loss"])
    assert any(seen.moved(key) for key in seen.called & set(seen.held))
    assert program.style == "gan" or shown["train_loss"][-1] < 0.9 * shown["train_loss"][0]


@each(with_fault("nan_gradients"))
def test_nan_gradients(program, run):
    _, _, seen = run(program)
    faulty = [not b.finite or not math.isfinite(b.value) for b in seen.backwards]
    assert all(faulty) or seen.replaced >= len(seen.backwards)


@each(with_fault("loss_weights"))
def test_loss_weights(program, run):
    case, shown, seen = run(program)
    loss = seen.loss_calls[-1][0]
    assert not any(value for name, value in vars(loss).items() if name.startswith("lam_"))
    assert case.weights is None or not any(case.weights.values())
    assert set(shown["train_loss"]) == {0.0} and all(backward.size == 0 for backward in seen.backwards)


@each(with_fault("loss_initialisation"))
def test_loss_initialisation(program, run):
    case, _, seen = run(program)
    loss = seen.loss_calls[-1][0]
    assert any(asked > 0 and getattr(loss, name) == 0.0 for name, asked in case.weights.items())


@each(with_fault("weight_names"))
def test_weight_names(program, run):
    case, _, seen = run(program)
    if program.style == "hooks":
        assert set(seen.loss_dicts[-1]) - set(case.weights)
    else:
        assert any(not total_rises_with(name, program, case, seen) for name in case.weights)


@each(with_fault("missing_prediction"))
def test_missing_prediction(program, run):
    _, _, seen = run(program)
    assert seen.loss_calls
    for loss, inputs, _ in seen.loss_calls:
        assert set(loss.expects) - set(inputs[0])


@each(with_fault("zero_outputs"))
def test_zero_outputs(program, run):
    _, _, seen = run(program)
    outputs = [t for t in seen.outputs if t.ndim and len(t) > 1]
    dead = [bool((t == t[:1]).all()) for t in outputs]
    assert sum(dead) >= len(dead) / 3 > 0  # one of the three that a variational autoencoder returns
    _, _, other = run(next(p for p in HEALTHY if p.style == program.style))
    assert not any(bool((t == t[:1]).all()) for t in other.outputs if t.ndim and len(t) > 1)


def intended(program: Program) -> Program:
    return next(p for p in HEALTHY if p.style == program.style and p.variant == AS_INTENDED)


@each(with_fault("broadcast"))
def test_broadcast(program, run):
    (_, shown, _), (_, other, _) = run(program), run(intended(program))
    end = other["val_loss"][-1]
    assert shown["val_loss"][-1] > end + 0.2 * abs(end)  # all pairs: little more than the mean is learnt


@each(with_fault("double_activation"))
def test_double_activation(program, run):
    (_, shown, seen), (_, other, loose) = run(program), run(intended(program))
    assert all(0.0 <= t.min() and t.max() <= 1.0 for t in seen.outputs)
    assert not all(0.0 <= t.min() and t.max() <= 1.0 for t in loose.outputs)
    assert shown["val_loss"][-1] > other["val_loss"][-1] > 0


@each(with_fault("infinite_loss_zeroed"))
def test_infinite_loss_zeroed(program, run):
    case, _, seen = run(program)
    if program.style == "freebits":  # the divergence only
        assert case.loss.prior == 0
        x_hat, mean, std = seen.outputs[-3:]
        assert case.loss((x_hat, mean, std), x_hat) == 0  # whatever mean and std are
        assert case.loss((x_hat, mean + 9.0, std), x_hat) == 0
        return
    if program.style in ("metres", "segmentation"):  # one term of two: the total looks fine, and never shows it
        assert all(math.isfinite(backward.value) and backward.value for backward in seen.backwards)
        return
    assert all(backward.value == 0 and backward.size == 0 for backward in seen.backwards)


@each(with_fault("dead_branch"))
def test_dead_branch(program, run):
    (_, shown, seen), (_, _, other) = run(program), run(intended(program))
    dead = [key for key in seen.called if seen.parameters[key].requires_grad and not seen.moved(key)]
    assert dead and all(key in backward.reached for key in dead for backward in seen.backwards)
    assert all(other.moved(key) for key in other.called if other.parameters[key].requires_grad)
    assert shown["val_loss"][-1] < shown["val_loss"][0]


@each(with_fault("term_always_zero"))
def test_term_always_zero(program, run):
    (_, shown, seen), (_, other, _) = run(program), run(intended(program))
    assert sum(shown["train_loss"]) < sum(other["train_loss"])  # the term is missing in the sum
    assert not seen.replaced  # nothing infinite is behind it
    assert shown["val_loss"][-1] < shown["val_loss"][0]
    assert any(seen.moved(key) for key in seen.held)


@each(with_fault("reference_is_policy"))
def test_reference_is_policy(program, run):
    (_, shown, seen), (_, _, other) = run(program), run(intended(program))
    assert 2 * len(seen.called) == len(other.called)  # the healthy run two networks
    assert shown["val_loss"][-1] < shown["val_loss"][0]


@each(with_fault("gradients_not_cleared"))
def test_gradients_not_cleared(program, monkeypatch):
    clear, cleared = torch.optim.Optimizer.zero_grad, set()

    def noting(self: torch.optim.Optimizer, *args, **kwargs) -> None:
        cleared.add(id(self))
        clear(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", noting)
    monkeypatch.setattr(nn.Module, "zero_grad", lambda *_, **__: pytest.fail("cleared by a module"))
    with observing(monkeypatch) as seen:
        program.build(DEFAULT).fit()
    if not seen.steps:  # by hand, without an optimizer: each gradient holds those of the steps before it
        sizes = [backward.size for backward in seen.backwards]
        assert not cleared and sizes[-1] > 2 * sizes[0]
        return
    assert {step.optimizer for step in seen.steps} - cleared


@each(with_fault("collapse"))
def test_collapse(program, run):
    (_, _, seen), (_, _, other) = run(program), run(intended(program))
    spread, usual = (
        max(float(t.std(0).max()) for t in s.outputs[-2:] if t.dim() and len(t) > 1) for s in (seen, other)
    )
    assert spread < 0.05 * usual


def test_the_terms_on_offer_are_those_of_the_sum():
    loss = HeadsLoss(lam_class=0.5, lam_offset=2.0, lam_quality=0.3)
    case = next(p for p in HEALTHY if p.style == "trainer").build(DEFAULT)
    target = case.fit.args[0].__self__.train_data
    prediction = case.model(target.x)
    terms = loss.components(prediction, target)
    expected = 0.5 * terms["class"] + 2.0 * terms["offset"] + 0.3 * terms["quality"]
    torch.testing.assert_close(loss(prediction, target), expected)
    assert float(loss({}, target)) == 0.0


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        (FieldLoss(), (torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [3.0]]))),
        (VaeLoss(), ((torch.ones(2, 3), torch.ones(2, 2), torch.zeros(2, 2)), torch.zeros(2, 3))),
    ],
    ids=("field", "vae"),
)
def test_sums_are_linear_in_their_weights(loss: nn.Module, inputs):
    names = [name for name in vars(loss) if name.startswith("lam_")]
    total, parts = float(loss(*inputs)), 0.0
    values = {name: getattr(loss, name) for name in names}
    for name in names:
        for other in names:
            setattr(loss, other, values[other] if other == name else 0.0)
        parts += float(loss(*inputs))
    assert total == pytest.approx(parts) and total > 0
