"""Adding a hypothesis is adding one file; the report's five keep their order and priors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kit.hypotheses
from kit.diagnosis import diagnose
from kit.diagnosis.scoring import leave_one_style_out, shipped_runs
from kit.hypotheses import ALL, REPORT, Hypothesis, all_checks, check, discover
from tests.diagnosis._runs import healthy

README = Path(kit.hypotheses.__file__).with_name("README.md")
ROOT = README.parents[2]


def _example() -> str:
    """The file that the README of the hypotheses adds."""
    return re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]


@pytest.fixture
def another_folder(tmp_path, monkeypatch):
    """A folder whose modules count as the package's own, as if the file had been added there."""
    monkeypatch.setattr(kit.hypotheses, "__path__", [*kit.hypotheses.__path__, str(tmp_path)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("kit.hypotheses.added")]:
        del sys.modules[name]


def test_the_page_shows_a_sixth_and_it_works(another_folder):
    (another_folder / "added_maximised.py").write_text(_example(), encoding="utf-8")
    found = discover()
    assert {h.key for h in found} - {h.key for h in ALL} == {"maximised"}
    climbing = diagnose(
        healthy(loss=[1.0 * 1.5**i for i in range(12)], train_loss=None, val_loss=[2.0] * 3), hypotheses=found
    )
    assert climbing.top.key == "maximised" and climbing.verdict == "fault"
    assert diagnose(healthy(), hypotheses=found).verdict == "healthy"


LAST_STAGE = """
import kit
from kit.diagnosis import scoring
from kit.hypotheses.likelihoods import shipped_likelihoods

assert kit.__file__.startswith({folder!r}), kit.__file__
diagnosis = kit.diagnose(kit.datasets.load_faulty_run())
last = kit.studies.fault_bench.run()
print(diagnosis.top.key, diagnosis.cause("maximised").silent, last.finding().verdict)
counts = scoring.count(last.facts["bench"]).counts
print(counts.keys() == shipped_likelihoods().counts.keys(), f"{{last.facts['score'].top1:.6f}}")
"""


def test_with_a_cause_that_nothing_recorded_knows_diagnosis_score_and_report_still_work(tmp_path):
    """The whole package, copied; one file added, with a check of its own; the shipped tables as they are."""
    for part in ("kit", "data"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "kit" / "hypotheses" / "maximised.py").write_text(_example(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LAST_STAGE.format(folder=str(tmp_path))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    said, counted = done.stdout.splitlines()
    before = leave_one_style_out(shipped_runs())
    assert said.startswith("nan_gradients () ") and counted == f"True {before.top1:.6f}"


def test_a_key_belongs_to_one_file(another_folder):
    (another_folder / "added_twice.py").write_text("from kit.hypotheses.loss_weights import HYPOTHESIS\n")
    with pytest.raises(ValueError, match="'loss_weights' twice"):
        discover()


def test_every_hypothesis_is_complete():
    for hypothesis in ALL:
        assert isinstance(hypothesis, Hypothesis)
        parts = ("signs", "claim", "mechanism", "predicts", "fix", "guard")
        assert all(getattr(hypothesis, part) for part in parts), hypothesis.key
        assert set(hypothesis.decisive) <= set(hypothesis.signs), hypothesis.key
        assert set(hypothesis.explains) <= {other.key for other in ALL}, hypothesis.key
        compile(hypothesis.guard, hypothesis.key, "exec")
    assert [h.rank for h in REPORT] == [1, 2, 3, 4, 5]


def test_what_is_said_of_a_run_is_not_the_reports():
    """The report's claims are what is tried; a run of somebody else has none of its names."""
    for hypothesis in ALL:
        said = f"{hypothesis.plain or hypothesis.title} {hypothesis.mechanism} {hypothesis.fix}"
        assert hypothesis.mechanism != hypothesis.claim and hypothesis.mechanism.endswith("."), hypothesis.key
        assert not re.search(r"R_blend|lam_|report|NaN becomes 0", said), hypothesis.key


def test_every_check_says_its_answers_in_a_few_words():
    shared = all_checks()
    labels = [label for entry in shared for label in (entry.if_yes, entry.if_no)]
    assert all(labels) and len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 50 and not any("_" in label for label in labels)
    bare = check("Is it so?")(lambda seen, policy: None)
    assert (bare.label(True), bare.label(False), bare.label(None)) == ("Is it so? Yes", "Is it so? No", "Is it so?")
    named = check("Is it so?", "so", "not so")(lambda seen, policy: None)
    assert (named.label(True), named.label(False), named.label(None)) == ("so", "not so", "so")


def test_a_decisive_sign_says_yes_under_no_other_cause_of_the_bench():
    """That a fact about the whole may name a fault alone rests on this; a wrong display never comes before a fault.

    A fact about a part comes behind what stops the whole. Weights that are 0 are 0 however they came to be, and NaN that is replaced in the
    loss may be in its gradient as well, or in every batch that was read of a healthy run.
    """
    also = {"graph_weights_zero": {"loss_initialisation"}, "nan_replaced": {"nan_gradients", "none"}}
    runs = shipped_runs()
    for hypothesis in ALL:
        for sign in hypothesis.decisive if hypothesis.verdict == "fault" else ():
            truths = {run.truth for run in runs if run.facts.get(sign.key) is False}
            assert truths <= {hypothesis.key} | also.get(sign.key, set()), sign.key


def test_checks_have_keys_of_their_own():
    keys = [entry.key for entry in all_checks(ALL)]
    assert len(set(keys)) == len(keys)
    assert {sign.key for h in ALL for sign in h.signs} <= set(keys)
