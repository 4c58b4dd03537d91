"""kill -9 at 50 random moments while findings are kept and exported."""

from __future__ import annotations

import json
import os

import pytest

from kit.journal import Journal
from kit.report import verify
from tests.journal._findings import run_module

DEATHS = 50

pytestmark = pytest.mark.filterwarnings("error")  # nothing is damaged by a death


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forked")
def test_killed_at_fifty_moments_nothing_acknowledged_is_lost(tmp_path):
    lives = json.loads(run_module("tests.journal._keeper", tmp_path, 11, DEATHS))
    assert len(lives) == DEATHS and any("page" in life for life in lives), (
        "some lived long enough to keep and to export"
    )

    journal = Journal(tmp_path)
    names = list(journal.list()["name"])
    acknowledged = [line for life in lives for line in life if line != "page"]
    for said in ["before all deaths", *acknowledged]:
        assert said in names or f"{said} renamed" in names
    assert len(names) == len(set(names))
    journal[0].finding.panels[0].weights = {"lam_cov": 0.0}
    assert journal[-1].finding.fix == "Count the steps."
    journal.keep(journal[0].finding, name="after all deaths")
    assert list(Journal(tmp_path).list()["name"]) == [*names, "after all deaths"]

    page = verify(tmp_path / "page.html")  # whatever was written last, it is whole
    assert page.findings[0].name.removesuffix(" renamed") in acknowledged + names
    left = {entry.name for entry in tmp_path.iterdir()} - {"journal.db", "page.html"}
    assert all(name.startswith(".page.html.") and name.endswith(".tmp") for name in left), left
