"""What the views of a live panel are told, as plain values for JSON, and the words of its marks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kit.panel.data import panel_data
from kit.panel.live_curves import Mark

if TYPE_CHECKING:
    from kit.panel.live_session import Session
    from kit.panel.live_training import Training

_NAMED = 3  # weights that a mark names; of more it gives the number


def snapshot(panel: Training) -> dict[str, Any]:
    """Everything a view that has just been opened needs."""
    session = panel.session
    panel.curves.take()
    return {
        **state_of(panel, ("marks", "probe")),
        "type": "all",
        "rows": [
            {"weight": w, "term": term, "start": panel.weights_at_start.get(w, 0.0)}
            for w, term in session.terms.items()
        ],
        "upper": panel.upper,
        "offers": [asdict(offer) for offer in session.faults],
        "curves": panel.curves.everything(),
    }


def state_of(panel: Training, news: Collection[str]) -> dict[str, Any]:
    """What changes while it runs; marks and the probed step only if they are news."""
    session = panel.session
    message = {
        "type": "more",
        "curves": panel.curves.take(),
        "state": panel.state,
        "status": panel.status,
        "failed": panel.error is not None,
        "line": panel.line,
        "seq": panel.seq,
        "step": session.step,
        "epoch": panel.epoch,
        "planned": session.planned,
        "weights": _plain(panel.weights),
        "in_force": _plain(session.weights),
        "active": list(session.active),
    }
    if "marks" in news:
        message["marks"] = [asdict(mark) for mark in panel.curves.marks]
    if "probe" in news:
        seen = panel.report
        message["probe"] = None if seen is None else {**panel_data(seen, (), panel.upper), "step": panel.probed_at}
    return message


def _plain(weights: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in weights.items()}


def changed_weights(
    step: int, before: Mapping[str, float], after: Mapping[str, float], dragged_from: dict[str, float]
) -> tuple[Mark | None, bool]:
    """The mark of a change, and whether it continues the last one; `dragged_from` remembers where a drag began."""
    names = [name for name in after if after[name] != before.get(name)]
    if not names:
        return None, False
    goes_on = bool(dragged_from) and set(names) <= set(dragged_from)
    for name in names:
        dragged_from.setdefault(name, before.get(name, math.nan))
    said = [f"{name} {dragged_from[name]:.4g} \u2192 {after[name]:.4g}" for name in names[:_NAMED]]
    more = len(names) - _NAMED
    text = ", ".join(said) + (f" and {more} more" if more > 0 else "")
    return Mark(step, "weight", ", ".join(names), text), goes_on


def fault_marks(session: Session, before: Collection[str]) -> Iterator[Mark]:
    titles = {offer.key: offer.title for offer in session.faults}
    for key in before:
        if key not in session.active:
            yield Mark(session.step, "fault", key, f"fault removed: {titles[key]}")
    for key in session.active:
        if key not in before:
            yield Mark(session.step, "fault", key, f"fault: {titles[key]}")
