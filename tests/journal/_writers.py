"""`python -m tests.journal._writers FOLDER WRITERS COUNT`: so many processes keep so many findings each, at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kit.journal import Journal
from tests.journal._findings import small


def main(folder: Path, writers: int, count: int) -> int:
    wait, start = os.pipe()  # so that none is done before the last has begun
    children = []
    for who in range(writers):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(start)
                os.read(wait, 1)  # it ends when nobody can write any more: when the last has begun
                journal = Journal(folder)
                for number in range(count):
                    journal.keep(small(f"{who} {number}", evidence=["x" * 20_000]))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(start)
    return max(os.waitpid(child, 0)[1] for child in children)


if __name__ == "__main__":
    sys.exit(int(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])) != 0))
