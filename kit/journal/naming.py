"""What to call a finding that is kept without a name: by what was set, because that is what tells two apart."""

from __future__ import annotations

from collections.abc import Sequence

from kit.panel import Panel
from kit.report import Finding

_MOST = 3  # settings that a name spells out


def finding_name(finding: Finding) -> str:
    """The question, after what its panels are set to: "lam_cov 0: Is a zero loss weight the cause?"."""
    changed = some_of([part for panel in finding.panels for part in _changed(panel)])
    return f"{changed}: {finding.question}" if changed else finding.question


def _changed(panel: Panel) -> list[str]:
    report = panel.report
    probed = dict(zip(report.weight_names, report.weights, strict=True))
    state = [] if panel.case == panel.data["cases"][0]["title"] else [panel.case]
    if panel.weights and not any(panel.weights.values()) and any(probed[name] for name in panel.weights):
        return [*state, "all weights 0"]
    return [*state, *(f"{name} {value:.4g}" for name, value in panel.weights.items() if value != probed[name])]


def some_of(parts: Sequence[str]) -> str:
    """The first few of the parts, and how many more."""
    parts = list(dict.fromkeys(parts))
    more = len(parts) - _MOST
    return " + ".join(parts[:_MOST]) + (f" + {more} more" if more > 0 else "")
