"""Keeping is idempotent, and a name says what is set."""

from __future__ import annotations

import pytest

import kit
from kit.journal import Journal
from kit.journal.store import Store
from kit.live import SystemSession
from kit.live.finding import finding_of, name_of
from kit.live.widget import LivePanel
from tests.journal._findings import small
from tests.panel._panel_cases import WEIGHT_NAMES, make_report
from tests.training._runs import small_system


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def names(journal):
    return list(journal.list()["name"])


def test_the_same_finding_is_kept_once(journal):
    first = journal.keep(small(), note="before")
    size = journal.path.stat().st_size
    again = journal.keep(small())
    assert (again.key, again.note, again.kept) == (first.key, "before", first.kept)
    assert len(journal) == 1 and journal.path.stat().st_size == size, "nothing is written twice"
    assert journal.keep(small(), note="another").note == "another" and len(journal) == 1
    journal.rename(first, "renamed")
    assert journal.keep(small()).name == "renamed" and names(journal) == ["renamed"]
    assert Journal(journal.path).keep(small()).key == first.key, "in the next kernel too"


def test_whatever_differs_is_another_entry(journal):
    journal.keep(small())
    journal.keep(small(answer="The loss is 3.5."))
    moved = small()
    moved.panels[0].weights = {"lam_cov": 0.0}
    journal.keep(moved)
    journal.keep(small(), diagnosis="No step is taken.")
    journal.keep(small(), name="called")
    assert names(journal) == [
        "Is it the weight?",
        "Is it the weight? (2)",
        "lam_cov 0: Is it the weight?",
        "Is it the weight? (3)",
        "called",
    ]
    assert journal.keep(small(), name="called").name == "called" and len(journal) == 5


def test_what_was_removed_is_kept_anew(journal):
    journal.remove(journal.keep(small()))
    journal.keep(small())
    assert len(journal) == 1 and len(journal.removed) == 1


def test_an_entry_of_an_older_kit_is_never_taken_for_the_same(journal):
    event = {
        "event": "keep",
        "key": "k",
        "name": "Is it the weight?",
        "note": "",
        "at": "",
        "finding": small().to_record(),
    }
    with Store(journal.path).opened(write=True) as events:
        events.add(event)  # without the digest of the content
    assert journal[0].finding.fix == "Count the steps."
    journal.keep(small())
    assert names(journal) == ["Is it the weight?", "Is it the weight? (2)"]


@pytest.mark.parametrize(
    ("case", "weights", "name"),
    [
        ("a", {}, "Q?"),
        ("a", {"lam_cov": 0.0}, "lam_cov 0: Q?"),
        ("b", {"lam_cov": 0.3}, "b: Q?"),
        ("b", {"lam_cov": 1.5, "lam_K": 0.25}, "b + lam_cov 1.5 + lam_K 0.25: Q?"),
        ("a", dict.fromkeys(WEIGHT_NAMES[:5], 2.0), "lam_cov 2 + lam_cov_pred 2 + lam_ortho 2 + 2 more: Q?"),
        ("a", dict.fromkeys(WEIGHT_NAMES, 0.0), "all weights 0: Q?"),
    ],
)
def test_a_finding_is_named_by_what_its_panel_is_set_to(journal, case, weights, name):
    panel = kit.Panel({"a": make_report(0), "b": make_report(1)})
    panel.case = case
    panel.weights = {**panel.weights, **weights}
    assert journal.keep(small("Q?", evidence=[panel])).name == name


def test_a_long_question_keeps_what_is_set(journal):
    panel = kit.Panel(make_report(0))
    panel.weights = {"lam_cov": 0.0}
    name = journal.keep(small("q" * 500, evidence=[panel])).name
    assert name.startswith("lam_cov 0: qqq") and len(name) == 200


def test_a_training_is_named_by_what_was_set_by_hand_and_how_far_it_came():
    live = LivePanel(SystemSession(small_system(), probe_every=50))
    assert name_of(live) == "nothing changed, 0 batches"
    live.steps(1)
    assert name_of(live) == "nothing changed, 1 batch", "the schedule's weights are not set by hand"
    live.weights = {"lam_aux": 0.0}
    live.faults = ["nan_gradients"]
    live.steps(2)
    assert name_of(live) == "lam_aux 0 + NaN gradients, 3 batches"
    rows = dict(finding_of(live, live.evidence()).evidence[1].frame.itertuples(index=False))
    assert rows["batches trained"] == "3" and rows["epoch"] == "1" and rows["faults"].startswith("NaN gradients")
    live.close()
