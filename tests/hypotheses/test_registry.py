"""Adding a hypothesis is adding one file; the report's five keep their order and priors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import kit.hypotheses
from kit.diagnosis import diagnose
from kit.hypotheses import ALL, REPORT, Hypothesis, all_checks, discover
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
        assert hypothesis.signs and hypothesis.claim and hypothesis.predicts and hypothesis.fix and hypothesis.guard, (
            hypothesis.key
        )
        compile(hypothesis.guard, hypothesis.key, "exec")
    assert [h.rank for h in REPORT] == [1, 2, 3, 4, 5]


def test_checks_have_keys_of_their_own():
    keys = [entry.key for entry in all_checks(ALL)]
    assert len(set(keys)) == len(keys)
    assert {sign.key for h in ALL for sign in h.signs} <= set(keys)
