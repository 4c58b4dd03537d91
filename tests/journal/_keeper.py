"""A process that keeps and exports findings in a loop until it is killed; every finished act is said on a pipe.

`python -m tests.journal._keeper FOLDER SEED DEATHS`: starts such a process DEATHS times, kills each with SIGKILL in the
middle of its writing, and prints as JSON what each one had finished. They are forked from this one process, which has
imported everything already, so a death costs milliseconds. A moment is not a time but a random number of changes on the
disk, so that as many fall into the writing on any machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from pathlib import Path

from kit.journal import Journal
from tests.journal._findings import small

# without a panel, whose still picture takes longer to draw than all the rest: more moments fall into the writing
FINDING = small(evidence=[item for item in small().evidence if not hasattr(item, "data")])


def keep_and_export(folder: Path, life: int, said: int) -> None:
    """Runs until killed. What is finished is one line in the pipe; a name, or "page" for an export."""
    journal, number = Journal(folder), 0
    while True:
        kept = journal.keep(FINDING, note="n" * 5000, name=f"life {life} finding {number}")
        os.write(said, f"{kept.name}\n".encode())
        if number % 3 == 1:
            journal.rename(kept, f"{kept.name} renamed")
            os.write(said, f"{kept.name} renamed\n".encode())
        if number % 3 == 0:
            kept.write(folder / "page.html")
            os.write(said, b"page\n")
        number += 1


def on_disk(folder: Path) -> list[tuple[str, int, int, int]]:
    """What a write changes: the names, and of each its file, size and time."""
    seen = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                now = entry.stat()
                seen.append((entry.name, now.st_ino, now.st_size, now.st_mtime_ns))
    return sorted(seen)


def one_death(folder: Path, life: int, words: int, changes: int) -> list[str]:
    """What the process had finished when it was killed, so many changes on the disk after its so many-th word."""
    hear, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(hear)
            keep_and_export(folder, life, said)
        finally:
            os._exit(1)
    os.close(said)
    with os.fdopen(hear) as pipe:
        heard = [pipe.readline() for _ in range(words)]
        before = on_disk(folder)
        while changes:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it failed by itself"
            if (now := on_disk(folder)) != before:
                before, changes = now, changes - 1
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "it failed by itself"
        page = (folder / "page.html").read_text(encoding="utf-8")
        assert page.rstrip().endswith("</html>"), "the page was cut off"
        return "".join([*heard, pipe.read()]).splitlines()


def main(folder: Path, seed: int, deaths: int) -> None:
    moments = random.Random(seed)
    journal = Journal(folder)
    journal.keep(small(), name="before all deaths").write(folder / "page.html")  # loads what is loaded late
    dying = [(moments.randrange(4), moments.randrange(8)) for _ in range(deaths)]
    print(json.dumps([one_death(folder, life, *moment) for life, moment in enumerate(dying)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
