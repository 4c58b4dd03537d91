"""Running the fault bench: in parallel processes, resumable, one line of a file per run."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Self

import torch

from kit.diagnosis.scoring import BenchRun
from kit.hypotheses import ALL, Observed, all_checks
from tests.bench.foreign_loops import foreign_loop_trials
from tests.bench.own_loop import own_loop_trials
from tests.bench.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
# what decides the answers of a run; a change of it makes stored runs stale
_PARTS = ("recording", "hypotheses", "faults", "training", "loss", "covariance", "stepgraph", "model.py", "array.py")
_SOURCES = (*(f"kit/{name}" for name in _PARTS), "tests/bench")


def all_trials() -> Iterator[Trial]:
    """Our own loop and other people's loops, calibration and evaluation."""
    yield from own_loop_trials()
    yield from foreign_loop_trials()


def fingerprint() -> str:
    """Of the sources that decide the answers."""
    digest = hashlib.sha256(torch.__version__.encode())
    for name in _SOURCES:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def run_trial(trial: Trial) -> BenchRun:
    """Train, watch, ask every check."""
    torch.set_num_threads(1)
    observed = Observed.of(trial.record())
    said = {entry.key: entry(observed) for entry in all_checks(ALL)}
    answers = {key: answer.yes for key, answer in said.items() if answer.yes is not None}
    facts = {key: answer.part for key, answer in said.items() if answer.fact}
    return BenchRun(trial.style, trial.fault, trial.truth, trial.setting, trial.seed, trial.split, answers, facts)


def run_bench(
    trials: Iterable[Trial],
    *,
    store: str | os.PathLike | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[BenchRun]:
    """All runs, in the order of the trials.

    Args:
        trials: what to run.
        store: a file that gets each run as soon as it is there; runs already in it are not made again, unless the sources changed.
        processes: how many at once; the number of cores unless given. 1 runs in this process.
        progress: called with (done, all) after each.
    Raises:
        ValueError: two trials with the same id.
    """
    trials = list(trials)
    ids = [trial.id for trial in trials]
    twice = {name for name in ids if ids.count(name) > 1} if len(set(ids)) < len(ids) else set()
    if twice:
        raise ValueError(f"Every trial should have an id of its own. Found {', '.join(sorted(twice))} more than once.")
    known = {} if store is None else _stored(Path(store))
    done = {name: known[name] for name in ids if name in known}
    todo = [trial for trial in trials if trial.id not in done]
    progress(len(done), len(trials))
    with _Store(store) as keep:
        for run in _runs(todo, processes or os.cpu_count() or 1):
            done[run.id] = run
            keep.add(run)
            progress(len(done), len(trials))
    return [done[name] for name in ids]


def _runs(trials: Sequence[Trial], processes: int) -> Iterator[BenchRun]:
    if processes == 1 or len(trials) < 2:
        threads = torch.get_num_threads()
        try:
            yield from map(run_trial, trials)
        finally:
            torch.set_num_threads(threads)
        return
    # a fresh interpreter per process: a fork of a process that has used torch's threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(run_trial, trials, chunksize=4)


def _stored(path: Path) -> dict[str, BenchRun]:
    """Runs of these sources; a torn last line, and runs of other sources, are made again."""
    if not path.is_file():
        return {}
    runs = {}
    expected = fingerprint()
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(text)
        except json.JSONDecodeError:
            continue
        if record.pop("sources", None) == expected:
            run = BenchRun(**record)
            runs[run.id] = run
    return runs


class _Store:
    """Appends runs to a file, if there is one."""

    def __init__(self, path: str | os.PathLike | None) -> None:
        self.path = None if path is None else Path(path)
        self.sources = fingerprint() if path is not None else ""

    def __enter__(self) -> Self:
        self.file = None
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torn = self.path.is_file() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
            self.file = self.path.open("a", encoding="utf-8")
            if torn:
                self.file.write("\n")
        return self

    def __exit__(self, *error: object) -> None:
        if self.file is not None:
            self.file.close()

    def add(self, run: BenchRun) -> None:
        if self.file is not None:
            self.file.write(json.dumps({"sources": self.sources, **asdict(run)}) + "\n")
            self.file.flush()
