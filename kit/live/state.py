"""Where a live training stands, and what its views get of it, as plain values for JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from kit.live.curves import Curves, finite
from kit.live.session import Session
from kit.panel.data import ShownProbe, panel_data


class State:
    """What is shown of a training. ``Training`` changes it."""

    title: str
    session: Session
    curves: Curves
    state: str  # "ready", "running", "paused", "finished" or "retired"
    status: str  # a sentence about the last act
    line: str  # the diagnosis so far
    error: BaseException | None
    weights_at_start: dict[str, float]
    upper: float  # right end of the sliders
    report: ShownProbe | None  # of the last probed step
    probed_at: int  # its number
    seq: str | int  # of the last setting that a view sent
    epoch: int

    @property
    def setting(self) -> dict[str, float]:
        """Of the sliders: what was set by hand, and what is in force for the rest."""
        return {**self.session.weights, **self.session.asked}

    def everything(self) -> dict[str, Any]:
        """What a view that has just been opened needs."""
        self.curves.take()
        return {
            **self.changed(("marks", "probe")),
            "type": "all",
            "rows": [
                {"weight": w, "term": term, "start": self.weights_at_start.get(w, 0.0)}
                for w, term in self.session.terms.items()
            ],
            "upper": self.upper,
            "offers": [asdict(offer) for offer in self.session.faults],
            "curves": self.curves.everything(),
        }

    def changed(self, news: Collection[str]) -> dict[str, Any]:
        """What changes while it runs; marks and the probed step only if they are news."""
        message = {
            "type": "more",
            "curves": self.curves.take(),
            "state": self.state,
            "status": self.status,
            "failed": self.error is not None,
            "line": self.line,
            "seq": self.seq,
            "step": self.session.step,
            "epoch": self.epoch,
            "planned": self.session.planned,
            "weights": _plain(self.setting),
            "in_force": _plain(self.session.weights),
            "active": list(self.session.active),
        }
        if "marks" in news:
            message["marks"] = [asdict(mark) for mark in self.curves.marks]
        if "probe" in news:
            seen = self.report
            message["probe"] = (
                None if seen is None else {**panel_data(seen, (), self.upper, balanced=False), "step": self.probed_at}
            )
        return message


def _plain(weights: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite(float(value)) for name, value in weights.items()}
