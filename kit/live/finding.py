"""What a live training has shown, as a finding that can be kept."""

from __future__ import annotations

import math

import pandas as pd

from kit.journal.naming import some_of
from kit.live.state import State
from kit.panel import Panel
from kit.plots import Evidence
from kit.report import Finding, Table


def finding_of(training: State, curves: Evidence) -> Finding:
    """Setting, curves, the last probed step and the diagnosis so far. Its panel is new: close it when it was kept."""
    session = training.session
    titles = {offer.key: offer.title for offer in session.faults}
    start = training.weights_at_start
    faults = "; ".join(titles.get(key, key) for key in session.active)
    rows = [("batches trained", str(session.step)), ("epoch", str(training.epoch)), ("training", training.state)]
    rows.append(("faults", faults or "none"))
    rows += [
        (
            name,
            f"{value:.4g}"
            if value == start.get(name)
            else f"{value:.4g} (at the start {start.get(name, math.nan):.4g})",
        )
        for name, value in session.weights.items()
    ]
    table = Table(pd.DataFrame(rows, columns=["setting", "in force"]), "What was trained, and how?")
    return Finding(
        question=training.title,
        claim="What a live training shows under the setting below.",
        verdict="open",
        answer=training.line or "Nothing was trained yet, so nothing was weighed.",
        evidence=[curves, table, *_panel(training)],
        remains="One run, changed by hand while it ran: read each curve from its last mark on.",
    )


def _panel(training: State) -> list[Panel]:
    if training.report is None:
        return []
    asked = {name: value for name, value in training.setting.items() if math.isfinite(value) and value >= 0}
    upper = max([training.upper, *asked.values()])
    panel = Panel(training.report, upper=upper, title=f"What if, at batch {training.probed_at}?")
    panel.weights = {name: asked.get(name, value) for name, value in panel.weights.items()}
    return [panel]


def name_of(training: State) -> str:
    """What was set by hand (a schedule moves weights too) and how far it came: "lam_aux 0 + NaN gradients, 50 batches"."""
    titles = {offer.key: offer.title for offer in training.session.faults}
    start = training.weights_at_start
    parts = [f"{name} {value:.4g}" for name, value in training.session.asked.items() if value != start.get(name)]
    parts += [titles.get(key, key).split(",")[0] for key in training.session.active]
    step = training.session.step
    return f"{some_of(parts) or 'nothing changed'}, {step} batch{'' if step == 1 else 'es'}"
