"""What to call a finding that is kept without a name: by what was set, because that is what tells two apart."""

from __future__ import annotations

from collections.abc import Sequence

from kit.panel import Panel
from kit.panel.live_training import Training
from kit.report import Finding

_MOST = 3  # settings that a name spells out


def finding_name(finding: Finding) -> str:
    """The question, after what its panels are set to: "lam_cov 0: Is a zero loss weight the cause?"."""
    changed = _some([part for panel in finding.panels for part in _changed(panel)])
    return f"{changed}: {finding.question}" if changed else finding.question


def training_name(training: Training) -> str:
    """What was set by hand (a schedule moves weights too) and how far it came: "lam_aux 0 + NaN gradients, 50 batches"."""
    titles = {offer.key: offer.title for offer in training.session.faults}
    start = training.weights_at_start
    parts = [f"{name} {value:.4g}" for name, value in training.session.asked.items() if value != start.get(name)]
    parts += [titles.get(key, key).split(",")[0] for key in training.session.active]
    step = training.session.step
    return f"{_some(parts) or 'nothing changed'}, {step} batch{'' if step == 1 else 'es'}"


def _changed(panel: Panel) -> list[str]:
    report = panel.report
    probed = dict(zip(report.weight_names, report.weights, strict=True))
    state = [] if panel.case == panel.data["cases"][0]["title"] else [panel.case]
    if panel.weights and not any(panel.weights.values()) and any(probed[name] for name in panel.weights):
        return [*state, "all weights 0"]
    return [*state, *(f"{name} {value:.4g}" for name, value in panel.weights.items() if value != probed[name])]


def _some(parts: Sequence[str]) -> str:
    parts = list(dict.fromkeys(parts))
    more = len(parts) - _MOST
    return " + ".join(parts[:_MOST]) + (f" + {more} more" if more > 0 else "")
