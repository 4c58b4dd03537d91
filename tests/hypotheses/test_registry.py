"""Adding a hypothesis is adding one file; the report's five keep their order and priors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import kit.hypotheses
from kit import bench
from kit.bench.running import check_keys
from kit.diagnosis import diagnose
from kit.hypotheses import ALL, REPORT, Hypothesis, all_checks, check, discover
from tests.diagnosis._runs import healthy

README = Path(kit.hypotheses.__file__).with_name("README.md")


@pytest.fixture
def another_folder(tmp_path, monkeypatch):
    """A folder whose modules count as the package's own, as if the file had been added there."""
    monkeypatch.setattr(kit.hypotheses, "__path__", [*kit.hypotheses.__path__, str(tmp_path)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("kit.hypotheses.added")]:
        del sys.modules[name]


def test_the_page_shows_a_sixth_and_it_works(another_folder):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    (another_folder / "added_maximised.py").write_text(code, encoding="utf-8")
    found = discover()
    assert {h.key for h in found} - {h.key for h in ALL} == {"maximised"}
    climbing = diagnose(
        healthy(loss=[1.0 * 1.5**i for i in range(12)], train_loss=None, val_loss=[2.0] * 3), hypotheses=found
    )
    assert climbing.top.key == "maximised" and climbing.verdict == "fault"
    assert diagnose(healthy(), hypotheses=found).verdict == "healthy"


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
    """That a fact alone may name a fault rests on this; a wrong display never comes before a fault."""
    place = {key: number for number, key in enumerate(check_keys())}
    for hypothesis in ALL:
        for sign in hypothesis.decisive if hypothesis.verdict == "fault" else ():
            truths = {line.truth for line in bench.shipped_runs() if line.answers[place[sign.key]] == "y"}
            assert truths == {hypothesis.key}, sign.key


def test_checks_have_keys_of_their_own():
    keys = [entry.key for entry in all_checks(ALL)]
    assert len(set(keys)) == len(keys)
    assert {sign.key for h in ALL for sign in h.signs} <= set(keys)
