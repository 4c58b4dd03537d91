"""Tables: the answer comes second, what is the same in every row is said once, nothing is lost."""

from __future__ import annotations

import pandas as pd
import pytest

import kit
from kit.report import verify
from kit.report.tables import caption_of, render_table
from tests.report._pages import Page
from tests.report.test_report import finding


def wide(rows: int = 2) -> pd.DataFrame:
    """Eight columns; forward and loss are the same in every row, and so is the answer."""
    return pd.DataFrame(
        {
            "run": [f"run {place}" for place in range(rows)],
            "train": [0.5 + place for place in range(rows)],
            "validation": [1.5 + place for place in range(rows)],
            "forward": [32] * rows,
            "loss": [32.0] * rows,
            "said": ["same"] * rows,
            "finite": [True] * rows,
            "steps": [0] * rows,
        }
    )


def heads(table, *, page=False):
    html = render_table(table, page=page)
    parts = html[html.index("<thead>") : html.index("</thead>")].split("<th ")[1:]
    return [part.split(">", 1)[1].replace("<bdi>", "").split("<")[0] for part in parts]


@pytest.mark.parametrize("page", [False, True])
def test_the_answer_comes_second(page):
    frame = pd.DataFrame({"run": ["a"], "x": [1], "y": [2], "answer?": ["no"]})
    assert heads(kit.report.Table(frame, answer="answer?"), page=page) == ["run", "answer?", "x", "y"]
    assert heads(kit.report.Table(frame.set_index("run"), answer="answer?"), page=page) == ["run", "answer?", "x", "y"]
    assert heads(kit.report.Table(frame, answer="run"), page=page) == ["run", "x", "y", "answer?"]
    assert list(frame.columns) == ["run", "x", "y", "answer?"], "the frame that was given stays as it is"


def test_the_answer_is_one_column():
    frame = pd.DataFrame([[1, 2]], columns=["x", "x"])
    for answer in ("x", "y"):
        with pytest.raises(ValueError, match=f"name of one column. Found answer = '{answer}'; columns are 'x', 'x'"):
            kit.report.Table(frame, answer=answer)


@pytest.mark.parametrize("page", [False, True])
def test_numbers_that_are_the_same_in_every_row_are_said_once(page):
    table = kit.report.Table(wide(), "Why?", answer="steps")
    assert heads(table, page=page) == ["run", "steps", "train", "validation", "said", "finite"]
    assert caption_of(table) == "Why? In every row: forward 32, loss 32."
    assert caption_of(kit.report.Table(wide())).startswith("In every row:"), "also without a caption"


def test_a_narrow_table_and_one_row_are_drawn_whole():
    narrow = wide()[["run", "forward", "loss", "steps"]]
    for table in (kit.report.Table(narrow, "Why?"), kit.report.Table(wide(1), "Why?")):
        assert heads(table) == list(table.frame.columns) and caption_of(table) == "Why?"


def test_every_number_is_drawn_or_said():
    """Whatever the columns hold: each cell of the frame stands in the table or in its caption."""
    frame = wide(3).assign(nan=float("nan"), mixed=[1.0, 1.0, 2.0], zero=0.0)
    table = kit.report.Table(frame, answer="mixed")
    text = Page(table._repr_html_()).text
    for column in frame.columns:
        assert column in text
    assert "nan not finite" in text and "zero 0" in text
    drawn = render_table(table).count("<td") // 3 + 1
    assert drawn + caption_of(table).count(",") + 1 == frame.shape[1]


def test_the_page_says_it_and_the_numbers_come_out_whole(tmp_path):
    path = finding(evidence=(kit.report.Table(wide(), "Why?", answer="steps"),)).write(tmp_path / "p.html").path
    assert "Why? In every row: forward 32, loss 32." in Page(path.read_text(encoding="utf-8")).text
    head = verify(path).tables["table-1.csv"].split("\r\n")[0].split(",")
    assert head[:2] == ["run", "steps"] and sorted(head) == sorted(wide().columns)


def test_text_stands_at_the_left_and_numbers_at_the_right():
    html = kit.report.Table(wide(), answer="said")._repr_html_()
    sides = dict(
        part.split(">", 1)[1].split("<")[0:1] + ["right" if "right" in part.split(">")[0] else "left"]
        for part in html[: html.index("</thead>")].split("<th ")[1:]
    )
    assert sides == {
        "run": "left", "said": "left", "train": "right", "validation": "right", "finite": "left",
    }  # fmt: skip
