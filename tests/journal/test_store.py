"""The file of the journal: what was acknowledged is there, whoever writes; damage, foreign and newer files are said."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import sqlite3
import threading
import warnings

import pytest

from kit.journal import Journal, JournalFormatError, JournalWarning
from kit.journal.store import Store
from tests.journal._findings import changed, events_in, mutated, run_module, small

pytestmark = pytest.mark.filterwarnings("error")


def plain(question="Is it the weight?", **changes):
    """Without a panel: quick to make."""
    return small(question, **{"evidence": ["A paragraph."], **changes})


def names(journal):
    return [entry.name for entry in journal.entries]


def opened_all(path):
    """Every entry with its finding, by key."""
    return {kept.key: (kept.name, kept.note, kept.record, kept.diagnosis) for kept in Journal(path)}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    for name in "abc":
        journal.keep(plain(), name=name, note=f"note of {name}")
    return journal


def test_the_file_is_a_database_of_json_and_no_pickle(journal):
    with contextlib.closing(sqlite3.connect(journal.path)) as db:
        rows = db.execute("SELECT event, finding FROM events").fetchall()
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [json.loads(finding)["finding"]["question"] for _, finding in rows] == ["Is it the weight?"] * 3
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal.db"], "nothing is left beside it"


def test_a_damaged_event_is_left_out_and_left_alone(journal):
    changed(journal.path, "UPDATE events SET event = replace(event, '\"b\"', '\"B\"') WHERE number = 2")
    fresh = Journal(journal.path)
    with pytest.warns(JournalWarning, match=r"journal\.db holds 1 damaged event, left out; the rest is here.*digest"):
        assert names(fresh) == ["a", "c"]
    fresh.keep(plain(), name="d")  # said once: a warning would be an error here
    assert names(fresh) == ["a", "c", "d"] and [event["name"] for event in events_in(journal.path)] == [
        "a",
        "B",
        "c",
        "d",
    ]


def test_a_damaged_finding_is_named_and_the_others_are_there(journal):
    changed(journal.path, "UPDATE events SET finding = replace(finding, '3.4', '3.5') WHERE number = 2")
    with pytest.raises(JournalFormatError, match=r"journal\.db should still hold the finding of 'b'. Found it damaged"):
        journal["b"]
    assert journal["a"].finding.answer == journal["c"].finding.answer == "The loss is 3.4."
    journal.remove("b")
    assert "The loss is 3.4." in journal.to_html()


@pytest.mark.parametrize(
    "event",
    [
        *(
            {"event": "sing"},
            {"event": ["keep"], "key": "k"},
            {"event": "keep"},
            {"event": "note", "key": "k", "note": 3},
        ),
        {"event": "move", "key": [], "before": None},
        {"event": "move", "key": "k", "before": ["k"]},
        {**dict.fromkeys(("name", "note", "at", "question", "verdict"), "x"), "event": "keep", "key": 5},
    ],
)
def test_an_event_that_this_kit_does_not_know_is_named_and_the_rest_is_there(journal, event):
    text = json.dumps(event)
    changed(journal.path, "INSERT INTO events VALUES (9, ?, ?, NULL)", text, digest_of(text))
    with pytest.warns(JournalWarning, match="should (be one of keep|have texts as key)"):
        assert names(Journal(journal.path)) == ["a", "b", "c"]


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("text", ["[" * 200_000, "[1]", "1" * 5000, "{", "{}"])
def test_a_finding_whose_digest_is_right_and_that_is_none_is_named(journal, text):
    with Store(journal.path).opened(write=True) as events:
        entry = events.entries[next(iter(events.entries))]
    event = {**events_in(journal.path)[0], "key": "k", "name": "odd", "digest": digest_of(text)}
    head = json.dumps(event)
    changed(journal.path, "INSERT INTO events VALUES (9, ?, ?, ?)", head, digest_of(head), text)
    with pytest.raises(JournalFormatError, match="finding of 'odd'"):
        journal["odd"]
    assert journal[entry.key].name == "a"


@pytest.mark.parametrize(
    "content", [b"hello\n", b'{"format": "kit.finding"}', b"\x80\x04\x95", b"kit.journal/1 ", bytes(5000)]
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    for act in (Journal(path).list, lambda: Journal(path).keep(plain())):
        with pytest.raises(
            JournalFormatError, match=r"journal\.db should be a whole journal. Found: file is not a database"
        ):
            act()
    assert path.read_bytes() == content and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("sql", ["CREATE TABLE events (number)", "PRAGMA user_version = 2"])
def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path, sql):
    path = tmp_path / "journal.db"
    changed(path, sql)
    before = path.read_bytes()
    for act in (Journal(path).list, lambda: Journal(path).keep(plain())):
        with pytest.raises(JournalFormatError, match="Found the database of another program; give another path"):
            act()
    assert path.read_bytes() == before


def test_a_newer_journal_and_one_with_other_tables_are_refused_and_left_alone(journal):
    changed(journal.path, "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END")
    with pytest.raises(JournalFormatError, match="Found version 2 with other tables; put back a copy"):
        journal.keep(plain(), name="d")
    changed(journal.path, "DROP TRIGGER t")
    changed(journal.path, "PRAGMA user_version = 3")
    before = journal.path.read_bytes()
    for act in (journal.list, lambda: journal.keep(plain(), name="d")):
        with pytest.raises(
            JournalFormatError, match="should be a journal of version 2. Found version 3; use a newer kit"
        ):
            act()
    assert journal.path.read_bytes() == before


def test_a_folder_or_a_device_is_refused(tmp_path):
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalFormatError, match="should be a file. Found a folder or device"):
        Journal(tmp_path).list()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.db")
        with pytest.raises(JournalFormatError, match="should be a file. Found a folder or device"):
            Journal(tmp_path / "pipe.db").keep(plain())


def test_a_full_disk_leaves_the_journal_as_it_was(journal, monkeypatch):
    before = journal.path.read_bytes()
    with monkeypatch.context() as full:
        full.setattr("kit.journal.store._OPENING", "PRAGMA max_page_count = 1; BEGIN")
        with pytest.raises(OSError, match="disk is full") as refused:
            journal.keep(plain(evidence=["x" * 100_000]), name="d")
        assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, str(journal.path))
    assert journal.path.read_bytes() == before
    journal.keep(plain(evidence=["x" * 100_000]), name="d")
    assert names(journal) == ["a", "b", "c", "d"]


def test_who_waits_too_long_for_another_program_is_told(journal, monkeypatch):
    monkeypatch.setattr("kit.journal.store.PATIENCE", 0.0)
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for act in (journal.list, lambda: journal.keep(plain(), name="d")):
            with pytest.raises(
                TimeoutError, match="free within 0 s. Found another program that holds it; try again later"
            ):
                act()
    journal.keep(plain(), name="d")
    assert names(journal) == ["a", "b", "c", "d"]


def test_what_is_too_large_is_refused_before_anything_is_written(journal, monkeypatch):
    before = journal.path.read_bytes()
    monkeypatch.setattr("kit.journal.store.LARGEST", 1 << 16)
    for note, evidence in (("", ["x" * (1 << 16)]), ("x" * (1 << 11), [])):
        with pytest.raises(JournalFormatError, match="at most 0 MB in one finding and in all notes, .*Found more"):
            journal.keep(plain(evidence=evidence), note, name="d")
    assert journal.path.read_bytes() == before
    changed(journal.path, "UPDATE events SET finding = zeroblob(100000) WHERE number = 1")
    with pytest.raises(JournalFormatError, match="string or blob too big"):
        journal["a"]
    assert journal["b"].note == "note of b"
    changed(journal.path, "UPDATE events SET event = zeroblob(3000)")
    with pytest.raises(JournalFormatError, match="Found more"):
        journal.list()


def test_what_json_cannot_say_is_refused_before_anything_is_written(journal):
    before = journal.path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"), Store(journal.path).opened(write=True) as events:
        events.add({"event": "note", "key": "k", "note": "n", "other": float("nan")})
    assert journal.path.read_bytes() == before


def test_an_error_in_the_middle_adds_nothing(journal):
    with pytest.raises(ZeroDivisionError), Store(journal.path).opened(write=True) as events:
        events.add({"event": "remove", "key": journal[0].key})
        raise ZeroDivisionError
    assert names(journal) == ["a", "b", "c"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
def test_processes_keep_at_once_and_nothing_is_lost_or_mixed(tmp_path):
    run_module("tests.journal._writers", tmp_path, 4, 25)
    found = [tuple(map(int, name.split())) for name in names(Journal(tmp_path))]
    for writer in range(4):
        assert [number for who, number in found if who == writer] == list(range(25))
    assert [who for who, _ in found] != sorted(who for who, _ in found), "they took turns"


def test_four_threads_share_one_journal(tmp_path):
    """The same finding is kept once; different ones under the same question get names of their own; no call fails."""
    journal, kept, failed = Journal(tmp_path), [], []

    def work(who):
        try:
            for number in range(10):
                journal.keep(plain())
                kept.append(journal.keep(plain(answer=f"{who} {number}")).key)
                journal.annotate(kept[-1], f"{len(journal)}")
        except Exception as error:  # noqa: BLE001, what it was is shown by the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and len(journal) == 41 == len(set(names(journal))) and len(set(kept)) == 40
    assert set(kept) < {entry.key for entry in journal.entries}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there the open files of a process are listed")
def test_a_fork_writes_too_and_nothing_stays_open(journal):
    before = sorted(os.listdir("/proc/self/fd"))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            journal.keep(plain(), name="of the child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    journal.keep(plain(), name="of the parent")
    with pytest.raises(LookupError):
        journal.rename("nobody", "x")
    assert names(journal)[3:] == ["of the child", "of the parent"]
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("what", ["folder", "file"])
def test_where_nothing_can_be_written_it_can_be_read(journal, what):
    place = journal.path if what == "file" else journal.path.parent
    place.chmod(0o400 if what == "file" else 0o500)
    try:
        if os.access(place, os.W_OK):
            pytest.skip("root, and Windows, may write everywhere")
        fresh = Journal(journal.path)
        assert names(fresh) == ["a", "b", "c"] and fresh["b"].finding.fix == "Count the steps."
        with pytest.raises(PermissionError) as refused:
            fresh.keep(plain(), name="d")
        assert refused.value.filename == str(journal.path)
    finally:
        place.chmod(0o700)
    assert names(journal) == ["a", "b", "c"]


def test_where_findings_may_be_missing_it_is_said_and_nothing_is_added(journal):
    """One cell less is counted on the page of the events: a row is gone without a trace in the others."""
    data = bytearray(journal.path.read_bytes())
    data[4096 + 4] -= 1
    journal.path.write_bytes(data)
    fresh = Journal(journal.path)
    with pytest.warns(
        JournalWarning, match=r"journal\.db should be undamaged; findings may be missing. Found: .*[Pp]age 2"
    ):
        assert set(names(fresh)) < {"a", "b", "c"}
    with pytest.raises(JournalFormatError, match=r"should be a whole journal. Found: .*[Pp]age 2.*put back a copy"):
        fresh.keep(plain(), name="d")
    assert journal.path.read_bytes() == data


@pytest.mark.parametrize("seed", range(8))
def test_a_mutated_file_opens_or_is_refused_and_nothing_that_was_readable_is_lost(tmp_path, seed):
    journal = Journal(tmp_path / "whole.db")
    for number in range(12):
        journal.keep(plain(evidence=["x" * 1500]), name=f"{number}", note="n" * 300)
    journal.rename("3", "three")
    journal.move("three", 0)
    whole, data, moment = opened_all(journal.path), journal.path.read_bytes(), random.Random(seed)
    path = tmp_path / "mutated.db"
    for _ in range(25):
        path.write_bytes(mutated(data, moment))
        before = path.read_bytes()
        readable = readable_of(path)
        assert all(whole[key][2:] == seen[2:] for key, seen in readable.items()), "a finding is whole or refused"
        assert path.read_bytes() == before, "reading changes nothing"
        try:
            with warnings.catch_warnings(action="ignore"):
                Journal(path).keep(plain(), name="new")
        except (JournalFormatError, OSError):
            continue
        finally:
            path.with_name("mutated.db-journal").unlink(missing_ok=True)
        after = readable_of(path)
        assert all(after[key] == seen for key, seen in readable.items())


def readable_of(path):
    """The entries that can be read, by key; whatever else happens is an error of the kit."""
    journal, found = Journal(path), {}
    with warnings.catch_warnings(action="ignore"):
        try:
            entries = journal.entries
        except (JournalFormatError, OSError):
            return {}
        for entry in entries:
            with contextlib.suppress(JournalFormatError, OSError):
                kept = journal[entry.key]
                found[kept.key] = (kept.name, kept.note, kept.record, kept.diagnosis)
    return found
