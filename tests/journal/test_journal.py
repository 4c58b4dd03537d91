"""The journal: what is kept comes back whole, in the order given to it, and nothing kept is ever lost."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

import kit
from kit.journal import Journal, shared
from kit.report import verify
from tests.journal._findings import events_in, small
from tests.panel._panel_cases import HOSTILE


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "findings")


def names(journal):
    return list(journal.list()["name"])


def test_a_kept_finding_comes_back_complete_and_live(journal):
    finding = small()
    finding.panels[0].weights = {"lam_cov": 0.0}
    kept = journal.keep(finding, note="zero", name="first", diagnosis="No step is taken.")
    finding.panels[0].weights = {"lam_cov": 1.0}  # later than the keeping: no part of it
    again = Journal(journal.path)["first"]
    assert (again.key, again.note, again.diagnosis) == (kept.key, "zero", "No step is taken.")
    assert again.finding.panels[0].weights["lam_cov"] == 0.0
    assert again.finding.evidence[0] == finding.evidence[0] and again.finding.evidence[3] == "A paragraph."
    pd.testing.assert_frame_equal(again.finding.evidence[1].frame, finding.evidence[1].frame)
    again.finding.panels[0].weights = {"lam_cov": 1.0}
    assert again.finding.to_record() == finding.to_record()


def test_a_diagnosis_explains_itself(journal):
    class Diagnosis:
        def explain(self):
            return "Counted too late."

    assert journal.keep(small(), diagnosis=Diagnosis()).diagnosis == "Counted too late."
    assert "Counted too late." in journal.to_html()


def test_rename_note_move_remove_restore_leave_every_record_in_the_file(journal):
    keys = [journal.keep(small(f"Question {name}?"), name=name).key for name in "abcd"]
    counts = [len(events_in(journal.path))]
    steps = [
        (lambda: journal.rename("a", "first"), ["first", "b", "c", "d"]),
        (lambda: journal.move("d", 0), ["d", "first", "b", "c"]),
        (lambda: journal.move(0, 9), ["first", "b", "c", "d"]),
        (lambda: journal.move("c", 1), ["first", "c", "b", "d"]),
        (lambda: journal.remove("c"), ["first", "b", "d"]),
        (lambda: journal.move("d", 1), ["first", "d", "b"]),
        (lambda: journal.restore(keys[2]), ["first", "c", "d", "b"]),
        (lambda: journal.annotate("b", "seen"), ["first", "c", "d", "b"]),
    ]
    for act, wanted in steps:
        act()
        assert names(journal) == names(Journal(journal.path)) == wanted
        counts.append(len(events_in(journal.path)))
    assert counts == list(range(4, 13)), "the file only grows"
    assert journal["b"].note == "seen" and len(journal) == 4
    kept = [event for event in events_in(journal.path) if event["event"] == "keep"]
    assert [(event["name"], event["question"]) for event in kept] == [(name, f"Question {name}?") for name in "abcd"]


def test_what_was_removed_can_be_seen(journal):
    kept = journal.keep(small())
    journal.remove(kept)
    assert len(journal) == 0 and list(journal.removed.index) == [kept.key]
    assert journal.restore(kept.key).name == kept.name
    with pytest.raises(ValueError, match="key should be that of a removed entry. Found '.*'; removed are none"):
        journal.restore(kept.key)


def test_two_open_journals_see_each_other(journal):
    other = Journal(journal.path)
    journal.keep(small(), name="a")
    assert names(other) == ["a"]
    other.keep(small(), name="b")
    journal.rename("b", "c")
    assert names(other) == names(journal) == ["a", "c"]


def test_names_are_free_short_and_one_line(journal):
    journal.keep(small())
    journal.keep(small(answer="The loss is 3.5."))
    journal.keep(small(), name=" two\n words ")
    assert names(journal) == ["Is it the weight?", "Is it the weight? (2)", "two words"]
    with pytest.raises(ValueError, match="name should be free. Found another entry named 'two words'"):
        journal.rename(0, "two words")
    for name in ("", "  ", "x" * 201):
        with pytest.raises(ValueError, match="name should have 1 to 200 letters"):
            journal.rename(0, name)
    assert journal.keep(small("q" * 10_000)).name == "q" * 200


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda j: j.move("one", -1), "place should be a number from 0. Found place = -1"),
        (lambda j: j.compare("one", "one"), "two entries. Found 'one' twice"),
        (lambda j: j.write_html("x.txt"), r"path should end in \.html"),
    ],
)
def test_mistakes_are_named_and_change_nothing(journal, act, message):
    refused_and_unchanged(journal, act, ValueError, message)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda j: j.keep("text"), "finding should be a kit.Finding. Found a str"),
        (lambda j: j.keep(small(), note=3), "note should be a text. Found a int"),
        (lambda j: j.keep(small(), diagnosis=3), "diagnosis should be a text. Found a int"),
        (lambda j: j.view("x"), "view should get findings or live panels. Found a str at position 0"),
    ],
)
def test_a_wrong_kind_is_named_and_changes_nothing(journal, act, message):
    refused_and_unchanged(journal, act, TypeError, message)


def refused_and_unchanged(journal, act, error, message):
    journal.keep(small(), name="one")
    before = journal.path.read_bytes()
    with pytest.raises(error, match=message):
        act(journal)
    assert journal.path.read_bytes() == before


@pytest.mark.parametrize("which", ["nobody", 1, -2, True])
def test_an_unknown_entry_is_named_with_those_there(journal, which):
    journal.keep(small(), name="one")
    with pytest.raises(LookupError, match="known by key, name or place.*there are: .* 'one'"):
        journal[which]


def test_an_empty_journal_says_so(journal):
    assert len(journal) == 0 and names(journal) == [] and "no findings yet" in journal._repr_html_()
    assert not journal.path.exists(), "reading makes no file"
    with pytest.raises(ValueError, match="should hold a finding to show. Found none; keep one first"):
        journal.to_html()


def test_all_kept_findings_make_one_page(journal, tmp_path):
    for name in ("before", "after"):
        journal.keep(small(), name=name, note=f"note of {name}")
    written = journal.write_html(tmp_path / "all.html", "Two of them")
    seen = verify(written.path)
    assert [item.name for item in seen.findings] == ["before", "after"]
    assert [item.note for item in seen.findings] == ["note of before", "note of after"]
    html = written.path.read_text(encoding="utf-8")
    assert "note of before" in html and html.count('id="panel-') == 4, "two panels, each with its tools"
    assert journal["after"].write(tmp_path / "one.html").path.stat().st_size < written.path.stat().st_size


def test_two_findings_side_by_side(journal, tmp_path):
    finding = small()
    journal.keep(finding, name="faulty")
    finding.panels[0].weights = {"lam_cov": 0.0}
    journal.keep(small(verdict="confirmed", evidence=finding.evidence), name="healthy")
    comparison = journal.compare("faulty", "healthy")
    table = comparison.table.set_index("quantity")
    assert list(table.loc["claim"]) == ["does not hold", "holds", ""]
    assert list(table.loc["lam_cov"]) == [0.3, 0.0, -0.3]
    report = finding.panels[0].report
    totals = [kit.whatif.total(report, w) for w in (None, {"lam_cov": 0.0})]
    assert list(table.loc["total"]) == [*totals, totals[1] - totals[0]]
    assert "lam_K" not in table.index, "only what differs"
    html = comparison._repr_html_()
    assert html.count("<figure>") == 2 and "faulty" in html and "healthy" in html
    seen = verify(comparison.write(tmp_path / "two.html").path)
    assert seen.title == "faulty | healthy" and seen.tables["table-1.csv"].startswith(
        "quantity,faulty,healthy,difference"
    )


def test_findings_without_the_same_panels_compare_too(journal):
    journal.keep(small(), name="a")
    journal.keep(small(evidence=()), name="b")
    table = journal.compare("a", "b").table.set_index("quantity")
    assert table.loc["total", "b"] == "\u2013" and table.loc["total", "difference"] == "\u2013"


def test_hostile_words_are_text_in_the_list(journal):
    for text in HOSTILE:
        journal.keep(small(), name=text[:200], note=text)
    html = journal._repr_html_()
    assert "<img" not in html and "<script" not in html and html.count("<bdi>") == 2 * len(HOSTILE)
    assert len(json.loads(journal.list().to_json(orient="records"))) == len(HOSTILE)


def test_the_list_as_html_counts_like_the_places(journal):
    journal.keep(small(), name="a")
    journal.keep(small(), name="b")
    assert re.findall(r"<td>(\d)</td><th scope='row'><bdi>(\w)</bdi>", journal._repr_html_()) == [
        ("0", "a"),
        ("1", "b"),
    ]


@pytest.mark.parametrize(
    ("here", "wanted"), [("notebooks", "findings"), ("my_notebooks", "findings"), ("elsewhere", "elsewhere/findings")]
)
def test_the_journal_of_an_investigation_lies_beside_its_notebooks(tmp_path, monkeypatch, here, wanted):
    (tmp_path / here).mkdir()
    monkeypatch.chdir(tmp_path / here)
    journal = Journal()
    journal.keep(small(evidence=()))
    assert journal.path == tmp_path / wanted / "journal.db" and journal.path.exists()
    assert isinstance(shared, Journal) and shared.at(tmp_path / "x.db").path == tmp_path / "x.db"


def test_it_follows_a_file_that_was_replaced(journal, tmp_path):
    journal.keep(small(), name="old")
    other = Journal(tmp_path / "other")
    other.keep(small(), name="new")
    os.replace(other.path, journal.path)
    assert names(journal) == ["new"]
    journal.path.unlink()
    assert names(journal) == []


def test_the_front_door_keeps_in_the_shared_journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kit.journal.shared, "_opened", None)  # as in a new kernel
    first, second = kit.journal.keep(small("One?")), kit.journal.keep(small("Two?"), "a note", name="two")
    assert [kept.key for kept in Journal(tmp_path / "findings")] == [first.key, second.key]
    assert kit.journal.shared["two"].note == "a note"
    assert kit.journal.compare(0, 1).second.key == second.key
    assert kit.journal.write_html("all.html").path == Path("all.html") and (tmp_path / "all.html").exists()
    assert len(kit.journal.view().entries) == 2
    with pytest.warns(DeprecationWarning, match=r"kit.findings is now kit.journal.shared"):
        assert kit.findings is kit.journal.shared


def test_a_button_that_sends_a_wrong_kind_is_answered_in_words(journal):
    kept, view = journal.keep(small()), journal.view()
    view.act({"action": "note", "key": kept.key, "note": 3})
    assert view.status == "could not note: note should be a text. Found a int."
