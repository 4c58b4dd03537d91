"""Links to a setting and numbers as CSV: the page's modules, run by Node, against Python."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import kit
from kit.report.csvs import csv_text, figure_table, panel_table
from kit.report.pieces import frame_record
from kit.report.verification import _frame_table, _plain
from tests.panel._node import node
from tests.panel._panel_cases import HOSTILE, make_report

STATIC = Path(kit.__file__).parent / "panel" / "static"
HASHES = {
    "#w=lam_cov:0": {"panel": 0, "state": None, "weights": {"lam_cov": 0}},
    "#w=lam_cov:0,lam_K:0.5": {"panel": 0, "state": None, "weights": {"lam_cov": 0, "lam_K": 0.5}},
    "#panel=2&state=3&w=lam_cov:1e-7": {"panel": 1, "state": 2, "weights": {"lam_cov": 1e-7}},
    "#w=": {"panel": 0, "state": None, "weights": {}},
    "w=a%3Ab:.5": {"panel": 0, "state": None, "weights": {"a:b": 0.5}},
    "#w=lam_cov:-1,lam_K:x,:,a:Infinity,%E0:1,b:0x1": {"panel": 0, "state": None, "weights": {}},
    "#panel=0&w=": None,
    "#panel=-1&w=": None,
    "#finding-2": None,
    "#": None,
    "": None,
}
NAMES = (*HOSTILE[:4], "a,b:c&d=e%#", HOSTILE[5], "__proto__")
PLACES = [
    {"panel": 0, "state": 0, "weights": dict.fromkeys(NAMES, 0.25)},
    {"panel": 2, "state": 1, "weights": {**dict.fromkeys(NAMES, 0.1), "__proto__": 0.0, NAMES[0]: 1e-7}},
    {"panel": 0, "state": 7, "weights": {}},
    {"panel": 0, "state": 0, "weights": {"nobody": 1.0, NAMES[1]: 99.0}},
]
REPORTS = {
    "one": make_report(1, names=NAMES, weight_names=NAMES, weights=(0.1,) * 7, broken=(2,)),
    "=two": make_report(2, names=NAMES, weight_names=NAMES, weights=(0.1,) * 7, adjustable=[True] * 7),
}
FIGURE = {
    "epoch": [1, 2],
    'a "b", c': [0.1, {"float": "nan"}],
    "=x": [None, {"float": "-inf"}],
    "-t": ["-1+1", " \uff1dt"],
}
FRAME = pd.DataFrame(
    {"x": [1e-7, float("inf")], "ok": [True, False], "s": ["@a", "b\nc"]}, index=pd.Index([3, 4], name="k")
)


@pytest.fixture(scope="module")
def panel():
    panel = kit.Panel(REPORTS)
    panel.case, panel.weights = "=two", {NAMES[0]: 0.0}
    return panel


@pytest.fixture(scope="module")
def answers(panel):
    asked = {
        "folder": str(STATIC), "data": panel.data, "hashes": list(HASHES), "places": PLACES,
        "record": panel.to_record(), "figure": FIGURE, "frame": frame_record(FRAME),
    }  # fmt: skip
    command = [node(), str(Path(__file__).with_name("page_modules.mjs"))]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_fragment_is_a_setting_or_an_ordinary_anchor(answers):
    assert dict(zip(HASHES, answers["parsed"], strict=True)) == HASHES


def test_a_link_holds_what_differs_and_leads_back_to_the_setting(answers):
    one, two = answers["written"]
    assert one.startswith("#state=1&w=") and one.count(":0.25") == 7 and one.isascii()
    assert two == "#state=2&w=" + ",".join(
        f"{name}:{x}"
        for name, x in (
            ("%3C%2Fscript%3E%3Cimg%20src%3Dx%20onerror%3D%22window.hit%3D1%22%3E", "1e-7"),
            ("__proto__", 0),
        )
    )
    assert answers["several"][1] == two.replace("#", "#panel=3&")
    for place, again in zip(PLACES[:2], answers["again"], strict=False):
        assert (again["panel"], again["state"]) == (place["panel"], place["state"])
        assert all(again["weights"].get(name, 0.1) == x for name, x in place["weights"].items())


def test_what_a_panel_cannot_follow_is_named_and_the_rest_is_done(answers):
    same, other, far, unknown = answers["settled"]
    assert same == {"state": 0, "weights": dict.fromkeys(NAMES, 0.25), "problems": []}
    assert other["state"] == 1 and other["weights"]["__proto__"] == 0 and other["problems"] == []
    assert far["state"] == 0 and far["problems"] == ["The link names state 8; there are 2."]
    assert unknown["weights"] == dict.fromkeys(NAMES, 0.1) and len(unknown["problems"]) == 2
    assert "nobody" in unknown["problems"][0] and "beyond 2" in unknown["problems"][1]


def cells(text):
    """Rows with numbers as numbers: 1e-07 and 1e-7 are one."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    return [
        [
            float(x) if x.replace("-", "").replace("+", "").replace(".", "").replace("e", "").isdigit() else x
            for x in row
        ]
        for row in rows
    ]


def test_the_page_and_python_write_the_same_numbers(answers, panel):
    assert cells(answers["panel"]) == cells(csv_text(*panel_table(panel.to_record())))
    assert cells(answers["figure"]) == cells(csv_text(*figure_table(_plain(FIGURE))))
    assert cells(answers["table"]) == cells(csv_text(*_frame_table(frame_record(FRAME))))
    assert answers["table"].splitlines()[:2] == ["k,x,ok,s", "3,1e-7,True,'@a"]


def test_what_a_figure_draws_reads_well(answers):
    head, first, second = list(csv.reader(io.StringIO(answers["figure"], newline="")))
    assert head == ["epoch", 'a "b", c', "'=x", "'-t"]
    assert first == ["1", "0.1", "", "'-1+1"] and second == ["2", "nan", "-inf", "' \uff1dt"]
