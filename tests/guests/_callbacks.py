"""What every test of a callback asks: nothing is left, the diagnosis was printed, the curves are in the files."""

from __future__ import annotations

from pathlib import Path

from kit.diagnosis import Diagnosis
from tests.recording._left import outside

BEFORE = outside()


def assert_nothing_left() -> None:
    assert outside() == BEFORE


def said_once(capsys, found: Diagnosis) -> bool:
    return capsys.readouterr().out.count(str(found)) == 1


def read_events(folder: Path) -> dict[str, dict[int, float]]:
    """Tag -> step -> value, by the reader of the package tensorboard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves: dict[str, dict[int, float]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            curves.setdefault(tag, {}).update({event.step: event.value for event in events.Scalars(tag)})
    return curves
