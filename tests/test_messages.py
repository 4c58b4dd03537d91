"""Mistakes that people make, and what they are told: what was expected, what was found, and what to do."""

from __future__ import annotations

import errno
import functools

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kit
from tests.stepgraph._probe_cases import Weighted, make, snapshot
from tests.stepgraph._probe_cases import terms as terms_of


class Plain(nn.Module):
    """A loss whose weights have names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.beta, self.w_rec = 0.1, 1.0

    def forward(self, p, t):
        L = terms_of(p, t)
        return (self.w_rec * L["a"] + self.beta * L["b"]).exp()  # no sum, so the graph shows none either


def returning(change):
    """The weighted loss, with another return value."""

    class Loss(Weighted):
        def forward(self, p, t):
            return change(super().forward(p, t), terms_of(p, t))

    return Loss()


def plain_loss(p, t):
    return terms_of(p, t)["a"]


MODEL, BATCH = make(torch.float32)
LOSS, (X, Y) = Weighted(), BATCH
ORDER = r"The order is model, loss, batch, here: a TwoHeads, a Weighted, a tuple of 2."
IS_LOSS = ("model should be the network. Found a Weighted: is this the loss?", ORDER)
IS_BATCH = ("model should be the network. Found a tuple of 2: is this the batch?", ORDER)
PAIR = "batch should have .inputs and .target, or be a pair (inputs, target). Found "
FRESH = "Call kit.probe first: kit.Panel(kit.probe(model, loss, batch))."
SHAPES = "Given inputs: float32 [16, 4] cpu; parameters: "


def probe(model=MODEL, loss=LOSS, batch=BATCH, *more, **named):
    return lambda: kit.probe(model, loss, batch, *more, **named)


PROBED = {
    "loss, model, batch": (probe(LOSS, MODEL), TypeError, IS_LOSS),
    "loss, batch, model": (probe(LOSS, BATCH, MODEL), TypeError, IS_LOSS),
    "batch, model, loss": (probe(BATCH, MODEL, LOSS), TypeError, IS_BATCH),
    "batch, loss, model": (probe(BATCH, LOSS, MODEL), TypeError, IS_BATCH),
    "model, batch, loss": (
        probe(MODEL, BATCH, LOSS),
        TypeError,
        ("loss should be the loss. Found a tuple of 2: is this the batch?", ORDER),
    ),
    "a function first": (
        probe(F.mse_loss, MODEL),
        TypeError,
        ("Found a function mse_loss: is this the loss?", "here: a TwoHeads, a function mse_loss, a tuple of 2."),
    ),
    "a tensor as batch, first": (probe(X, MODEL, LOSS), TypeError, ("a Tensor of shape (16, 4): is this the batch?",)),
    "model, loss, x, y": (
        probe(MODEL, LOSS, X, Y),
        TypeError,
        ("one batch", "a Tensor of shape (16, 4), a Tensor of shape (16, 3)", "kit.probe(model, loss, (x, y))"),
    ),
    "four parts": (probe(MODEL, LOSS, X, Y, Y), TypeError, ("kit.probe(model, loss, (x, y, z), predict=",)),
    "the class of a loss": (probe(loss=nn.MSELoss), TypeError, ("Found the class MSELoss: make one, MSELoss(...)",)),
    "the class of a model": (probe(nn.Linear), TypeError, ("Found the class Linear: make one, Linear(...)",)),
    "a model without parameters": (
        probe(nn.ReLU(), plain_loss),
        ValueError,
        ("parameters that require grad. Found none: a ReLU has no parameters.",),
    ),
    "a frozen model": (
        probe(make()[0].requires_grad_(False)),
        ValueError,
        ("Found none: was it frozen?", "model.requires_grad_(True)"),
    ),
    "a loader": (
        probe(batch=DataLoader(TensorDataset(X, Y), 4)),
        ValueError,
        (PAIR + "a DataLoader.", "next(iter(loader))"),
    ),
    "an iterator of a loader": (
        lambda: kit.probe(MODEL, LOSS, iter(DataLoader(TensorDataset(X, Y), 4, generator=torch.Generator()))),
        ValueError,
        ("Pass one batch of it, next(...) of this iterator.",),
    ),
    "a data set": (probe(batch=TensorDataset(X, Y)), ValueError, ("next(iter(torch.utils.data.DataLoader(",)),
    "a dict": (
        probe(batch={"image": X, "label": Y}),
        ValueError,
        (PAIR + "a dict with image, label.", "predict=lambda model, batch: (model(batch['image']), batch['label'])"),
    ),
    "a tensor": (probe(batch=X), ValueError, (PAIR + "a Tensor of shape (16, 4). Pass (inputs, target), or predict=",)),
    "three parts": (probe(batch=(X, Y, Y)), ValueError, (PAIR + "a tuple of 3.", "(model(batch[0]), batch[1])")),
    "arrays": (
        probe(batch=(X.numpy(), Y.numpy())),
        TypeError,
        (
            "model should take the inputs of the batch. Found TypeError: linear(): argument",
            "Given inputs: numpy array float32 [16, 4]; parameters: float32 cpu.",
            "torch.as_tensor(array)",
        ),
    ),
    "an array as target": (
        probe(batch=(X, Y.numpy())),
        RuntimeError,
        (
            "loss should take the prediction and the target. Found RuntimeError",
            "prediction: dict (x: float32 [16, 3] cpu, y: float32 [16, 2] cpu); target: numpy array float32 [16, 3].",
            "torch.as_tensor(array)",
        ),
    ),
    "a half model": (
        probe(make()[0].half()),
        RuntimeError,
        ("must have the same dtype", SHAPES + "float16 cpu", "to one dtype (float32 or float16)"),
    ),
    "another device": (
        probe(batch=(X.to("meta"), Y)),
        RuntimeError,
        ("Given inputs: float32 [16, 4] meta; parameters: float32 cpu.", "to one device (meta or cpu)"),
    ),
    "whole numbers": (
        probe(batch=(X.long(), Y)),
        RuntimeError,
        ("inputs: int64 [16, 4] cpu", "to float32, or to torch"),
    ),
    "a wrong shape": (
        probe(batch=(X[:, :3], Y)),
        RuntimeError,
        ("shapes cannot be multiplied", "Given inputs: float32 [16, 3] cpu", "Does model(inputs) work by itself?"),
    ),
    "a wrong target": (
        probe(batch=(X, Y[:5])),
        RuntimeError,
        ("The size of tensor a (16) must match", "target: float32 [5, 3] cpu.", "Does loss(model(inputs), target)"),
    ),
    "a loss of a part": (
        probe(loss=nn.MSELoss()),
        AttributeError,
        ("prediction: dict (x:", "takes a part of the prediction, pass predict=lambda model, batch:"),
    ),
    "predict with another shape": (
        probe(batch={"x": X[:, :2]}, predict=lambda model, batch: (model(batch["x"]), 0)),
        RuntimeError,
        ("predict should take the model and the batch.", "batch: dict (x: float32 [16, 2] cpu)"),
    ),
    "terms that fail": (
        probe(loss=plain_loss, terms=lambda p, t: {"a": p["x"] @ t}, weights={"a": 1.0}),
        RuntimeError,
        ("terms should take the prediction and the target.", "target: float32 [16, 3] cpu"),
    ),
    "two totals": (
        probe(loss=returning(lambda total, L: (L["a"], L["b"]))),
        TypeError,
        ("loss should return a scalar tensor. Found a tuple of 2: a scalar, a scalar.", "loss(p, t)[0]"),
    ),
    "parts without a total": (
        probe(loss=returning(lambda total, L: {"cls": L["a"], "box": L["b"]})),
        TypeError,
        (
            "Found a dict with cls, box.",
            "sum(loss(p, t).values())",
            "terms=loss, weights={'cls': 1.0, 'box': 1.0}",
        ),
    ),
    "nothing returned": (
        probe(loss=returning(lambda total, L: None)),
        TypeError,
        ("loss should return a scalar tensor. Found None. Is its return statement missing?",),
    ),
    "a text returned": (probe(loss=returning(lambda total, L: "0.3")), TypeError, ("Found a str.", "with its graph")),
    "not reduced": (
        probe(loss=returning(lambda total, L: total.expand(3))),
        ValueError,
        ("should be a real scalar. Found shape (3,), torch.float32", ".mean() or .sum()"),
    ),
    "a number returned": (
        probe(loss=returning(lambda total, L: total.item())),
        ValueError,
        ("should hang on a graph to the parameters. Found a total without one (a float)", ".item()"),
    ),
    "a plain function": (
        probe(loss=plain_loss),
        kit.stepgraph.DecompositionError,
        (
            "loss should be a sum of weighted terms. Found a function plain_loss; its graph shows no sum. Pass the unweighted",
            "terms and their weights: terms=lambda prediction, target: {",
            "weights={'fit': 1, 'size': 0.1}",
            "weights={'loss': 1.0}",
        ),
    ),
    "weights under other names": (
        probe(loss=Plain()),
        kit.stepgraph.DecompositionError,
        (
            "Found a Plain; its graph shows no sum.",
            "weights={'beta': 0.1, 'w_rec': 1}",
        ),
    ),
    "terms without weights": (
        probe(loss=Plain(), terms=terms_of),
        ValueError,
        ("Found none for ['a', 'b', 'c']", "weights={'a': 1.0, ...}", "loss has the numbers beta, w_rec"),
    ),
    "weights without terms": (
        probe(loss=Plain(), weights={"a": 1.0}),
        ValueError,
        ("weights should come with terms=", "name attributes of loss: weights={'a': "),
    ),
    "weights as a list": (
        probe(loss=Plain(), terms=terms_of, weights=[1.0, 0.1]),
        TypeError,
        ("weights should be a dict of term -> number or name. Found a list of 2", 'weights={"fit": 1.0'),
    ),
    "terms as a dict": (
        probe(loss=Plain(), terms={"a": F.mse_loss}, weights={"a": 1.0}),
        TypeError,
        ("terms should be a callable", "Found a dict with a", "lambda prediction, target: {...}"),
    ),
    "terms as a list": (
        probe(loss=Plain(), terms=lambda p, t: [p["x"].mean()], weights={"a": 1.0}),
        TypeError,
        ("should be a dict of unweighted scalar terms, by name. Found a list of 1",),
    ),
}


def assert_told(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    assert caught.type is error
    said = str(caught.value)
    for part in parts:
        assert part in said, said
    for internal in (
        "step_graph",
        "kit.stepgraph.",
        "kit.recording.",
        "NoneType",
        ".tmp",
    ):
        assert internal not in said
    return caught.value


@pytest.mark.parametrize("mistake", PROBED)
def test_a_probe_says_what_to_pass_and_leaves_all_as_it_was(mistake):
    act, error, parts = PROBED[mistake]
    before = snapshot(MODEL, LOSS)
    assert_told(act, error, parts)
    assert snapshot(MODEL, LOSS) == before


def test_errors_of_another_kind_go_up_as_they_are():
    class Own(RuntimeError):
        pass

    for error in (Own("mine"), KeyError("nowhere"), NotImplementedError("later")):

        def fail(model, batch, error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            kit.probe(MODEL, LOSS, BATCH, predict=fail)
        assert caught.value is error


def test_an_error_of_the_model_keeps_its_traceback():
    said = assert_told(*PROBED["a wrong shape"][:2], ())
    assert isinstance(said.__cause__, RuntimeError)
    assert str(said.__cause__) in str(said) and "Given" not in str(said.__cause__)


def uncertainty():
    class UncertaintyLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_sigma = nn.Parameter(torch.zeros(2))

        def forward(self, p, t):
            return (terms_of(p, t)["a"] * (-self.log_sigma[0]).exp() + self.log_sigma.sum()) * 1.0

    return UncertaintyLoss()


def test_a_loss_with_parameters_of_its_own_is_told_from_the_network():
    assert_told(probe(uncertainty(), MODEL), TypeError, ("Found a UncertaintyLoss: is this the loss?",))
    one_term = {"terms": lambda p, t: {"all": uncertainty()(p, t)}, "weights": {"all": 1.0}}
    assert kit.probe(MODEL, uncertainty(), BATCH, **one_term).names[0] == "all"  # in its order it is not refused


@functools.cache
def report():
    return kit.probe(MODEL, LOSS, BATCH)


FINDING = {"question": "Why?", "claim": "So.", "verdict": "open", "answer": "It is open."}
OTHERS = {
    "a panel of a model": (lambda: kit.Panel(MODEL), TypeError, ("Found TwoHeads.", FRESH)),
    "a panel of a loss": (lambda: kit.Panel(LOSS), TypeError, ("Found Weighted.", FRESH)),
    "a panel of numbers": (lambda: kit.Panel({"a": 1.0}), TypeError, ("Found a mapping with float for 'a'.", FRESH)),
    "a panel of a list": (lambda: kit.Panel([report()]), TypeError, ("Found list.", FRESH)),
    "a panel of three": (lambda: kit.Panel(MODEL, LOSS, BATCH), TypeError, ("Found 3 arguments.", FRESH)),
    "a live panel of a model": (
        lambda: kit.LivePanel(MODEL),
        TypeError,
        ("session should be", "Found a TwoHeads", "kit.live.OwnSession.of(model, loss, optimizer, batches)"),
    ),
    "the panel in place of its report": (
        lambda: kit.whatif.total(kit.Panel(report()), {"lam_a": 0.0}),
        TypeError,
        ("report should be a ProbeReport. Found Panel; pass panel.report and panel.weights.",),
    ),
    "a model in place of a report": (
        lambda: kit.whatif.cosines(MODEL),
        TypeError,
        ("report should be a ProbeReport. Found TwoHeads; pass kit.probe(model, loss, batch).",),
    ),
    "a verdict of its own": (
        lambda: kit.Finding(**{**FINDING, "verdict": "sure"}),
        ValueError,
        ("verdict should be one of confirmed, refuted, partly, open. Found verdict = 'sure'.",),
    ),
    "evidence of no kind": (
        lambda: kit.Finding(**FINDING, evidence=["words", report()]),
        TypeError,
        ("kit.plots.evidence(figure, alt=..., caption=...)", "a DataFrame", "Found a ProbeReport at position 1."),
    ),
    "one piece of evidence": (
        lambda: kit.Finding(**FINDING, evidence=pd.DataFrame({"a": [1]})),
        TypeError,
        ("evidence should be a sequence. Found one DataFrame; put it in a list.",),
    ),
    "a watch of the loss": (
        lambda: kit.watch(LOSS),
        TypeError,
        ("model should be the network. Found a Weighted", "is this the loss? Pass kit.watch(model, loss=loss)."),
    ),
    "a watch of loss and model": (lambda: kit.watch(LOSS, MODEL), TypeError, ("Found a Weighted", "is this the loss?")),
    "a watch of torch's loss": (lambda: kit.watch(nn.MSELoss()), TypeError, ("Found a MSELoss", "is this the loss?")),
    "a watch of a class": (
        lambda: kit.watch(nn.Linear),
        TypeError,
        ("torch.nn.Module, or None. Found the class Linear",),
    ),
    "a watch of several": (lambda: kit.watch([MODEL]), TypeError, ("Found a list of 1.",)),
    "the loss by name": (lambda: kit.watch(MODEL, loss="mse"), TypeError, ("loss should be a loss object", "a str")),
    "every nothing": (lambda: kit.watch(MODEL, every=0), ValueError, ("whole number >= 1. Found every = 0.",)),
    "asked weights as a list": (
        lambda: kit.watch(MODEL, weights=[1.0]),
        TypeError,
        ("weights should be a mapping from names to numbers. Found a list of 1", 'weights={"lam_kl": 0.1}'),
    ),
    "a trace without an ending": (
        lambda: trained().trace.save("run"),
        ValueError,
        ("path should end in .npz. Found path = 'run'; 'run.npz' would do.",),
    ),
    "a page without an ending": (
        lambda: kit.Panel(report()).write("out/panel"),
        ValueError,
        ("path should end in .html. Found path = 'out/panel'; 'out/panel.html' would do.",),
    ),
    "a diagnosis of a dict": (
        lambda: kit.diagnose({"train_loss": [0.0]}),
        TypeError,
        ("Found dict; record the run with `with kit.watch(model, loss=loss) as run: ...` and pass run.trace.",),
    ),
    "a diagnosis before the run": (
        lambda: kit.diagnose(kit.watch(MODEL)),
        RuntimeError,
        ("after entering: with watch(...) as run:", "not entered"),
    ),
}


@functools.cache
def trained(shown=True):
    torch.manual_seed(0)
    model, batch = make(torch.float32)
    optimizer, loss = torch.optim.SGD(model.parameters(), 0.01), Weighted()
    with kit.watch(model, loss) as run:
        for epoch in range(2):
            for _ in range(3):
                optimizer.zero_grad()
                loss(model(batch[0]), batch[1]).backward()
                optimizer.step()
            if shown:
                run.log(epoch=torch.tensor(epoch), train_loss=np.float32(0), val_loss=torch.tensor(1.5))
    return run


@pytest.mark.parametrize("mistake", OTHERS)
def test_a_mistake_is_answered_with_what_to_do(mistake):
    assert_told(*OTHERS[mistake])


HEAD = "run.log should be given epoch=, train_loss= or val_loss=. Found "


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((1, 0.0, 3.2), "3 without a name; did you mean run.log(epoch=1, train_loss=0.0, val_loss=3.2)?"),
        (({"train_loss": 0.1},), "a dict; did you mean run.log(**values)?"),
    ],
)
def test_what_is_logged_without_a_name_is_answered_and_not_logged(given, said):
    with kit.watch(MODEL) as run, pytest.raises(TypeError) as caught:
        run.log(*given, val_loss=9.0)
    assert str(caught.value).startswith(HEAD + said)
    assert run.trace.epochs["val_loss"].isna().all()


@pytest.mark.parametrize("value", ["0.5", True, object(), [0.1, "x"]])
def test_what_is_no_number_is_refused_under_any_name_and_nothing_is_logged(value):
    with kit.watch(MODEL) as run, pytest.raises(TypeError, match="acc should be a number, or a list of numbers"):
        run.log(val_loss=9.0, acc=value)
    assert run.trace.epochs["val_loss"].isna().all() and "logged" not in run.trace.facts


def test_numbers_of_any_kind_are_logged():
    epochs = trained().trace.epochs
    assert epochs["train_loss"].tolist() == [0.0, 0.0] and epochs["val_loss"].tolist() == [1.5, 1.5]


def test_a_watch_prints_what_it_saw():
    run = kit.watch(MODEL)
    assert str(run) == "Watch, not entered yet: with kit.watch(model, loss=loss) as run: ..."
    with run:
        assert "still open" in str(run)
    text = str(trained())
    for part in (
        "Watch of TwoHeads and Weighted, ended",
        "2 epochs: 6 batches, 6 backward passes, 6 optimizer steps",
        "displayed losses: train_loss 0 -> 0, val_loss 1.5 -> 1.5",
        "kit.diagnose(run.trace)",
    ):
        assert part in text
    assert "displayed losses not seen: run.log(" in str(trained(shown=False))
    with pytest.raises(KeyError), kit.watch() as broken:
        raise KeyError
    assert "Watch of no model seen and no loss object seen, ended by KeyError" in str(broken)


def test_a_watched_run_and_a_saved_one_are_diagnosed(tmp_path):
    want = kit.diagnose(trained().trace).table
    pd.testing.assert_frame_equal(kit.diagnose(trained()).table, want)
    path = trained().trace.save(tmp_path / "run.npz")
    for given in (path, str(path)):
        pd.testing.assert_frame_equal(kit.diagnose(given).table, want)


def test_a_network_that_gets_its_parameters_later_is_watched():
    class Later(nn.Module):
        pass

    for loss in (None, nn.MSELoss(), uncertainty()):
        kit.watch(Later(), loss)  # not refused


def _no_space(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device", "/where/it/was.tmp")


def _no_permission(*_args, **_kwargs):
    raise PermissionError(errno.EACCES, "Permission denied", "/where/it/was.tmp")


def _read_only(*_args, **_kwargs):
    raise OSError(errno.EROFS, "Read-only file system", "/where/it/was.tmp")


@pytest.mark.parametrize(
    ("function", "act", "error", "number", "said"),
    [
        ("os.fsync", _no_space, OSError, errno.ENOSPC, "no space left on device"),
        ("kit.files.open", _no_permission, PermissionError, errno.EACCES, "permission denied"),
        ("kit.files.open", _read_only, OSError, errno.EROFS, "read-only file system"),
    ],
)
def test_a_disk_that_refuses_is_told_with_the_path_asked_for(tmp_path, monkeypatch, function, act, error, number, said):
    path = tmp_path / "page.html"
    kit.Finding(**FINDING).write(path)
    before = path.read_bytes()
    monkeypatch.setattr(function, act, raising=False)
    told = assert_told(lambda: kit.Finding(**FINDING).write(path), error, (f"Found path = {str(path)!r}: {said}.",))
    assert told.errno == number and path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_folders_files_and_devices_in_the_way_of_a_page_are_named(tmp_path):
    finding = kit.Finding(**FINDING)
    (tmp_path / "folder.html").mkdir()
    told = (f"Found path = {str(tmp_path / 'folder.html')!r}: it is a folder; name a file in it.",)
    assert_told(lambda: finding.write(tmp_path / "folder.html"), IsADirectoryError, told)
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file" / "page.html", tmp_path / "file" / "deeper" / "page.html"):
        with pytest.raises(OSError, match="is no folder") as caught:
            finding.write(path)
        assert repr(str(path)) in str(caught.value) and f"{tmp_path / 'file'} is no folder" in str(caught.value)
    (tmp_path / "device.html").symlink_to("/dev/null")
    assert_told(lambda: finding.write(tmp_path / "device.html"), OSError, ("it is a device, no file",))
    assert (tmp_path / "device.html").is_symlink() and (tmp_path / "file").read_text() == "kept"
    long = tmp_path / f"{'x' * 300}.html"
    assert_told(lambda: finding.write(long), OSError, (repr(str(long)), "file name too long"))


def test_a_panel_outside_a_notebook_says_where_it_can_be_seen():
    assert str(kit.Panel(report())).endswith("to see it, open in Jupyter or panel.write('panel.html')")
