"""One record, one line that checks itself: magic and version, length, sha256, JSON.

    kit.journal/1 000000000042 <64 hex digits> {"event": ...}

A line is good if its JSON has this many bytes and this digest. A write that was cut off anywhere leaves a line that is
not, so the records before it are never in doubt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAGIC, VERSION = b"kit.journal/", 1
_HEAD = re.compile(rb"kit\.journal/(\d{1,9}) (\d{12}) ([0-9a-f]{64}) ")
_START = re.compile(rb"kit\.journal/(\d{1,9}) ")


class JournalFormatError(ValueError):
    """The file is no journal, or one that a newer kit writes."""


@dataclass(frozen=True)
class Line:
    """Where a line stands and what it holds; record None: damaged. Bytes."""

    start: int
    end: int
    record: dict[str, Any] | None


def line_of(record: Mapping[str, Any]) -> bytes:
    """The record as one line. ValueError for numbers that JSON has no word for, TypeError for other objects."""
    body = json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    digest = hashlib.sha256(body).hexdigest().encode("ascii")
    return b"%b%d %012d %b %b\n" % (MAGIC, VERSION, len(body), digest, body)


def read_line(text: bytes, name: str) -> dict[str, Any] | None:
    """The record of one line with its end; None if it is damaged.

    Raises:
        JournalFormatError: the line is whole, of a version that this kit does not know.
    """
    start = _START.match(text)
    if start and int(start[1]) > VERSION and text.endswith(b"\n"):
        raise JournalFormatError(
            f"{name} should be a journal of version {VERSION}. Found a record of version {int(start[1])}; use a newer kit."
        )
    head = _HEAD.match(text)
    if head is None or int(head[1]) != VERSION or not text.endswith(b"\n"):
        return None
    body = text[head.end() : -1]
    if len(body) != int(head[2]) or hashlib.sha256(body).hexdigest().encode("ascii") != head[3]:
        return None
    record = json.loads(body)
    return record if isinstance(record, dict) else None


def scan(data: bytes, offset: int, name: str) -> Iterator[Line]:
    """The lines of these bytes, which stand ``offset`` bytes into the file; the last may lack its end."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield Line(offset + start, offset + end, read_line(data[start:end], name))
        start = end


def check_origin(head: bytes, name: str) -> None:
    """Raises JournalFormatError unless the first bytes of a file are those of a journal, be they cut off."""
    if not (head.startswith(MAGIC) or MAGIC.startswith(head)):
        raise JournalFormatError(
            f"{name} should be a journal, each line starting with {MAGIC.decode()}. "
            f"Found a file that starts with {head[:24]!r}; give another path."
        )
