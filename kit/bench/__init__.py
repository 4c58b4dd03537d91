"""The fault bench: put a known cause in, train, diagnose, count."""

from __future__ import annotations

from collections.abc import Iterator

from kit.bench.ours import our_trials
from kit.bench.running import Line, run_bench
from kit.bench.scoring import Score, count, from_csv, score, to_csv
from kit.bench.strangers import stranger_trials
from kit.bench.trial import Trial
from kit.files import shipped

RUNS_FILE = "bench_runs.csv"
COMMAND = "python -m kit bench --write"


def all_trials() -> Iterator[Trial]:
    """Our own loop and strangers' loops, calibration and evaluation."""
    yield from our_trials()
    yield from stranger_trials()


def shipped_runs() -> list[Line]:
    """The recorded bench of ``data/``: every run with its answers."""
    return from_csv(shipped(RUNS_FILE, COMMAND).read_text(encoding="utf-8"))


__all__ = [
    "COMMAND",
    "RUNS_FILE",
    "Line",
    "Score",
    "Trial",
    "all_trials",
    "count",
    "from_csv",
    "our_trials",
    "run_bench",
    "score",
    "shipped_runs",
    "stranger_trials",
    "to_csv",
]
