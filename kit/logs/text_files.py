"""Lines of a file that may hold anything, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_LOOK, _LINE = 8192, 1 << 20
MOST_TEXT = 4 << 30  # it is streamed; a larger file is no log that a person reads
_WIDE = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_STEERING = bytes({*range(32)} - {*b"\t\n\r\x08\x0c\x1b"})
_MOST_STRANGE = 0.02  # share of control characters, or of what is no UTF-8, in a text


def head_of(path: str | os.PathLike) -> bytes:
    """The first 8 KiB."""
    with open(path, "rb") as file:
        return file.read(_LOOK)


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[TextIO]:
    """The file as text: UTF-8, or UTF-16 where its mark says so (what a Windows shell writes).

    Raises:
        ValueError: empty, too large, or no text; names the file. OSError: it cannot be read.
    """
    path = Path(path)
    head, size = head_of(path), path.stat().st_size
    if not head.strip():
        raise ValueError(f"{path.name} should be a log with losses. Found an empty file.")
    if size > MOST_TEXT:
        raise ValueError(f"{path.name} should have at most {MOST_TEXT >> 30} GiB. Found more.")
    encoding = next((name for mark, name in _WIDE if head.startswith(mark)), "utf-8-sig")
    if encoding != "utf-16" and _is_binary(head):
        raise ValueError(f"{path.name} should be a log as text in UTF-8. Found a binary file or another encoding.")
    with open(path, encoding=encoding, errors="replace", newline="") as file:
        yield file


def _is_binary(head: bytes) -> bool:
    if b"\0" in head:
        return True
    strange = sum(head.count(byte) for byte in _STEERING) + head.decode("utf-8", "replace")[:-1].count("\ufffd")
    return strange > _MOST_STRANGE * len(head)


def lines_of(file: TextIO) -> Iterator[str]:
    """Lines; a longer one than 1 MiB comes in parts."""
    while line := file.readline(_LINE):
        yield line
