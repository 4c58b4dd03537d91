"""Who runs what when several processes run the tests (``pytest -n 2``, as ``make test`` does), and in which order."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# What takes longest, on one core, starts first, so that none of it is left over at the end for one worker alone.
# A file is one piece: its tests share fixtures. Tests that share nothing are named with "::", and each is a piece of its own.
SLOW = (
    "tests/test_notebooks.py::test_a_fresh_kernel_gives_the_same_evidence",
    "tests/studies/test_command_line.py",
    "tests/browser/test_lab.py",
    "tests/browser/test_live.py",
    "tests/live/test_system_session.py",
    "tests/bench/test_programs.py",
    "tests/training/test_overfit.py",
)


def piece(nodeid: str) -> str:
    """What one worker runs as a whole: the file, for the sake of its fixtures, or one test that shares nothing."""
    file, name = nodeid.split("::", 1)
    return nodeid if f"{file}::{name.split('[')[0]}" in SLOW else file


def rank(nodeid: str) -> int:
    """Place in the order of the start; what is not slow comes last, in the order it was collected."""
    names = piece(nodeid).split("[")[0]
    return SLOW.index(names) if names in SLOW else len(SLOW)


class Pieces(LoadScopeScheduling):
    """Hands out one piece after the other, in the order of the collection.

    ``--dist loadgroup`` could do the same, but writes the group behind the name of every test, and such a name can no longer be
    pasted behind ``pytest``. The one private name overridden here is what the file and group schedulers of xdist override too.
    """

    def __init__(self, config, log=None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # else the pieces with most tests come first

    def _split_scope(self, nodeid: str) -> str:
        return piece(nodeid)
