"""A process that keeps and exports findings in a loop until it is killed; every finished act is said on a pipe.

`python -m tests.journal._keeper FOLDER SEED DEATHS`: starts such a process DEATHS times, kills each with SIGKILL at a
random moment, and prints as JSON what each one had finished. They are forked from this one process, which has imported
everything already, so a death costs milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
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


def one_death(folder: Path, life: int, words: int, after: float) -> list[str]:
    """What the process had finished when it was killed, `after` seconds from its so many-th word."""
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
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "it failed by itself"
        return "".join([*heard, pipe.read()]).splitlines()


def main(folder: Path, seed: int, deaths: int) -> None:
    moments = random.Random(seed)
    journal = Journal(folder)
    journal.keep(small(), name="before all deaths").write(folder / "page.html")  # loads what is loaded late
    dying = [(moments.randrange(4), moments.uniform(0.0, 0.03)) for _ in range(deaths)]
    print(json.dumps([one_death(folder, life, *moment) for life, moment in enumerate(dying)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
