"""A journal of version 1, a file of lines that an older kit wrote: taken over whole, left as it is."""

from __future__ import annotations

import contextlib
import hashlib
import random
import sqlite3
import threading
import warnings
from pathlib import Path

import pytest

from kit.journal import Journal, JournalFormatError, JournalWarning
from tests.journal._findings import events_in, mutated, small

pytestmark = pytest.mark.filterwarnings("error")

# four kept with the code of version 1, then renamed, annotated, moved and removed, one each
LINES = (Path(__file__).parent / "data" / "version1.kit").read_bytes().splitlines(keepends=True)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "journal.kit"
    path.write_bytes(b"".join(LINES))
    return path


def names(path):
    return [entry.name for entry in Journal(path).entries]


@pytest.mark.parametrize("asked", [".", "journal.kit", "journal.db"])
def test_it_is_taken_over_when_first_opened_and_left_as_it_is(old, asked):
    before = old.read_bytes()
    journal = Journal(old.parent / asked)
    assert journal.path == old.with_name("journal.db")
    assert list(journal.list()["name"]) == ["third", "renamed", "second"] and list(journal.removed["name"]) == [
        "fourth"
    ]
    kept = journal["renamed"]
    assert (kept.note, kept.diagnosis, kept.kept[:4]) == ("note of first \udcff", "No step is taken.", "2026")
    assert kept.finding.question == "Question first?" and kept.finding.evidence[0].png.startswith(b"\x89PNG")
    assert journal["second"].note == "another note"
    assert len(events_in(journal.path)) == len(LINES), "what was renamed and noted before is there too"
    journal.keep(small(evidence=()), name="new")
    assert names(journal.path) == ["third", "renamed", "second", "new"]
    old.unlink()
    assert names(old) == ["third", "renamed", "second", "new"], "it was taken over once"
    assert b"".join(LINES) == before


def test_the_same_finding_is_known_from_version_1(old):
    journal = Journal(old)
    kept = journal["second"]
    assert journal.keep(kept.finding, diagnosis=kept.diagnosis).key == kept.key and len(journal) == 3


def test_the_first_thing_can_be_to_keep(old):
    Journal(old.parent).keep(small(evidence=()), name="new")
    assert names(old.parent) == ["third", "renamed", "second", "new"]


def test_line_ends_of_another_system_and_a_missing_last_one_do_not_matter(old):
    old.write_bytes(b"".join(LINES).replace(b"\n", b"\r\n").rstrip())
    assert names(old) == ["third", "renamed", "second"]


@pytest.mark.parametrize("cut", [1, 60, 400])
def test_a_torn_last_line_is_said_and_the_rest_is_taken_over(old, cut):
    torn = b"".join(LINES[:3]) + LINES[3][:cut]
    old.write_bytes(torn)
    journal = Journal(old)
    with pytest.warns(JournalWarning, match=r"journal\.kit, which stays as it is, holds 1 damaged line, left out"):
        assert list(journal.list()["name"]) == ["first", "second", "third"]
    assert names(old) == ["first", "second", "third"] and old.read_bytes() == torn


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"Question", b"question"), *lines[2:]], ["third", "renamed"]),
        (lambda lines: [lines[0][1:], *lines[1:]], ["second", "third"]),
        (lambda lines: [b"<<<<<<< HEAD\n", *lines], ["third", "renamed", "second"]),
        (lambda lines: [*lines, line_of(b'{"event":"sing"}')], ["third", "renamed", "second"]),
        (lambda lines: [*lines, line_of(b'{"event":"keep","key":"k","finding":3}')], ["third", "renamed", "second"]),
        (lambda lines: [*lines, line_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)], ["third", "renamed", "second"]),
        (lambda lines: [*lines, line_of(b'{"event":"note","key":["k"],"note":"n"}')], ["third", "renamed", "second"]),
    ],
)
def test_a_damaged_line_is_said_and_the_rest_is_taken_over(old, damage, left):
    old.write_bytes(b"".join(damage(LINES)))
    with pytest.warns(JournalWarning, match=r"journal\.kit, which stays as it is, holds 1 damaged line, left out"):
        assert list(Journal(old).list()["name"]) == left


def line_of(body):
    return b"kit.journal/1 %012d %b %b\n" % (len(body), hashlib.sha256(body).hexdigest().encode(), body)


def test_a_line_without_an_end_is_read_in_pieces(old, monkeypatch):
    monkeypatch.setattr("kit.journal.store.LARGEST", 20_000)
    with open(old, "ab") as file:
        file.write(b"x" * 50_000)
    with pytest.warns(JournalWarning, match="holds 3 damaged lines"):
        assert list(Journal(old).list()["name"]) == ["third", "renamed", "second"]


def test_a_file_of_much_else_is_refused(old, monkeypatch):
    monkeypatch.setattr("kit.journal.store.LARGEST", 20_000)
    with open(old, "ab") as file:
        file.write(bytes(300_000))
    with pytest.raises(JournalFormatError, match="hardly a whole line"):
        Journal(old).list()


@pytest.mark.parametrize("content", [b"hello\n", bytes(5000), b"SQLite format 3\0", b"\n" * 100_000])
def test_a_foreign_file_of_that_name_is_refused_and_nothing_is_made(old, content):
    old.write_bytes(content)
    for act in (Journal(old).list, lambda: Journal(old).keep(small(evidence=()))):
        with pytest.raises(JournalFormatError, match=r"journal\.kit should be a journal of version 1.*Move it away"):
            act()
    assert old.read_bytes() == content
    old.unlink()  # moved away, say
    assert names(old) == []


def test_an_empty_one_is_an_empty_journal(old):
    old.write_bytes(b"")
    assert names(old) == []


def test_where_nothing_can_be_written_it_is_read_where_it_lies(old, monkeypatch):
    monkeypatch.setattr("kit.journal.store.sqlite3.connect", read_only(monkeypatch))
    journal = Journal(old)
    assert list(journal.list()["name"]) == ["third", "renamed", "second"] and journal["third"].note.startswith("note")
    with pytest.raises(PermissionError):
        journal.keep(small(evidence=()))
    assert [path.name for path in old.parent.iterdir()] == ["journal.kit"]


def test_a_mutated_one_is_taken_over_as_far_as_it_is_whole_or_refused(tmp_path):
    data, moment = b"".join(LINES), random.Random(1)
    for place in range(60):
        old = tmp_path / f"{place}.kit"
        old.write_bytes(mutated(data, moment))
        before = old.read_bytes()
        with warnings.catch_warnings(action="ignore"), contextlib.suppress(JournalFormatError):
            for kept in Journal(old):
                assert kept.finding.question in [f"Question {name}?" for name in ("first", "second", "third", "fourth")]
        assert old.read_bytes() == before


def read_only(monkeypatch):
    """sqlite3.connect as it is where no file can be made."""
    real = sqlite3.connect
    return lambda place, *options, **more: real(place.replace("mode=rwc", "mode=ro"), *options, **more)


def test_four_threads_take_it_over_once(old):
    failed, found = [], []

    def work():
        try:
            found.append(names(old))
        except Exception as error:  # noqa: BLE001, what it was is shown by the test
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and found == [["third", "renamed", "second"]] * 4
    assert len(events_in(old.with_name("journal.db"))) == len(LINES)
