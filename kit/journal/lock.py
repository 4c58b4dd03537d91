"""One writer at a time, across processes. The operating system lets go of the lock when its holder dies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_FAR = 1 << 62  # Windows locks bytes, and nobody else could read them: lock one that no file has


@contextlib.contextmanager
def locked(file: BinaryIO, *, alone: bool) -> Iterator[None]:
    """Hold the file while the block runs: alone to write, together with other readers to read."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
        return
    _wait_for_byte(file)
    try:
        yield
    finally:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _wait_for_byte(file: BinaryIO) -> None:
    while True:
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            return
        except OSError:
            time.sleep(0.02)
