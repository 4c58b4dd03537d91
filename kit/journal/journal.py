"""The journal of findings: keep what was seen, come back to it, put two side by side, send all as one page."""

from __future__ import annotations

import hashlib
import html
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from kit.files import NOTEBOOKS, WORKING_COPY
from kit.journal.kept import Kept
from kit.journal.naming import finding_name
from kit.journal.store import Entry, Events, Store
from kit.report import Finding, Written
from kit.report.page import render_page
from kit.report.writing import write_page

FILE = "journal.db"
_LONGEST_NAME = 200


def default_folder() -> Path:
    """`findings/` beside a folder of notebooks, which is where their `../findings/` leads; else inside the working folder."""
    here = Path.cwd()
    return (here.parent if here.name in (NOTEBOOKS, WORKING_COPY) else here) / "findings"


class Journal:
    """Findings kept in one file that events are added to; none is ever changed.

        kit.journal.keep(finding, note="after the fix")        # stored when the call returns
        kit.journal.shared.list()                               # what is there, as a table
        kit.journal.shared["after the fix"].finding            # live again
        kit.journal.compare(0, 1)                              # two side by side
        kit.journal.write_html("findings/all.html")            # all on one page

    All notebooks of an investigation share it; kernels, processes and threads may write at once. An entry is asked for
    by its key, its name or its place (0 is the first).

    Args:
        path: the file, or the folder of ``journal.db``. None: the folder ``findings/`` beside the notebooks, looked up
            when the journal is first used. What an older kit kept in a ``.kit`` is taken over into a ``.db`` beside it.
    """

    def __init__(self, path: str | os.PathLike | None = None) -> None:
        self._asked = path
        self._opened: Store | None = None

    def at(self, path: str | os.PathLike) -> Journal:
        """The journal in another place."""
        return Journal(path)

    @property
    def path(self) -> Path:
        return self._store.path

    @property
    def _store(self) -> Store:
        if self._opened is None:
            path = default_folder() if self._asked is None else Path(self._asked)
            self._opened = Store(path / FILE if path.suffix == "" or path.is_dir() else path)
        return self._opened

    def keep(self, finding: Finding, note: str = "", *, name: str = "", diagnosis: Any = None) -> Kept:
        """Store a finding as it is now: evidence, figures, the setting of its panels, diagnosis and note.

        The same finding is kept once: a cell that is run again changes the note, if it gives one, and adds nothing.
        Another name, or anything else that differs, makes another entry.

        Args:
            finding: anything else is a TypeError.
            note: what you want to remember.
            name: what to call it; without it what its panels are set to and the question, numbered if that is taken.
            diagnosis: a text, or an object with ``explain()`` -> text.

        Returns when the disk has it. Otherwise nothing was stored: OSError as the file system gives it, TimeoutError
        where another program held the file for 30 s, JournalFormatError for no journal or a finding over 32 MB.
        """
        if not isinstance(finding, Finding):
            raise TypeError(f"finding should be a kit.Finding. Found a {type(finding).__name__}.")
        record, said, note = finding.to_record(), _said(diagnosis), _text("note", note)
        asked, content = _name(name) if name else "", _digest(record, said)
        named = asked or _name(finding_name(finding)[:_LONGEST_NAME])
        with self._store.opened(write=True) as events:
            for entry in events.shown:
                if entry.content == content and asked in ("", entry.name):
                    if note not in ("", entry.note):
                        events.add({"event": "note", "key": entry.key, "note": note})
                    return _kept(events, entry.key)
            event = {
                "event": "keep",
                "key": uuid.uuid4().hex[:12],
                "name": _free_name(named, events.shown),
                "note": note,
                "at": _now(),
                "finding": record,
                "diagnosis": said,
                "content": content,
            }
            return _added(events, event)

    def rename(self, which: str | int | Kept, name: str) -> Kept:
        """ValueError for an empty name, or one that another entry has."""
        entry, name = self._entry(which), _name(name)
        with self._store.opened(write=True) as events:
            if any(other.name == name and other.key != entry.key for other in events.shown):
                raise ValueError(f"name should be free. Found another entry named {name!r}.")
            return _added(events, {"event": "rename", "key": entry.key, "name": name})

    def annotate(self, which: str | int | Kept, note: str) -> Kept:
        """Another note; the earlier one stays in the file."""
        event = {"event": "note", "key": self._entry(which).key, "note": _text("note", note)}
        with self._store.opened(write=True) as events:
            return _added(events, event)

    def move(self, which: str | int | Kept, place: int) -> Kept:
        """To this place, counted from 0; a place beyond the end is the end."""
        entry = self._entry(which)
        if not isinstance(place, int) or place < 0:
            raise ValueError(f"place should be a number from 0. Found place = {place!r}.")
        with self._store.opened(write=True) as events:
            rest = [other.key for other in events.shown if other.key != entry.key]
            before = rest[place] if place < len(rest) else None
            return _added(events, {"event": "move", "key": entry.key, "before": before})

    def remove(self, which: str | int | Kept) -> None:
        """Take an entry out of the list and the export. It stays in the file: ``removed`` shows it, ``restore`` brings it back."""
        event = {"event": "remove", "key": self._entry(which).key, "at": _now()}
        with self._store.opened(write=True) as events:
            events.add(event)

    def restore(self, key: str) -> Kept:
        """Bring a removed entry back, by its key. ValueError if no removed entry has it."""
        removed = [entry.key for entry in self._removed]
        if key not in removed:
            raise ValueError(
                f"key should be that of a removed entry. Found {key!r}; removed are {', '.join(removed) or 'none'}."
            )
        with self._store.opened(write=True) as events:
            return _added(events, {"event": "restore", "key": key, "at": _now()})

    @property
    def removed(self) -> pd.DataFrame:
        """What was removed, in the form of ``list``."""
        return _frame(self._removed)

    def list(self) -> pd.DataFrame:
        """One row an entry, in order: key (index), name, verdict, question, note, kept."""
        return _frame(self.entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries without their evidence, in order."""
        with self._store.opened() as events:
            return events.shown

    @property
    def _removed(self) -> Sequence[Entry]:
        with self._store.opened() as events:
            return events.removed

    def compare(self, first: str | int | Kept, second: str | int | Kept) -> Any:
        """Two entries side by side, with a table of what differs; see ``Comparison``."""
        from kit.journal.comparison import compare

        return compare(self[first], self[second])

    def view(self, *findings: Any) -> Any:
        """The journal as a widget: list, rename, note, order, remove, compare, export.

        findings: what "Keep this" offers, as it stands when pressed: findings, and live panels with what they have shown.
        """
        from kit.journal.widget import journal_view

        return journal_view(self, findings)

    def to_html(self, title: str = "") -> str:
        """All entries on one page. ValueError if there is none."""
        kept = list(self)
        if not kept:
            raise ValueError(f"{self.path.name} should hold a finding to show. Found none; keep one first.")
        page = render_page([entry.shown for entry in kept], title or "Findings of the investigation")
        for panel in (panel for entry in kept for panel in entry.finding.panels):
            panel.close()  # made for this page only; an open widget stays in the kernel's memory
        return page

    def write_html(self, path: str | os.PathLike, title: str = "") -> Written:
        """Write ``to_html``: the file is complete or not there. ValueError for a path that does not end in .html."""
        return write_page(path, lambda: self.to_html(title))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Kept]:
        with self._store.opened() as events:
            return iter([_kept(events, entry.key) for entry in events.shown])

    def __getitem__(self, which: str | int | Kept) -> Kept:
        with self._store.opened() as events:
            return _kept(events, _found(which, events.shown).key)

    def __repr__(self) -> str:
        return f"Journal(path={self.path.name!r}, findings={len(self)})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{place}</td><th scope='row'><bdi>{html.escape(entry.name)}</bdi></th><td>{html.escape(entry.verdict)}</td>"
            f"<td><bdi>{html.escape(entry.note)}</bdi></td><td>{html.escape(entry.kept[:16].replace('T', ' '))}</td></tr>"
            for place, entry in enumerate(self.entries)
        )
        if not rows:
            return f"<p>{html.escape(self.path.name)} holds no findings yet.</p>"
        head = "".join(f"<th scope='col'>{text}</th>" for text in ("", "name", "claim", "note", "kept"))
        return f"<table><caption>Kept findings</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _entry(self, which: str | int | Kept) -> Entry:
        return _found(which, self.entries)


def _found(which: str | int | Kept, shown: Sequence[Entry]) -> Entry:
    asked = which.key if isinstance(which, Kept) else which
    if isinstance(asked, int) and not isinstance(asked, bool) and -len(shown) <= asked < len(shown):
        return shown[asked]
    found = [entry for entry in shown if asked == entry.key] or [entry for entry in shown if asked == entry.name]
    if len(found) == 1:
        return found[0]
    known = "; ".join(f"{entry.key} {entry.name!r}" for entry in (found or shown)) or "none"
    raise LookupError(f"entry should be known by key, name or place. Found {asked!r}; there are: {known}.")


def _free_name(name: str, shown: Sequence[Entry]) -> str:
    taken = {entry.name for entry in shown}
    tries = (name if count == 1 else f"{name} ({count})" for count in range(1, len(taken) + 2))
    return next(attempt for attempt in tries if attempt not in taken)


def _added(events: Events, event: dict[str, Any]) -> Kept:
    events.add(event)
    return _kept(events, event["key"])


def _kept(events: Events, key: str) -> Kept:
    entry = events.entries[key]
    content = events.content(entry)
    return Kept(entry.key, entry.name, entry.note, entry.kept, content["finding"], content["diagnosis"])


def _frame(entries: Sequence[Entry]) -> pd.DataFrame:
    columns = ("name", "verdict", "question", "note", "kept")
    rows = [[getattr(entry, column) for column in columns] for entry in entries]
    index = pd.Index([entry.key for entry in entries], name="key", dtype=object)
    return pd.DataFrame(rows, columns=list(columns), index=index, dtype=object)


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} should be a text. Found a {type(value).__name__}.")
    return value


def _name(name: Any) -> str:
    cleaned = " ".join(_text("name", name).split())
    if not cleaned or len(cleaned) > _LONGEST_NAME:
        raise ValueError(f"name should have 1 to {_LONGEST_NAME} letters. Found {len(cleaned)}.")
    return cleaned


def _said(diagnosis: Any) -> str:
    if diagnosis is None:
        return ""
    explain = getattr(diagnosis, "explain", None)
    return _text("diagnosis", str(explain()) if callable(explain) else diagnosis)


def _digest(record: Any, said: str) -> str:
    return hashlib.sha256(json.dumps([record, said], sort_keys=True, allow_nan=False).encode()).hexdigest()


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
