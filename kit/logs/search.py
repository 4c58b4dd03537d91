"""Which file of a folder is the log of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.logs.event_files import is_event_file, run_of
from kit.logs.mlflow_runs import FOLDER

_MOST_ENTRIES, _DEEPEST = 20_000, 8
_LEFT_OUT = frozenset({"node_modules", "__pycache__", "site-packages", "artifacts", "wandb-media"})
_BY_NAME = {"trainer_state.json": 0, "metrics.csv": 1, "training.log": 3}
_BY_ENDING = {".jsonl": 4, ".ndjson": 4, ".csv": 5, ".tsv": 5, ".log": 6, ".out": 6, ".txt": 7, ".err": 8}
_EVENTS, _RUN = 2, 3


@dataclass(frozen=True, order=True)
class Candidate:
    """A file, or the folder of a run, that may be read; the best kind first, then the newest."""

    rank: int
    age: float
    path: Path


def candidates(folder: Path) -> list[Candidate]:
    """What looks like a log in the folder, the best first."""
    found: dict[Path, Candidate] = {}
    for path, stat in _walked(folder):
        rank, kept = _kind(path)
        if rank is None or not stat.st_size:
            continue
        if kept not in found or -stat.st_mtime < found[kept].age:
            found[kept] = Candidate(rank, -stat.st_mtime, kept)
    return sorted(found.values())


def _kind(path: Path) -> tuple[int | None, Path]:
    """How well it suits, and what is read for it."""
    if is_event_file(path):
        return _EVENTS, run_of(path)
    if path.name == "meta.yaml" and (path.parent / FOLDER).is_dir():
        return _RUN, path.parent
    return _BY_NAME.get(path.name, _BY_ENDING.get(path.suffix.lower())), path


def _walked(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Files, no link followed; hidden folders and those of other things are left out."""
    seen, todo = 0, [(folder, 0)]
    while todo:
        at, depth = todo.pop(0)
        try:
            entries = sorted(os.scandir(at), key=lambda entry: entry.name)
        except OSError:
            continue  # a folder that may not be read is none of a log
        for entry in entries:
            seen += 1
            if seen > _MOST_ENTRIES:
                return
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST and not entry.name.startswith(".") and entry.name not in _LEFT_OUT:
                    todo.append((Path(entry.path), depth + 1))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
