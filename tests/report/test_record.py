"""A finding as JSON and back: nothing is lost, nothing foreign is taken for one."""

from __future__ import annotations

import copy
import datetime
import json

import numpy as np
import pandas as pd
import pytest

import kit
from kit.panel import Preset
from kit.plots import evidence, new_axes
from kit.report import Finding
from kit.report.pieces import frame_from_record, frame_record
from kit.report.tables import render_table
from tests.panel._panel_cases import HOSTILE, WEIGHT_NAMES, WEIGHTS, make_report
from tests.report.test_report import finding

FRAMES = {
    "kinds": pd.DataFrame({"n": [1, 2], "x": [0.1, float("nan")], "ok": [True, False], "text": ["a", "nan"]}),
    "infinite": pd.DataFrame({"x": [float("inf"), -float("inf")]}),
    "named index": pd.DataFrame({"x": [1.5]}, index=pd.Index(["row"], name="which")),
    "unnamed index": pd.DataFrame({"x": [1.5, 2.5]}, index=["a", "b"]),
    "mixed": pd.DataFrame({"x": ["-", 1, 2.5, None, True]}, dtype=object),
    "same names": pd.DataFrame([[1, "a"]], columns=["x", "x"]),
    "single precision": pd.DataFrame({"x": np.array([0.1], np.float32), "n": np.array([3], np.int32)}),
    "no rows": pd.DataFrame({"x": np.array([], np.float64)}),
    "nothing": pd.DataFrame(),
    "hostile": pd.DataFrame({name: [name] for name in HOSTILE}),
}


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("name", FRAMES)
def test_a_table_comes_back_as_it_is_shown(name):
    frame = FRAMES[name]
    back = frame_from_record(through_json(frame_record(frame)))
    pd.testing.assert_frame_equal(back, frame, check_dtype=True, check_index_type=False, check_column_type=False)
    assert render_table(kit.report.Table(back)) == render_table(kit.report.Table(frame))


def test_what_json_has_no_word_for_is_the_text_that_was_shown():
    frame = pd.DataFrame({"when": [datetime.date(2026, 1, 2)], "pair": [(1, 2.5)]}, dtype=object)
    back = frame_from_record(through_json(frame_record(frame)))
    assert back["when"][0] == "2026-01-02" and back["pair"][0] == (1, 2.5)


def test_a_finding_comes_back_whole_and_its_page_is_the_same(monkeypatch):
    presets = [Preset("late", "Late", {"lam_aux": 0.0}, "H", case="b", what="w")]
    panel = kit.Panel({"a": make_report(1), "b": make_report(2, broken=(3,))}, presets=presets, upper=3.0, title="t")
    panel.case, panel.weights, panel.note = "b", {"lam_cov": 2.5}, "n"
    drawn = evidence(new_axes()[0], "x" * 50, "c", {"epoch": [1, 2], "loss": [0.1, float("nan")]})
    pieces = (
        panel,
        drawn,
        kit.report.Table(FRAMES["kinds"], "cap", "ok"),
        kit.report.PanelSetting("b", {"lam_K": 0.5}),
        "text",
    )
    answer = kit.report.Answer("a\nb", [("steps", "0 of 4")], "do", "code\n  indented", "said", "Before")
    before = finding(evidence=pieces, sure="s", why="w", seed=None, summary=answer)
    after = Finding.from_record(through_json(before.to_record()))
    assert through_json(after.to_record()) == through_json(before.to_record())
    assert after.summary == answer and after.evidence[3] == pieces[3] and after.evidence[2].answer == "ok"
    again = after.panels[0]
    assert again.data == panel.data and again.weights == panel.weights and again.case == "b" and again.note == "n"
    again.weights = {"lam_K": 0.0}
    panel.weights = {"lam_K": 0.0}
    assert kit.whatif.grad_norm(again.report, again.weights) is not None
    assert again.still_html() == panel.still_html(), "the figure and the table of the setting are the same"


def test_a_panel_with_a_negative_weight_comes_back():
    panel = kit.Panel(make_report(1, weights=(*WEIGHTS[:6], -0.1), adjustable=[True] * 5 + [False, True]))
    again = kit.Panel.from_record(through_json(panel.to_record()))
    assert again.data == panel.data and tuple(again.weights) == WEIGHT_NAMES[:5]
    assert kit.whatif.total(again.report, again.weights) == kit.whatif.total(panel.report, panel.weights)


def test_a_finding_of_an_older_kit_comes_back():
    """Records of version 0.1 have no summary, and its tables no answer column."""
    record = through_json(finding().to_record())
    del record["summary"], record["evidence"][1]["answer"]
    after = Finding.from_record(record)
    assert after.summary is None and after.evidence[1].answer == ""
    assert through_json(after.to_record()) == through_json(finding().to_record())


def damaged(change):
    record = copy.deepcopy(through_json(finding().to_record()))
    change(record)
    return record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(format="other"), "record should be a saved kit.finding.*Found format = 'other'"),
        (lambda r: r.update(version=2), "version 1. Found version = 2; update the kit to read it"),
        (lambda r: r.pop("answer"), "every part of a finding. Found KeyError\\('answer'\\)"),
        (lambda r: r.update(answer=3), "answer should be a text. Found a int"),
        (lambda r: r.update(verdict="sure"), "verdict should be one of"),
        (lambda r: r["evidence"][0].update(png="AAAA"), "png should be a PNG picture"),
        (lambda r: r["evidence"][0].update(png="*"), "png should be base64"),
        (lambda r: r["evidence"][0].update(kind="film"), "Found kind = 'film'"),
        (lambda r: r["evidence"][1]["frame"]["data"].append([1]), "rows of a table should have 2 cells"),
        (lambda r: r["evidence"][1]["frame"]["data"][0].__setitem__(0, [1]), "cells should be numbers"),
        (lambda r: r["evidence"][1].update(answer="nobody"), "answer should be the name of one column"),
        (lambda r: r.update(summary={"wrong": "x"}), "every part of a finding. Found KeyError"),
        (lambda r: r.update(summary=[1]), "every part of a finding. Found TypeError"),
        (lambda r: r["evidence"][2].pop("case"), "record should be a panel's record. Found no case"),
        (lambda r: r["evidence"][2]["data"].update(format="x"), "data should be a saved kit.panel"),
        (lambda r: r["evidence"][2]["data"].update(version=9), "data should have version 1. Found version = 9"),
        (lambda r: r["evidence"][2]["data"]["cases"][0].pop("G"), "data should hold names and cases"),
        (lambda r: r["evidence"][2]["data"].update(presets=[{}]), "data should hold the presets"),
        (lambda r: r["evidence"][2]["weights"].update(lam_cov=-1), "finite and >= 0"),
    ],
)
def test_a_damaged_record_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Finding.from_record(damaged(change))


def test_no_record_is_refused():
    with pytest.raises(ValueError, match="Found a list"):
        Finding.from_record([])
