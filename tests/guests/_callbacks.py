"""What every test of a callback asks: nothing is left, the diagnosis was printed, the curves are in the files."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from kit.diagnosis import Diagnosis
from tests.recording._left import outside

BEFORE = outside()
SAMPLES, EPOCHS = 48, 4
X = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Sum(nn.Module):
    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        self.weight, self.calls, self.fails_at = weight, 0, 0

    def forward(self, out, target):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("a bad batch")
        fit = F.cross_entropy(out, target)
        size = out.square().mean()
        return fit + self.weight * size


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))


def word(found) -> str:
    print(found.explain())
    return found.verdict if found.top is None else found.top.key


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


def last_read(trace, name):
    """By epoch: the term's value in the last step that was read by the end of that epoch."""
    read = trace.terms[trace.terms["name"] == name].drop_duplicates("step", keep="last").set_index("step")["value"]
    return [read[read.index <= step].iloc[-1] for step in trace.epochs["turns"].cumsum()]
