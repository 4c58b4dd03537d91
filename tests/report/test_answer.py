"""The answer in a few lines: on the page, in its record, out of it again."""

from __future__ import annotations

import csv
import io

import pytest

import kit
from kit.journal import Journal
from kit.report import Answer, verify
from tests.report._pages import Page
from tests.report.test_report import finding

ANSWER = Answer(
    "Every gradient was NaN.\nThe loop printed 0.",
    [("steps taken", "0 of 32"), ("loss of a batch", "3.49 to 3.99")],
    "Stop at the first NaN.",
    "assert total.isfinite()\nif total:\n    pass",
    "Zero weights: 90%.",
)
PARTS = [
    "What was wrong",
    "Every gradient",
    "How we know",
    "0 of 32",
    "Do this",
    "Stop at",
    "assert",
    "What the report",
]


def places(text, parts):
    return [text.index(part) for part in parts]


def test_the_only_answer_of_a_page_stands_above_the_contents():
    text = Page(kit.report.to_html(finding(question="First?"), finding(question="Second?", summary=ANSWER))).text
    order = places(text, [*PARTS, "Measured in: Second?", "Contents"])
    assert order == sorted(order) and text.count("What was wrong") == 1


def test_several_answers_stand_at_the_head_of_their_findings():
    other = Answer("The loader is empty.")
    html = kit.report.to_html(finding(summary=ANSWER), finding(question="Second?", summary=other))
    text = Page(html).text
    assert text.index("Contents") < text.index("What was wrong")
    assert html.index('id="finding-1"') < html.index("Every gradient was NaN.") < html.index('id="finding-2"')
    assert html.index('id="finding-2"') < html.index("The loader is empty.")


def test_what_is_left_out_has_no_heading():
    text = Page(kit.report.to_html(finding(summary=Answer("The loader is empty.")))).text
    assert "The loader is empty." in text
    assert not [part for part in ("How we know", "Do this", "What the report said") if part in text]


def test_the_heading_of_the_last_part_can_be_another():
    text = Page(kit.report.to_html(finding(summary=Answer("x", context="y", context_title="What was believed")))).text
    assert "What was believed" in text and "What the report said" not in text


def test_lines_to_copy_are_as_they_were_written():
    html = kit.report.to_html(finding(summary=ANSWER))
    assert f'<pre tabindex="0" role="region" aria-label="Lines to copy"><code>{ANSWER.code}</code></pre>' in html


def test_it_is_verified_and_comes_out_again(tmp_path):
    path = tmp_path / "page.html"
    kit.write_html(path, finding(), finding(summary=ANSWER), title="t")
    seen = verify(path)
    assert [item.finding.summary for item in seen.findings] == [None, ANSWER]
    head, *rows = csv.reader(io.StringIO(seen.tables["answer-1.csv"], newline=""))
    assert head == ["part", "text"]
    assert dict(rows) == {
        "what was wrong": ANSWER.wrong,
        "how we know: steps taken": "0 of 32",
        "how we know: loss of a batch": "3.49 to 3.99",
        "what to do": ANSWER.action,
        "lines to copy": ANSWER.code,
        "What the report said": ANSWER.context,
    }
    assert "answer-2.csv" not in seen.tables


def test_a_changed_answer_is_noticed(tmp_path):
    path = tmp_path / "page.html"
    finding(summary=ANSWER).write(path)
    path.write_text(path.read_text(encoding="utf-8").replace("0 of 32", "9 of 32"), encoding="utf-8")
    with pytest.raises(kit.report.PageError, match="the data were changed"):
        verify(path)


def test_the_journal_keeps_it(tmp_path):
    Journal(tmp_path).keep(finding(summary=ANSWER), name="kept")
    kept = Journal(tmp_path)["kept"]
    assert kept.finding.summary == ANSWER and "Every gradient was NaN." in kept.to_html()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Answer(3), "wrong should be a text. Found a int"),
        (lambda: Answer("x", code=None), "code should be a text. Found a NoneType"),
        (lambda: Answer("x", "0 of 32"), "pairs of texts"),
        (lambda: Answer("x", [("steps", 0)]), "pairs of texts"),
        (lambda: Answer("x", [("steps",)]), "pairs of texts"),
        (lambda: Answer("x", {"steps": "0"}), "pairs of texts"),
        (lambda: finding(summary="x"), "summary should be a kit.report.Answer. Found a str"),
    ],
)
def test_what_is_no_answer_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_an_answer_says_what_was_wrong():
    with pytest.raises(ValueError, match="wrong should say what was wrong. Found an empty text"):
        Answer(" ")
