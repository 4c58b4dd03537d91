"""The fixture `kit_watch` in a project that is not this one: from the checkout, and from a wheel that was built of it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LIGHT = """
    import sys

    def test_nothing_heavy_is_imported_for_a_test_without_the_fixture():
        assert not {"torch", "numpy", "pandas", "kit.recording", "kit.diagnosis"} & set(sys.modules)
"""
TRAINED = """
    import pytest

    def train(kit_watch, lr, *, ends=None, steps=12, **options):
        import torch

        torch.manual_seed(0)
        model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        with kit_watch(model, loss=loss, **options) as run:
            for _ in range(steps):
                x = torch.randn(8, 3)
                optimizer.zero_grad()
                loss(model(x), x.sum(-1, keepdim=True)).backward()
                optimizer.step()
            if ends is not None:
                raise ends
        return run

    def test_healthy(kit_watch):
        train(kit_watch, 0.05)

    def test_rate(kit_watch):
        train(kit_watch, 0.0)

    def test_two_runs(kit_watch):
        train(kit_watch, 0.05)
        train(kit_watch, 0.0)

    def test_allowed(kit_watch):
        train(kit_watch, 0.0, allow=["zero_learning_rate"])

    def test_another_allowed(kit_watch):
        train(kit_watch, 0.0, allow=["nan_gradients"])

    def test_displayed_after_the_block(kit_watch):
        train(kit_watch, 0.05).log(train_loss=0.0)

    def test_its_own_error(kit_watch):
        train(kit_watch, 0.0, ends=ArithmeticError("of the training itself"))

    def test_its_own_assertion(kit_watch):
        train(kit_watch, 0.0)
        assert 1 == 2, "of the test itself"

    def test_skipped(kit_watch):
        train(kit_watch, 0.0, ends=pytest.skip.Exception("on purpose"))

    @pytest.mark.xfail(strict=True)
    def test_expected_to_fail(kit_watch):
        train(kit_watch, 0.0)

    def test_nothing_trained(kit_watch):
        train(kit_watch, 0.05, steps=0)

    def test_unknown_key(kit_watch):
        kit_watch(allow=["zero_lr"])

    def test_a_text(kit_watch):
        kit_watch(allow="zero_learning_rate")

    def test_never_entered(kit_watch):
        kit_watch()

    def test_plain():
        pass
"""
FOUND = "Established: the learning rate is 0: each of 12 steps had the rate 0."


@dataclass(frozen=True)
class Session:
    """What one session of pytest said: of each test its outcome and message, and all of the output."""

    outcomes: dict[str, tuple[str, str]]
    said: str


def run_project(folder: Path, path: Path, *options: str, **environment: str) -> Session:
    (folder / "test_a_light.py").write_text(textwrap.dedent(LIGHT), encoding="utf-8")
    (folder / "test_b_trained.py").write_text(textwrap.dedent(TRAINED), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "--junitxml=out.xml", *options]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    done = subprocess.run(  # some tests of the project fail, and have to
        command,
        check=False,
        cwd=folder,
        env={**inherited, **environment, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = {}
    for case in ET.parse(folder / "out.xml").iter("testcase"):
        ends = [part for part in case if part.tag in ("failure", "error", "skipped")]
        outcomes[case.get("name")] = (ends[0].tag, ends[0].text or "") if ends else ("passed", "")
    return Session(outcomes, done.stdout)


@pytest.fixture(scope="module", params=["checkout", "wheel"])
def session(request, tmp_path_factory) -> Session:
    folder = tmp_path_factory.mktemp("project")
    if request.param == "checkout":  # an entry point may be installed or not: the plugin is named, once
        return run_project(folder, ROOT, "-p", "kit.integrations.pytest_plugin", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return run_project(folder, request.getfixturevalue("installed"))


def test_a_finding_fails_the_test_and_nothing_else_does(session):
    tags = {name: tag for name, (tag, _) in session.outcomes.items()}
    failed = {"test_rate", "test_two_runs", "test_another_allowed", "test_displayed_after_the_block"}
    failed |= {"test_its_own_error", "test_its_own_assertion", "test_unknown_key", "test_a_text", "test_never_entered"}
    assert {name for name, tag in tags.items() if tag == "failure"} == failed
    assert {name for name, tag in tags.items() if tag == "skipped"} == {"test_skipped", "test_expected_to_fail"}
    assert "error" not in tags.values(), "a finding is a failure of the test, not of its teardown"
    assert tags["test_nothing_heavy_is_imported_for_a_test_without_the_fixture"] == "passed"


def test_the_message_is_the_diagnosis_without_a_traceback(session):
    for name in ("test_rate", "test_two_runs", "test_another_allowed"):
        said = session.outcomes[name][1]
        assert FOUND in said and "What to do: " in said and "Traceback" not in said and "kit/" not in said
        assert len(said.splitlines()) <= 8
        assert said.splitlines()[-1] == "Where: test_b_trained.py:15."
    assert "the displayed number is wrong" in session.outcomes["test_displayed_after_the_block"][1]


def test_an_error_of_the_test_stays_the_one_that_is_reported(session):
    for name, said in (
        ("test_its_own_error", "ArithmeticError: of the training itself"),
        ("test_its_own_assertion", "AssertionError: of the test itself"),
        ("test_unknown_key", "Did you mean zero_learning_rate"),
        ("test_a_text", "pass allow=['zero_learning_rate']"),
        ("test_never_entered", "after entering: with watch(...) as run"),
    ):
        assert said in session.outcomes[name][1]
    beside = session.said.split("Captured kit_watch call")
    assert len(beside) == 3 and all(FOUND in part for part in beside[1:]), "the diagnosis stands beside the two errors"


def test_what_could_not_be_judged_passes_and_is_said(session):
    assert session.outcomes["test_nothing_trained"][0] == "passed"
    (line,) = [line for line in session.said.splitlines() if line.startswith("kit_watch: ")]
    assert "test_b_trained.py::test_nothing_trained could not be judged: Nothing was trained inside the with" in line
