"""The journal's file: a SQLite database of events. Events are added and never changed; the entries follow from them.

Every call opens a connection of its own and closes it, so threads, forked processes and other kernels share nothing but
the file. There is no WAL: it would write beside the file even to read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import sqlite3
import stat
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

MARK, VERSION = 0x6B69746A, 2  # in the header of the file; version 1 was a file of lines
LARGEST = 1 << 25  # bytes: one event with its finding, and all events without theirs; one without: a 32nd
PATIENCE = 30.0  # seconds
_TABLE = "CREATE TABLE events (number INTEGER PRIMARY KEY, event TEXT, digest TEXT, finding TEXT)"
_LINE = re.compile(rb"kit\.journal/1 \d{12} ([0-9a-f]{64}) (\{.*\})\s*")
_KEEP = ("name", "note", "at", "question", "verdict")
_PARTS = {"keep": _KEEP, "rename": ("name",), "note": ("note",), "move": (), "remove": (), "restore": ()}
_OPENING = """
    PRAGMA synchronous = EXTRA;  -- FULL, and the folder too
    PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; BEGIN
"""
_SYSTEM = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


class JournalFormatError(ValueError):
    """The file is no journal, a damaged one, or one that a newer kit writes."""


class JournalWarning(UserWarning):
    """Part of a journal's file could not be read; the rest is there."""


@dataclass(frozen=True)
class Entry:
    """One kept finding without its evidence."""

    key: str
    name: str
    note: str
    kept: str  # date and time with offset, ISO 8601
    question: str
    verdict: str
    number: int  # of the event that kept it
    digest: str  # of its finding
    content: str  # digest of finding and diagnosis; "" of one that an older kit kept
    removed: bool = False


class Events:
    """What one transaction sees of a journal, and adds to it."""

    def __init__(self, db: sqlite3.Connection, name: str) -> None:
        self._db, self._name, self._size = db, name, 0
        self.entries: dict[str, Entry] = {}  # in order
        self.left_out: list[str] = []
        for number, event, digest in db.execute("SELECT number, event, digest FROM events ORDER BY number"):
            self._generate(len(event) if isinstance(event, bytes) else 0)
            try:
                self._apply(number, _checked(event, digest))
            except ValueError as error:
                self.left_out.append(str(error))

    @property
    def shown(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if not entry.removed]

    @property
    def removed(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.removed]

    def add(self, event: Mapping[str, Any]) -> None:
        """That of a new entry has its ``finding`` and ``diagnosis``. ValueError: too large, or without its parts."""
        head, body = dict(event), None
        if event.get("event") == "keep":
            content = _whole({part: head.pop(part, "") for part in ("finding", "diagnosis")})
            body = _json(content)
            head |= {part: content["finding"].get(part) for part in ("question", "verdict")} | {"digest": _digest(body)}
        _texts(head)
        text = _json(head)
        self._generate(len(text), len(body or ""))
        row = (text, _digest(text), body)
        number = self._db.execute("INSERT INTO events VALUES (NULL, ?, ?, ?)", row).lastrowid
        self._apply(number or 0, head)

    def content(self, entry: Entry) -> dict[str, Any]:
        """``finding`` and ``diagnosis`` of an entry. JournalFormatError if the file no longer holds them."""
        row = self._db.execute("SELECT finding FROM events WHERE number = ?", (entry.number,)).fetchone()
        try:
            return _whole(_checked(row and row[0], entry.digest.encode()))
        except ValueError as error:
            raise JournalFormatError(
                f"{self._name} should still hold the finding of {entry.name!r}. Found it damaged: {error} "
                "Remove the entry, or put back a copy of the file."
            ) from error

    def _generate(self, size: int, body: int = 0) -> None:
        self._size += size + 100
        if max(self._size, size + body, 32 * size) > LARGEST:
            most = f"at most {LARGEST >> 20} MB in one finding and in all notes, {LARGEST >> 25} MB in one note"
            raise JournalFormatError(
                f"{self._name} should hold {most}. Found more; keep less, or begin another journal."
            )

    def _apply(self, number: int, event: Mapping[str, Any]) -> None:
        """One of a key that was never kept here changes nothing."""
        kind, key, before, parts = _texts(event)
        entry = self.entries.get(key)
        if kind == "keep":
            name, note, kept, question, verdict = parts
            digest, content = str(event.get("digest")), str(event.get("content", ""))
            entry = Entry(key, name, note, kept, question, verdict, number, digest, content)
            self.entries.setdefault(key, entry)
        elif entry is not None and kind == "move":
            order = [other for other in self.entries if other != key]
            order.insert(order.index(before) if before in order else len(order), key)
            self.entries = {other: self.entries[other] for other in order}
        elif entry is not None:
            change = {kind.replace("rename", "name"): parts[0]} if parts else {"removed": kind == "remove"}
            self.entries[key] = replace(entry, **change)


