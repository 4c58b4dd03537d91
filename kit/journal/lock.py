"""One writer at a time, across processes. The operating system lets go of the lock when its holder dies."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 62  # Windows locks bytes, and nobody else could read them: lock one that no file has

    def _hold(file: BinaryIO, alone: bool) -> None:
        while True:
            file.seek(_FAR)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                time.sleep(0.02)

    def _let_go(file: BinaryIO) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _hold(file: BinaryIO, alone: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)

    def _let_go(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def locked(file: BinaryIO, *, alone: bool) -> Iterator[None]:
    """Hold the file while the block runs: alone to write, together with other readers to read."""
    _hold(file, alone)
    try:
        yield
    finally:
        _let_go(file)
