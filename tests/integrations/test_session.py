"""What the callbacks have in common, without another package: options, the end of a training, failures."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import kit
from kit.integrations.frames import caller
from kit.integrations.session import Session, Watching, guarded
from kit.recording.watching import Watch
from tests.recording._left import outside

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 4


class Trainer:
    """A trainer of another package, as small as one can be: it tells its callback of the begin and the end, and of no exception."""

    def __init__(self, callback, lr: float = 0.05, fails_at: int = 0) -> None:
        torch.manual_seed(0)
        self.callback, self.fails_at, self.count = callback, fails_at, 0
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr)
        self.x = torch.randn(32, 4)

    def notify(self, event: str) -> None:
        getattr(self.callback, event)()

    def loss(self):
        out = self.net(self.x).squeeze()
        fit = (out - self.x[:, 0]).square().mean()
        size = out.abs().mean()
        return fit + 0.5 * size

    def fit(self, epochs: int = 3) -> None:
        self.notify("begins")
        for _ in range(epochs):
            self.net.train()
            for _ in range(BATCHES):
                self.count += 1
                if self.count == self.fails_at:
                    raise ValueError("a bad batch")
                self.optimizer.zero_grad()
                self.loss().backward()
                self.optimizer.step()
                self.notify("stepped")
            self.net.eval()
            with torch.no_grad():
                self.net(self.x)
        self.notify("ends")


class Callback(Watching):
    def __init__(self, **options):
        super().__init__(**options)
        self.written, self.trainer = {}, None

    @guarded
    def begins(self):
        self.session_.open({"notify", "begins"})
        self.trainer = caller(Trainer)

    @guarded
    def stepped(self):
        if scalars := self.session_.new_scalars():
            self.written[len(self.written) + 1] = scalars

    @guarded
    def ends(self):
        self.session_.close()


def test_the_scalars_are_the_terms_that_were_read():
    callback = Callback(print=False, probe_every=1)
    Trainer(callback).fit(1)
    terms, probes = callback.trace.terms, callback.trace.probes
    for step in (1, 2, 3, 4):
        report = probes[step]
        expected = {f"term/{name}": value for name, value in zip(report.names, report.L, strict=True)}
        expected |= {f"weight/{name}": weight for name, weight in zip(report.names, report.weights, strict=True)}
        expected |= {f"grad_norm/{name}": norm for name, norm in zip(report.names, report.norms, strict=True)}
        assert callback.written[step] == pytest.approx(expected)
    for row in terms.itertuples():
        assert callback.written[row.step][f"term/{row.name}"] == row.value
    assert callback.scalars == {}, "the training is over"


def test_a_watch_has_its_scalars_inside_and_after_the_block():
    with kit.watch() as run:
        assert run.scalars == {} and run.scalars_step == 0 and run.epoch == 1
        Trainer(Callback(print=False)).fit(2)
        inside = run.scalars, run.scalars_step
        assert run.epoch == 2
    last = run.trace.terms[run.trace.terms["step"] == run.scalars_step]
    assert {name: inside[0][f"term/{name}"] for name in last["name"]} == dict(
        zip(last["name"], last["value"], strict=True)
    )
    assert (run.scalars, run.scalars_step, run.epoch) == (*inside, 2)
    with pytest.raises(RuntimeError, match="run.epoch should be asked for after entering"):
        kit.watch().epoch  # noqa: B018


def test_the_caller_is_found_and_none_where_there_is_none():
    callback = Callback(print=False)
    trainer = Trainer(callback)
    trainer.fit(1)
    assert callback.trainer is trainer and caller(Trainer) is None


def test_an_exception_ends_the_watch_with_its_except_block(capsys):
    before, callback = outside(), Callback()
    gc.disable()
    try:
        try:
            Trainer(callback, fails_at=6).fit()
        except ValueError:
            assert outside() != before, "the exception is still there, and with it the call"
        assert outside() == before
    finally:
        gc.enable()
    assert callback.trace.facts["ended"] == "Unfinished" and callback.trace.facts["turns"] == 5
    assert capsys.readouterr().out == f"{callback.diagnosis}\n"


def test_a_watch_is_closed_by_hand_where_somebody_keeps_the_exception():
    before, callback = outside(), Callback(print=False)
    with pytest.raises(ValueError) as kept:
        Trainer(callback, fails_at=6).fit()
    assert outside() != before
    callback.close()
    assert outside() == before and str(kept.value) == "a bad batch"
    callback.close()


def test_the_next_training_ends_a_watch_that_is_still_open():
    before, callback = outside(), Callback(print=False)
    with pytest.raises(ValueError) as kept:
        Trainer(callback, fails_at=6).fit()
    Trainer(callback).fit()
    del kept
    assert callback.trace.facts["turns"] == 3 * BATCHES and outside() == before


def test_nothing_of_the_trainers_variables_is_kept_alive():
    import weakref

    class Thing:
        pass

    seen = []

    class Large(Trainer):
        def fit(self, epochs=3):
            thing = Thing()
            seen.append(weakref.ref(thing))
            self.notify("begins")
            del thing
            assert seen[0]() is None
            super().fit(epochs)

    Large(Callback(print=False)).fit(1)


def test_a_script_that_ends_by_an_exception_prints_the_diagnosis():
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from tests.integrations.test_session import Callback, Trainer\n"
        "Trainer(Callback(), lr=0.0, fails_at=9).fit()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1 and done.stderr.rstrip().endswith("ValueError: a bad batch")
    assert "Established: the learning rate is 0: each of 8 steps had the rate 0." in done.stdout


def test_a_cell_of_a_notebook_ends_the_watch_though_the_exception_is_kept():
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_cell('from tests.integrations.test_session import *; before = outside(); callback = Callback()')\n"
        "shell.run_cell('Trainer(callback, fails_at=9).fit()')\n"
        "shell.run_cell('print(outside() == before, callback.trace.facts[\"turns\"], sys.last_value)')\n"
        "print(len(shell.events.callbacks['post_run_cell']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    lines = done.stdout.strip().split("\n")
    assert lines[-2:] == ["True 8 a bad batch", "0"], done.stdout + done.stderr


def test_what_goes_wrong_is_said_once_and_not_raised(caplog):
    class Wrong(Callback):
        @guarded
        def stepped(self):
            raise KeyError("an attribute of another version")

    callback = Wrong(print=False)
    Trainer(callback).fit()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "kit.integrations.Wrong could not do its part, and the training goes on: KeyError: 'an attribute of another version'"
    ]
    assert callback.trace.facts["turns"] == 3 * BATCHES


def test_what_a_watch_was_asked_to_raise_at_its_end_is_raised(monkeypatch, capsys):
    class Found(RuntimeError):
        pass

    leave = Watch.__exit__

    def raises(self, *error):
        leave(self, *error)
        raise Found

    before, callback = outside(), Callback()
    monkeypatch.setattr(Watch, "__exit__", raises)
    with pytest.raises(Found):
        Trainer(callback).fit()
    assert callback.trace.facts["ended"] == "return" and outside() == before
    assert capsys.readouterr().out == f"{callback.diagnosis}\n"


def test_options_are_those_of_watch_and_refused_at_once():
    with pytest.raises(ValueError, match="every should be a whole number >= 1"):
        Callback(every=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'evry'"):
        Callback(evry=2)
    callback = Callback(print=False, every=2)
    Trainer(callback).fit()
    assert callback.trace.facts["every"] == 2


def test_before_a_training_there_is_nothing_to_ask_for():
    callback = Callback()
    for name in ("trace", "diagnosis"):
        with pytest.raises(
            RuntimeError, match="should be asked for after a training. Found none that Callback watched"
        ):
            getattr(callback, name)
    assert callback.scalars == {}
    callback.close()


@pytest.mark.parametrize(
    ("name", "package", "installs"),
    [
        ("HuggingFaceCallback", "transformers", "transformers"),
        ("LightningCallback", "lightning", "lightning"),
        ("KerasCallback", "keras", "keras"),
        ("SkorchCallback", "skorch", "skorch"),
        ("IgniteHandler", "ignite", "pytorch-ignite"),
        ("AccelerateTracker", "accelerate", "accelerate"),
    ],
)
def test_a_package_that_is_not_there_is_named(monkeypatch, name, package, installs):
    module = {"HuggingFaceCallback": "huggingface"}.get(name, package)
    monkeypatch.delitem(sys.modules, f"kit.integrations.{module}", raising=False)
    monkeypatch.delitem(vars(kit.integrations), name, raising=False)
    for known in [known for known in sys.modules if known == package or known.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, package, None)
    found = f"kit.integrations.{name} should find the package {installs}. Found none; install it: python -m pip install {installs}"
    with pytest.raises(ImportError) as refused:
        getattr(kit.integrations, name)
    assert str(refused.value) == found


def test_the_names_of_the_package_are_listed_without_an_import():
    assert set(kit.integrations.__all__) <= set(dir(kit.integrations))
    with pytest.raises(AttributeError, match="module 'kit.integrations' has no attribute 'TensorFlowCallback'"):
        kit.integrations.TensorFlowCallback  # noqa: B018


def test_a_diagnosis_of_a_training_that_runs_is_the_one_so_far():
    callback = Callback(print=False)
    seen = []

    class Asking(Trainer):
        def notify(self, event):
            super().notify(event)
            if event == "stepped":
                seen.append(callback.diagnosis.verdict)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Asking(callback).fit()
    assert set(seen) <= {"nothing_found", "healthy"} and callback.diagnosis.verdict == "healthy"


def test_a_session_of_a_silent_process_prints_nothing(capsys):
    session = Session("Callback", True, {})
    session.open(None, speaks=False)
    session.close()
    assert capsys.readouterr().out == "" and session.diagnosis.verdict == "nothing_found"