class Store:
    """A journal's file. A ``.kit`` of version 1 is left as it is; what it holds goes into the ``.db`` beside it."""

    def __init__(self, path: str | os.PathLike) -> None:
        path = Path(path)
        self.path = path.with_suffix(".db") if path.suffix == ".kit" else path
        self._old = self.path.with_suffix(".kit")
        self._warned: set[str] = set()

    @contextlib.contextmanager
    def opened(self, *, write: bool = False) -> Iterator[Events]:
        """The journal at this moment; a file that is not there is an empty one, and reading makes none.

        With ``write`` nobody else writes until the block ends; then the disk has what was added. An error in the block
        adds nothing. A journal of version 1 is taken over when first opened, or read where it lies if nothing can be
        written.

        Raises:
            JournalFormatError: no journal, a damaged or a newer one. TimeoutError: another program held the file for
            ``PATIENCE`` seconds. OSError: as the file system gives it.
        Warns:
            JournalWarning: events that were damaged later.
        """
        if write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self._size() and self._old.exists():
            with contextlib.suppress(OSError), self.opened(write=True):
                pass
        mode = "rwc" if write else "rw"  # a reader too may have to undo what a dead writer left half-done
        place = f"{self.path.absolute().as_uri()}?mode={mode}" if self._size() or write else ":memory:"
        said = []
        try:
            with contextlib.closing(sqlite3.connect(place, PATIENCE, isolation_level=None, uri=True)) as db:
                db.text_factory = bytes  # a text that is no UTF-8 is damage of one event only
                db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST + 4096)
                db.executescript(f"{_OPENING} {'IMMEDIATE' if write else ''}")
                new = self._is_new(db)
                if new:
                    db.execute(_TABLE if write else _TABLE.replace("TABLE", "TEMP TABLE"))
                if new and write:
                    db.execute(f"PRAGMA application_id = {MARK}")
                    db.execute(f"PRAGMA user_version = {VERSION}")
                fault = " ".join(db.execute("PRAGMA quick_check(1)").fetchone()[0].decode().split())
                if fault != "ok" and write:  # to add something could destroy what is still there
                    raise sqlite3.DatabaseError(fault)
                if fault != "ok":
                    said.append(f"{self.path.name} should be undamaged; findings may be missing. Found: {fault}")
                events = Events(db, self.path.name)
                if events.left_out:
                    said.append(f"{self.path.name} holds {_left_out(events.left_out, 'event')}")
                if new and self._old.exists() and (left_out := self._take_over(events)):
                    said.append(f"{self._old.name}, which stays as it is, holds {_left_out(left_out, 'line')}")
                yield events
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from error
        for text in said:
            if text not in self._warned:
                self._warned.add(text)
                warnings.warn(text, JournalWarning, stacklevel=4)  # opened, with, the method of the journal

    def _size(self) -> int:
        """Bytes; 0 if nothing is there. Never by ``open``: its closing would drop this process's locks on the file."""
        try:
            state = os.stat(self.path)
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(state.st_mode):
            raise JournalFormatError(f"{self.path.name} should be a file. Found a folder or device; give another path.")
        return state.st_size

    def _is_new(self, db: sqlite3.Connection) -> bool:
        """Is there nothing yet? JournalFormatError for anything but a journal, before it is read."""
        schema = db.execute("SELECT sql FROM sqlite_master").fetchmany(2)
        mark, version = db.execute("SELECT * FROM pragma_application_id, pragma_user_version").fetchone()
        if (schema, mark, version) == ([], 0, 0):
            return True
        should = f"{self.path.name} should be a journal of version {VERSION}."
        if mark != MARK:
            raise JournalFormatError(f"{should} Found the database of another program; give another path.")
        if version > VERSION:
            raise JournalFormatError(f"{should} Found version {version}; use a newer kit.")
        if version < VERSION or schema != [(_TABLE.encode(),)]:
            raise JournalFormatError(f"{should} Found version {version} with other tables; put back a copy.")
        return False

    def _take_over(self, events: Events) -> list[str]:
        """Adds what a file of version 1 holds; returns what was wrong with the rest."""
        left_out, good, skipped = [], 0, 0
        with open(self._old, "rb") as file:
            for line in iter(lambda: file.readline(LARGEST), b""):
                found = _LINE.fullmatch(line)
                try:
                    events.add(_checked(*(found.group(2, 1) if found else (None, None))))
                    good += 1
                except ValueError as error:
                    left_out.append(str(error))
                    skipped += len(line) + 1000
                if skipped > 8 * LARGEST:
                    break  # some other file, and no end in sight
        if skipped > (8 * LARGEST if good else 0):
            raise JournalFormatError(
                f"{self._old.name} should be a journal of version 1. Found hardly a whole line in it: {left_out[0]} "
                "Move it away to begin a new journal."
            )
        return left_out

    def _refused(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            should = f"{self.path.name} should be free within {PATIENCE:g} s."
            return TimeoutError(f"{should} Found another program that holds it; try again later.")
        if code in _SYSTEM:
            return OSError(_SYSTEM[code], str(error), str(self.path))
        return JournalFormatError(
            f"{self.path.name} should be a whole journal. Found: {error}. Nothing was changed; give another path, put "
            "back a copy, or take out what is left: sqlite3 FILE .recover"
        )


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: half a surrogate pair is an escape


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _checked(text: Any, digest: Any) -> dict[str, Any]:
    """The JSON object of a text. ValueError unless the text has this digest."""
    if not isinstance(text, bytes) or not isinstance(digest, bytes) or _digest(text).encode() != digest:
        raise ValueError("its bytes should have their digest. Found others.")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON should be nested less deeply. Found too many levels.") from error
    if not isinstance(found, dict):
        raise ValueError(f"JSON should be an object. Found a {type(found).__name__}.")  # noqa: TRY004 - a damaged file
    return found


def _texts(event: Mapping[str, Any]) -> tuple[str, str, str, list[str]]:
    """Kind, key, the key to move it before, the other parts. ValueError for an event that this kit does not know."""
    kind, key, before = event.get("event"), event.get("key"), event.get("before") or ""
    if not isinstance(kind, str) or kind not in _PARTS:
        raise ValueError(f"event should be one of {', '.join(_PARTS)}. Found event = {kind!r:.80}.")
    found = [key, before, *(event.get(part) for part in _PARTS[kind])]
    texts = [part for part in found if isinstance(part, str)]
    if len(texts) < len(found):
        raise ValueError(f"{kind} should have texts as {', '.join(('key', *_PARTS[kind]))}. Found {found!r:.200}.")
    return kind, texts[0], texts[1], texts[2:]


def _whole(content: dict[str, Any]) -> dict[str, Any]:
    """ValueError unless it has a finding and, as a text, the diagnosis."""
    kinds = [type(content.get(part)).__name__ for part in ("finding", "diagnosis")]
    if kinds != ["dict", "str"]:
        raise ValueError(f"finding and diagnosis should be a record and a text. Found {kinds[0]} and {kinds[1]}.")
    return content


def _left_out(errors: list[str], what: str) -> str:
    several = f"{what}{'' if len(errors) == 1 else 's'}"
    return f"{len(errors)} damaged {several}, left out; the rest is here. First: {errors[0]}"
