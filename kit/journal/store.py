"""The journal's file: records are appended and never changed; what a dead writer left half-done is put aside."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from kit.journal.lines import Line, check_origin, line_of, scan
from kit.journal.lock import locked


class JournalWarning(UserWarning):
    """Part of a journal's file could not be read; the rest is there."""


class Store:
    """Records in one file, shared by any number of processes.

    `refresh` reads what came since; `append` returns when the record is on disk. Memory holds no record: `read` fetches
    one again by its place.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._forget()

    def _forget(self) -> None:
        self._good = 0  # end of the last good line
        self._identity: tuple[int, int] | None = None
        self._warned: tuple[int, int] | None = None

    def refresh(self) -> tuple[bool, list[Line]]:
        """(read from the start again?, new good lines). A file that is not there is an empty journal.

        Raises:
            JournalFormatError: no journal, or a newer one. OSError: as the file system gives it.
        Warns:
            JournalWarning: a record that was never finished, or one that was damaged later.
        """
        try:
            with open(self.path, "rb") as file, locked(file, alone=False):
                return self._new_lines(file)
        except FileNotFoundError:
            anew = self._identity is not None
            self._forget()
            return anew, []

    def append(self, record: Mapping[str, Any]) -> tuple[bool, list[Line]]:
        """Write one record and wait until the disk has it. Returns what `refresh` would, the record last.

        A torn tail is moved to ``<name>.torn`` first. If the disk is full, the file is as before and OSError is raised.
        """
        text = line_of(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        # not "a+b": on a file that another process may cut, the place to write is decided under the lock
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as file, locked(file, alone=True):
            anew, lines = self._new_lines(file)
            self._cut_torn_tail(file)
            end = self._good
            try:
                file.seek(end)
                _write_all(file, text)
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)
                raise
            self._good = end + len(text)
        if new:
            _sync_folder(self.path.parent)
        return anew, [*lines, Line(end, self._good, dict(record))]

    def read(self, start: int, end: int) -> dict[str, Any]:
        """The record of a line seen before. ValueError if the file no longer holds it."""
        with open(self.path, "rb") as file:
            file.seek(start)
            found = list(scan(file.read(end - start), start, self.path.name))
        if len(found) != 1 or found[0].record is None:
            raise ValueError(
                f"{self.path.name} should still hold the record at byte {start}. Found other bytes; the file was changed."
            )
        return found[0].record

    def _new_lines(self, file: BinaryIO) -> tuple[bool, list[Line]]:
        state = os.fstat(file.fileno())
        identity = (state.st_dev, state.st_ino)
        anew = self._identity is not None and (identity != self._identity or state.st_size < self._good)
        if anew:
            self._forget()
        self._identity = identity
        if self._good == 0:
            file.seek(0)
            check_origin(file.read(64), self.path.name)
        file.seek(self._good)
        offset, lines = self._good, []
        damaged: list[Line] = []
        for line in scan(file.read(), offset, self.path.name):
            if line.record is None:
                damaged.append(line)
                continue
            if damaged:
                self._warn_of(damaged, f"holds {{size}} bytes at byte {damaged[0].start} that are no record")
                damaged = []
            lines.append(line)
            self._good = line.end
        if damaged:
            self._warn_of(damaged, "ends in {size} bytes of a record that was never finished")
        return anew, lines

    def _warn_of(self, damaged: list[Line], what: str) -> None:
        place = (damaged[0].start, damaged[-1].end)
        if place == self._warned:
            return
        self._warned = place
        said = what.format(size=place[1] - place[0])
        # the reader called some public method; how deep below it this is varies
        warnings.warn(f"{self.path.name} {said}. They are left out; the rest is here.", JournalWarning, stacklevel=2)

    def _cut_torn_tail(self, file: BinaryIO) -> None:
        file.seek(self._good)
        tail = file.read()
        if not tail:
            return
        with open(self.path.with_name(f"{self.path.name}.torn"), "ab") as aside:
            aside.write(tail.rstrip(b"\n") + b"\n")
            aside.flush()
            os.fsync(aside.fileno())
        file.truncate(self._good)


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _sync_folder(folder: Path) -> None:
    """The name of a new file is on disk only when its folder is; Windows has no such call and needs none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
