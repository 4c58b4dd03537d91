"""TensorBoard's event files, through the reader of the package `tensorboard`; TensorFlow is not needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.files import MOST_BYTES
from kit.recording.names import meaning

MARK = "events.out.tfevents"
_SCALARS, _TENSORS = 0, 2000  # all; as many of each tag as are kept


def is_event_file(path: Path) -> bool:
    return MARK in path.name


def run_of(file: Path) -> Path:
    """The folder of the run that an event file is of.

    Keras writes the folders `train` and `validation`, `add_scalars` one for each curve: their names say what the numbers are.
    """
    return file.parent.parent if meaning(file.parent.name) else file.parent


def event_folders(path: Path) -> list[tuple[Path, str]]:
    """The folders with event files of one run, or its one file, and what their names say of the split."""
    if path.is_file():
        return [(path, "")]
    folders = sorted({file.parent for pattern in (f"*{MARK}*", f"*/*{MARK}*") for file in path.glob(pattern)})
    parts = [(folder, f"{folder.name}/") for folder in folders if folder != path and meaning(folder.name)]
    return [*((folder, "") for folder in folders if folder == path), *parts]


def rows_of_events(places: list[tuple[Path, str]]) -> Iterator[dict[str, Any]]:
    """Every scalar, tag after tag.

    Raises:
        ImportError: the package is not installed; says how to get it. ValueError: too large, or no event can be read.
    """
    reader = _reader()
    found = False
    for place, prefix in places:
        files = [place] if place.is_file() else list(place.glob(f"*{MARK}*"))
        if sum(file.stat().st_size for file in files) > MOST_BYTES:
            raise ValueError(f"{place.name} should have at most {MOST_BYTES >> 20} MiB of events. Found more.")
        kept = {
            "scalars": _SCALARS,
            "tensors": _TENSORS,
            "histograms": 1,
            "images": 1,
            "audio": 1,
            "compressedHistograms": 1,
        }
        try:
            events = reader.EventAccumulator(str(place), size_guidance=kept)
            events.Reload()
        except Exception as error:
            raise ValueError(
                f"{place.name} should hold events of TensorBoard. Found a damaged file ({str(error)[:200]})."
            ) from error
        for tag in events.Tags()["scalars"]:
            found = True
            for event in events.Scalars(tag):
                yield {prefix + tag: float(event.value), "step": event.step}
        for tag in events.Tags()["tensors"]:
            if meaning(prefix + tag) is None:
                continue
            for event in events.Tensors(tag):
                value = _scalar(event.tensor_proto)
                if value is not None:
                    found = True
                    yield {prefix + tag: value, "step": event.step}
    if not found:
        raise ValueError(f"{places[0][0].name} should hold scalars of TensorBoard. Found none.")


def _reader() -> Any:
    try:
        return importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    except ImportError as error:
        raise ImportError(
            "Event files should be read with the package tensorboard. Found it is not installed; "
            "run: pip install 'zero-loss-kit[logs]'"
        ) from error


def _scalar(proto: Any) -> float | None:
    try:
        value = importlib.import_module("tensorboard.util.tensor_util").make_ndarray(proto)
    except (TypeError, ValueError):
        return None
    return float(value) if value.size == 1 and value.dtype.kind in "fiu" else None
