"""The file of the journal: what was acknowledged is there, whatever was cut off, damaged, foreign or newer."""

from __future__ import annotations

import os
import re

import pytest

from kit.journal import Journal, JournalFormatError, JournalWarning
from kit.journal.lines import line_of, read_line
from kit.journal.store import Store
from tests.journal._findings import run_module, small

pytestmark = pytest.mark.filterwarnings("error")


def records(path):
    return [line.record for line in Store(path).refresh()[1]]


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "journal.kit")
    for number in range(3):
        store.append({"number": number})
    return store


def test_a_line_vouches_for_itself():
    line = line_of({"a": "\u2028\n<\u202e", "x": 0.1})
    assert read_line(line, "j") == {"a": "\u2028\n<\u202e", "x": 0.1} and line.count(b"\n") == 1
    for place in range(len(line)):
        assert read_line(line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :], "j") is None
        assert read_line(line[:place], "j") is None


def test_cut_off_anywhere_everything_before_is_there(store):
    """The file ends after every possible byte; then the next record is kept, and the torn one is beside the file."""
    whole = store.path.read_bytes()
    ends = [found.end() for found in re.finditer(b"\n", whole)]
    for size in range(len(whole)):
        store.path.write_bytes(whole[:size])
        complete = sum(end <= size for end in ends)
        torn = whole[max([end for end in ends if end <= size], default=0) : size]
        fresh = Store(store.path)
        if torn:
            with pytest.warns(JournalWarning, match=f"ends in {len(torn)} bytes of a record that was never finished"):
                found = fresh.refresh()[1]
        else:
            found = fresh.refresh()[1]
        assert [line.record["number"] for line in found] == list(range(complete))
        fresh.append({"number": "next"})
        assert [record["number"] for record in records(store.path)] == [*range(complete), "next"]
        aside = store.path.with_name("journal.kit.torn")
        assert (aside.read_bytes() if aside.exists() else b"") == (torn + b"\n" if torn else b"")
        aside.unlink(missing_ok=True)


def test_the_warning_comes_once_and_appending_at_once_warns_too(store):
    with open(store.path, "ab") as file:
        file.write(b"kit.journal/1 0000")
    fresh = Store(store.path)
    with pytest.warns(JournalWarning):
        fresh.refresh()
    fresh.refresh()  # a warning would be an error here
    with pytest.warns(JournalWarning, match="never finished"):
        Store(store.path).append({"number": 3})
    assert len(records(store.path)) == 4


def test_a_damaged_line_in_the_middle_is_left_out_and_left_alone(store):
    lines = store.path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"number":1', b'"number":7')
    store.path.write_bytes(b"".join(lines))
    with pytest.warns(JournalWarning, match="no record. They are left out; the rest is here"):
        assert [record["number"] for record in records(store.path)] == [0, 2]
    fresh = Store(store.path)
    with pytest.warns(JournalWarning):
        fresh.append({"number": 3})
    assert lines[1] in store.path.read_bytes() and not store.path.with_name("journal.kit.torn").exists()


@pytest.mark.parametrize("content", [b"hello\n", b'{"format": "kit.finding"}', b"\x80\x04\x95", b"kit.journey/1 "])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "journal.kit"
    path.write_bytes(content)
    for act in (Store(path).refresh, lambda: Store(path).append({"number": 0})):
        with pytest.raises(JournalFormatError, match="should be a journal.*give another path"):
            act()
    assert path.read_bytes() == content


def test_a_newer_journal_is_refused_and_left_alone(store):
    with open(store.path, "ab") as file:
        file.write(line_of({"number": 3}).replace(b"kit.journal/1", b"kit.journal/2"))
    before = store.path.read_bytes()
    for act in (store.refresh, lambda: Store(store.path).append({"number": 4})):
        with pytest.raises(JournalFormatError, match="version 1. Found a record of version 2; use a newer kit"):
            act()
    assert store.path.read_bytes() == before


def test_an_event_of_a_newer_kit_is_named(tmp_path):
    Store(tmp_path / "journal.kit").append({"event": "sing"})
    with pytest.raises(ValueError, match="event should be one of keep, .*Found event = 'sing'"):
        Journal(tmp_path).list()
    Store(tmp_path / "b.kit").append({"event": "keep"})
    with pytest.raises(ValueError, match="should have every part. Found KeyError"):
        Journal(tmp_path / "b.kit").list()


def test_a_full_disk_leaves_the_journal_as_it_was(store, monkeypatch):
    before, real = store.path.read_bytes(), os.fsync

    def full(descriptor):
        raise OSError("disk is full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="full"):
        store.append({"number": 3})
    monkeypatch.setattr("os.fsync", real)
    assert store.path.read_bytes() == before
    store.append({"number": 3})
    assert [record["number"] for record in records(store.path)] == [0, 1, 2, 3]


def test_a_record_that_moved_is_named(store):
    with pytest.raises(ValueError, match="should still hold the record at byte 5"):
        store.read(5, 20)


def test_what_json_cannot_say_is_refused_before_anything_is_written(store):
    before = store.path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        store.append({"x": float("nan")})
    assert store.path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
def test_processes_append_at_once_and_nothing_is_lost_or_mixed(tmp_path):
    run_module("tests.journal._writers", tmp_path, 4, 25)
    found = records(tmp_path / "journal.kit")
    for who in range(4):
        assert [record["number"] for record in found if record["who"] == who] == list(range(25))
    assert [record["who"] for record in found] != sorted(record["who"] for record in found), "they took turns"


def test_the_journal_is_text_and_no_pickle(tmp_path):
    journal = Journal(tmp_path)
    journal.keep(small())
    text = journal.path.read_bytes()
    assert text.isascii() and text.startswith(b"kit.journal/1 ") and text.endswith(b"}\n")
