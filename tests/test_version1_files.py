"""A page, a trace and a probe that version 0.1 wrote are read as they were; the journal's file is in tests/journal/data."""

from __future__ import annotations

from pathlib import Path

import pytest

import kit
from kit.report import verify

FILES = Path(__file__).parent / "version1"


def test_a_trace_says_what_it_said():
    trace = kit.Trace.load(FILES / "trace.npz")
    assert trace.epochs["train_loss"].tolist() == [1.4454173644383748, 1.39521328608195, 1.3650918006896973]
    assert trace.epochs["steps"].tolist() == [3, 3, 3] and len(trace.steps) == 9
    assert kit.diagnose(trace).verdict == "healthy"


def test_a_probe_holds_its_numbers():
    seen = kit.ProbeReport.load(FILES / "probe.json")
    assert seen.names == ("fit", "size") and seen.weights.tolist() == [1.0, 0.1]
    assert seen.total == pytest.approx(1.3290468454360962, rel=1e-6)
    assert kit.whatif.total(seen, {"lam_size": 0.0}) == pytest.approx(seen.L[0])


def test_a_page_is_whole_and_its_panel_moves():
    (entry,) = verify(FILES / "page.html").findings
    finding = entry.finding
    assert finding.verdict == "refuted" and finding.question == "Is the size term too large?"
    (panel,) = finding.panels
    assert panel.weights == {"lam_fit": 1.0, "lam_size": 0.1}
    panel.weights = {"lam_size": 0.0}
    assert panel.weights["lam_size"] == 0.0
    assert kit.Finding.from_record(finding.to_record()).to_record() == finding.to_record()
