"""A page vouches for itself: untouched it verifies, any change is named, and its numbers come out again."""

from __future__ import annotations

import csv
import io
import json
import random

import numpy as np
import pandas as pd
import pytest

import kit
from kit.__main__ import main
from kit.journal import Journal
from kit.plots import evidence, new_axes
from kit.report import PageError, verify
from kit.report.verification import _PICTURE
from tests.panel._panel_cases import HOSTILE, NAMES, make_report
from tests.report._pages import Page
from tests.report.test_report import ATTACK, finding

LONG = "long \U0001f525 " * 1700  # 10 kB


@pytest.fixture
def page(tmp_path):
    drawn = evidence(
        new_axes()[0], "a chart of some letters for those who do not see it", "c", {"epoch": [1], "a,b": [0.1]}
    )
    item = finding(evidence=(*finding().evidence, drawn))
    return item.write(tmp_path / "page.html").path


def rows_of(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_an_untouched_page_verifies_and_gives_its_findings_back(page):
    seen = verify(page)
    assert seen.title == "Is it the weight?" and len(seen.findings) == 1
    again = seen.findings[0].finding
    assert again.question == "Is it the weight?" and again.evidence[0].png == finding().evidence[0].png
    assert again.panels[0].data == finding().panels[0].data
    assert seen.sha256 in Page(page.read_text(encoding="utf-8")).text, "shown on the page"
    assert str(seen).startswith(f"{page.as_posix()}: as it was written, 1 finding")


def test_numbers_come_out_again(page, tmp_path):
    seen = verify(page)
    names = [path.name for path in seen.extract(tmp_path / "out")]
    assert names == ["table-1.csv", "panel-1.csv", "panel-1.json", "figure-2.csv"]
    assert rows_of(seen.tables["figure-2.csv"]) == [["epoch", "a,b"], ["1", "0.1"]]
    assert rows_of(seen.tables["table-1.csv"]) == [["term", "value"], ["a", "0.123456"]]
    head, *rows = rows_of(seen.tables["panel-1.csv"])
    report = make_report(1)
    G = [[float(x) for x in row[7:]] for row in rows]
    assert np.array_equal(G[:7], report.G) and np.array_equal(G[7:], report.G_groups.reshape(-1, 7))
    assert [row[2] for row in rows[:7]] == list(NAMES) and head[7] == "G with loss_nmse"
    weights, values = ([float(row[i]) for row in rows[:7]] for i in (5, 6))
    assert np.dot(weights, values) == pytest.approx(report.total, rel=1e-12)
    assert json.loads((tmp_path / "out" / "panel-1.json").read_text())["data"] == kit.Panel(report).data


def test_every_changed_byte_is_noticed(page):
    """A byte anywhere: 150 places, seeded, and the last one."""
    good = page.read_bytes()
    places = [*random.Random(3).sample(range(len(good)), 150), len(good) - 1]
    for place in places:
        page.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(PageError):
            verify(page)
    page.write_bytes(good)
    assert verify(page)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("0.123456", "0.999999"), "the data were changed"),
        (lambda text: text.replace("claim does not hold", "claim holds"), "data unchanged, but other words"),
        (lambda text: text[: text.index('id="kit-data"') + 99], "a complete page of the kit.*a part of the file"),
        (lambda text: "<!DOCTYPE html><p>hello</p>", "Found 0 records and 0 digests"),
        (lambda text: text + text, "Found 2 records"),
        (lambda text: text.replace("\n", "\r\n"), "saving it again from a browser or an editor"),
        (lambda text: "", "Found 0 records"),
    ],
)
def test_a_changed_or_foreign_page_is_named(page, change, message):
    page.write_bytes(change(page.read_text(encoding="utf-8")).encode())
    with pytest.raises(PageError, match=message):
        verify(page)


def test_a_page_of_a_newer_kit_and_other_bytes_are_named(page, monkeypatch):
    monkeypatch.setattr("kit.report.data.VERSION", 2)
    finding().write(page)
    with pytest.raises(PageError, match="should have version 1. Found version = 2; update the kit to read it"):
        verify(page)
    page.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PageError, match="in UTF-8. Found other bytes"):
        verify(page)


def test_from_the_shell(page, tmp_path, capsys):
    assert main(["verify", str(page), "--extract", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "as it was written, 1 finding" in said and "wrote 4 files" in said
    page.write_text("no page", encoding="utf-8")
    assert main(["verify", str(page)]) == 1
    assert "complete page of the kit" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nowhere.html")]) == 1


@pytest.mark.parametrize("text", [*HOSTILE[:6], ATTACK, LONG], ids=range(8))
def test_whatever_is_typed_stays_text_and_verifies(text, tmp_path):
    """Titles, notes, names of terms, weights, columns and entries; a page without a script or picture of their own."""
    report = make_report(1, names=(text, *NAMES[1:]), weight_names=(text, *"bcdefg"))
    drawn = evidence(new_axes()[0], text, text, {text: [text]})
    table = kit.report.Table(pd.DataFrame({text: [text]}), text)
    panel = kit.Panel({text: report}, title=text, note=text)
    said = kit.report.Answer(text, [(text, text)], text, text, text, text)
    item = kit.Finding(text, text, "open", text, (panel, drawn, table, text), text, text, 0, text, text, text, said)
    journal = Journal(tmp_path)
    journal.keep(item, note=text, name=text[:200], diagnosis=text)
    html = journal.to_html(text)
    page = Page(html)
    assert [attributes.get("type") for attributes in page.all("script")] == ["application/json", "module"]
    assert len(page.all("img")) == 2 and not [a for _, a in page.tags if any(key.startswith("on") for key in a)]
    assert page.text.count(text.strip()) >= 10, "shown, not run"
    path = tmp_path / "page.html"
    journal.write_html(path, text)
    seen = verify(path)
    assert seen.title == text and seen.findings[0].note == text and seen.findings[0].finding.question == text
    assert rows_of(seen.tables["table-1.csv"])[0] == [text]


RUN_BY_A_SPREADSHEET = ["@SUM(A1)", "+1", "\uff1d1", " =1", "\n=1", "\u00a0-1", "\tx", "\r1"]


def test_a_text_that_a_spreadsheet_would_run_is_a_text(tmp_path):
    table = kit.report.Table(pd.DataFrame({"=1+1": [*RUN_BY_A_SPREADSHEET, "a=1", -3.5]}, dtype=object))
    path = finding(evidence=(table,)).write(tmp_path / "p.html").path
    rows = rows_of(verify(path).tables["table-1.csv"])
    assert rows == [["'=1+1"], *([f"'{text}"] for text in RUN_BY_A_SPREADSHEET), ["a=1"], ["-3.5"]]


def test_a_page_with_many_half_pictures_is_refused_in_no_time(page):
    """Steps are counted, not seconds: each `<img` ends the look that the one before it began."""
    half = '<img class="kit-picture" id="picture-1"'
    assert _PICTURE.search(half + " x" * 50 + half + ' src="data:image/png;base64,AAAA">').start() > 100
    page.write_text(half * 20_000, encoding="utf-8")
    with pytest.raises(PageError, match="Found 0 records"):
        verify(page)
    assert _PICTURE.findall(half * 20_000) == []
