"""`python -m kit check MODULE:FUNCTION`: parts that a function of the user's makes, and its refusals."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kit.__main__ import main

PROGRAM = """
import torch
from torch import nn

def parts(lr=0.05):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    x = torch.randn(16, 3)
    return model, nn.MSELoss(), (x, x[:, :1]), torch.optim.SGD(model.parameters(), lr)

def broken():
    return parts(0.0)

def named():
    model, loss, batch, _ = parts()
    return {"model": model, "loss": loss, "batch": {"x": batch[0], "y": batch[1]}, "steps": 7,
            "predict": lambda model, batch: (model(batch["x"]), batch["y"])}

def three():
    return parts()[:3]

def other():
    return 3

def misnamed():
    return {"model": 1, "loss": 2, "data": 3}

def raises():
    raise KeyError("rows")

def narrow():
    model, loss, (x, y), optimizer = parts()
    return model, loss, (x[:, :2], y), optimizer

def swapped():
    model, loss, batch, optimizer = parts()
    return loss, model, batch, optimizer
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A module `train_<unique>` in the working directory; its name."""
    name = f"train_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("form", ["{}:parts", "{}.py:parts", "./{}.py:named", "{}:three"])
def test_healthy_parts_by_module_or_file(program, form, capsys):
    assert main(["check", form.format(program)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Healthy") and "On this batch the loss went from" in said
    assert (" in 7 steps" in said) == ("named" in form)


def test_a_broken_step_is_a_finding_in_every_output(program, capsys, tmp_path):
    assert main(["check", f"{program}:broken", "--steps", "6", "--sarif", str(tmp_path / "found.sarif")]) == 1
    assert capsys.readouterr().out.startswith("Established: the learning rate is 0: each of 6 steps had the rate 0.")
    results = json.loads((tmp_path / "found.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert results[0]["ruleId"] == "zero_learning_rate"
    assert main(["check", f"{program}:broken", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["top"] == "zero_learning_rate"


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("{}", "The parts should be named as package.module:function or path/to/file.py:function. Found '{}'."),
        ("{}:absent", "{} should have a function absent. Found parts, broken, named, three, other"),
        (
            "no_such_module:parts",
            "no_such_module should be a module that can be imported from here. Found no no_such_module.",
        ),
        ("none.py:parts", "none.py should be a file. Found none."),
        ("{}:other", "should return (model, loss, batch) or (model, loss, batch, optimizer), or a mapping"),
        ("{}:misnamed", "Found model, loss, data."),
        ("{}:swapped", "model should be the network. Found a MSELoss: is this the loss?"),
        ("{}:raises", "'rows'"),
        ("{}:narrow", "model should take the inputs of the batch"),
    ],
)
def test_other_parts_are_bad_input(program, named, sentence, capsys):
    assert main(["check", named.format(program)]) == 3
    said = capsys.readouterr().err
    assert sentence.format(program) in said
    assert ("Traceback" in said) == (named in ("{}:raises", "{}:narrow"))  # where the user's own code fails


def test_a_few_steps_are_refused_in_a_sentence(program, capsys):
    assert main(["check", f"{program}:parts", "--steps", "2"]) == 3
    assert "steps should be a whole number >= 5. Found steps = 2." in capsys.readouterr().err


def test_in_a_shell_of_its_own(program):
    done = subprocess.run(
        [sys.executable, "-m", "kit", "check", f"{program}.py:broken"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1 and "the learning rate is 0" in done.stdout and not done.stderr
