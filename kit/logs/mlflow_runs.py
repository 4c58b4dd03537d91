"""A run of MLflow's file store: a folder `metrics` with one file a metric, lines of "timestamp value step"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.logs.text_files import lines_of, opened

FOLDER = "metrics"


def metrics_folder(path: Path) -> Path | None:
    """Of a run's folder, its folder `metrics` or a file in it; None for anything else."""
    if path.is_dir() and path.name != FOLDER:
        return path / FOLDER if (path / "meta.yaml").is_file() and (path / FOLDER).is_dir() else None
    return next((at for at in (path, *path.parents) if at.name == FOLDER and (at.parent / "meta.yaml").is_file()), None)


def rows_of_run(folder: Path, only: Path | None = None) -> Iterator[dict[str, Any]]:
    """Of every metric, one after the other, or of one file."""
    for path in sorted(file for file in folder.rglob("*") if file.is_file()) if only is None else [only]:
        if not path.stat().st_size:
            continue
        name = path.relative_to(folder).as_posix()
        with opened(path) as file:
            for line in lines_of(file):
                parts = line.split()
                if len(parts) >= 2:
                    yield {name: parts[1], "step": parts[2] if len(parts) > 2 else None}
