"""The exported page: complete, escaped, self-contained, written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pandas as pd
import pytest

import kit
from kit.plots import evidence, new_axes
from kit.report import Finding
from tests.panel._panel_cases import HOSTILE, make_report
from tests.report._pages import Page, record_of

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202eevil"


def finding(**changes) -> kit.Finding:
    parts = {
        "question": "Is it the weight?",
        "claim": "It is.",
        "verdict": "refuted",
        "answer": "The loss is 3.4.",
        "evidence": (
            evidence(new_axes()[0], "An empty chart, forty letters of alternative text.", "What is seen?"),
            kit.report.Table(pd.DataFrame({"term": ["a"], "value": [0.123456]}), "A table."),
            kit.Panel(make_report(1)),
            "A paragraph.",
        ),
        "fix": "Count the steps.",
        "remains": "Everything else.",
        "seed": 7,
        "command": "python -m kit investigate",
    }
    return kit.Finding(**{**parts, **changes})


def test_own_figures_and_frames_are_evidence_as_they_are(tmp_path):
    axes = new_axes()[0]
    axes.set_title("Drawn by hand")
    frame, panel = pd.DataFrame({"term": ["a"], "value": [0.123456]}), kit.Panel(make_report(1))
    made = finding(evidence=[axes.get_figure(), axes, frame, panel, "words"])
    assert [type(piece).__name__ for piece in made.evidence] == ["Evidence", "Evidence", "Table", "Panel", "str"]
    assert made.evidence[0] == made.evidence[1] and made.evidence[2].frame is frame and made.evidence[3] is panel
    page = Page(made.write(tmp_path / "page.html").path.read_text(encoding="utf-8"))
    assert [image["alt"] for image in page.all("img")][:2] == ["Drawn by hand."] * 2 and "0.1235" in page.text
    again = Finding.from_record(json.loads(json.dumps(made.to_record(), allow_nan=False)))
    assert again.evidence[0] == made.evidence[0] and again.evidence[2].frame.equals(frame)
    assert Finding.from_record(finding(evidence=[]).to_record()).evidence == ()


def test_a_page_holds_every_part():
    page = Page(kit.report.to_html(finding()))
    for text in (
        "Is it the weight?",
        "It is.",
        "claim does not hold",
        "The loss is 3.4.",
        "A paragraph.",
        "Count the steps.",
    ):
        assert text in page.text
    for text in (
        "Everything else.",
        "python -m kit investigate",
        "0.1235",
        "A table.",
        "torch 2.",
        "Left by the investigator at:",
    ):
        assert text in page.text
    assert len(page.all("h1")) == 1
    assert all(image["alt"] for image in page.all("img"))


def test_a_page_asks_nothing_of_the_network():
    html = kit.report.to_html(finding())
    page = Page(html)
    policy = next(tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:" and rules["base-uri"] == "'none'"
    # only this script and this style: their digests, counted here a second time from the page as it stands
    for rule, pattern in (
        ("script-src", r'<script type="module">(.*?)</script>'),
        ("style-src", r"<style>(.*?)</style>"),
    ):
        (text,) = re.findall(pattern, html, re.DOTALL)
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert "unsafe" not in policy and not [a for _, a in page.tags if "style" in a]
    assert [tag for tag in page.tags if tag[0] in ("link", "iframe", "object", "embed", "base")] == []
    addresses = [a.get(key) for _, a in page.tags for key in ("src", "href", "action") if a.get(key)]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\beval\(|new Function|innerHTML|\bfetch\(|XMLHttpRequest|import\(", html)


def test_everything_typed_is_text():
    panel = kit.Panel(make_report(1, names=HOSTILE), note=ATTACK, title=ATTACK)
    table = kit.report.Table(pd.DataFrame({ATTACK: [ATTACK]}), ATTACK)
    hostile = finding(
        question=ATTACK, claim=ATTACK, answer=ATTACK, fix=ATTACK, remains=ATTACK, command=ATTACK,
        evidence=(panel, table, ATTACK, evidence(new_axes()[0], ATTACK, ATTACK)),
    )  # fmt: skip
    html = kit.report.to_html(hostile)
    page = Page(html)
    assert len(page.all("script")) == 2, "the page's record and its module, nothing else"
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "alert(1)" in page.text, "shown, not run"
    assert len(page.all("img")) == 2, "the figure, and the panel's still picture"


def test_the_panel_is_exported_as_the_reader_left_it():
    panel = kit.Panel(make_report(1), note="left here")
    panel.weights = {"lam_cov": 0.0}
    html = kit.report.to_html(finding(evidence=(panel,)))
    (state,) = record_of(html)["findings"][0]["finding"]["evidence"]
    assert state["kind"] == "panel" and state["weights"]["lam_cov"] == 0.0
    assert "left here" in Page(html).text


def test_without_scripts_the_panel_is_a_picture_with_words():
    still = re.search(r"<noscript>(.*?)</noscript>", kit.report.to_html(finding()), re.DOTALL)[1]
    assert '<img alt="' in still and "<table" in still and "loss_nmse" in still


def test_several_panels_share_one_module_and_one_copy_of_their_numbers():
    item = finding(evidence=(kit.Panel(make_report(1)),))
    one, two = (kit.report.to_html(*[item] * n) for n in (1, 2))
    assert two.count('<script type="module">') == 1
    assert {f"panel-{n}" for n in (1, 2)} <= {tag.get("id") for tag in Page(two).all("div")}
    ids = re.findall(r'\sid="([^"]+)"', two)
    assert len(ids) == len(set(ids))
    assert len(record_of(two)["datasets"]) == 1 and len(one) < len(two)


def test_the_verdict_comes_first_then_the_evidence_then_the_play():
    text = Page(kit.report.to_html(finding(why="Counted twice.", sure="Two seeds agree."))).text
    order = [
        "claim does not hold",
        "The loss is 3.4.",
        "Two seeds agree.",
        "Counted twice.",
        "Count the steps.",
        "Everything else.",
        "python -m kit investigate",
        "A paragraph.",
        "Left by the investigator at",
        "How the sliders compute",
    ]
    body = text[text.index("Verdict\n") :]
    places = [body.index(part) for part in order]
    assert places == sorted(places)


def test_how_sure_is_said_only_where_somebody_said_it():
    for verdict in kit.report.VERDICTS:
        assert "How sure" not in Page(kit.report.to_html(finding(verdict=verdict))).text
        assert "Two seeds agree." in Page(kit.report.to_html(finding(verdict=verdict, sure="Two seeds agree."))).text


def test_one_finding_has_no_contents_and_several_lead_to_each():
    alone = Page(kit.report.to_html(finding()))
    assert alone.all("nav") == [] and alone.text.count("claim does not hold") == 1
    page = Page(kit.report.to_html(finding(), finding(question="And now?", remains="", evidence=())))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"][1:] for attributes in page.all("a")]
    assert {"finding-1", "finding-2"} <= set(links) <= ids
    assert {"evidence-1", "play-1", "remains-1"} <= ids and "evidence-2" not in ids
    assert page.text.count("claim does not hold") == 4, "in the contents and at the head of each"


def test_a_finding_without_a_claim_has_no_verdict_on_it():
    page = Page(kit.report.to_html(finding(claim=""), finding(claim="")))
    assert "claim does not hold" not in page.text and page.all("q") == []


def test_evidence_is_folded_where_there_are_several_findings():
    (alone,) = Page(kit.report.to_html(finding())).all("details")
    assert "open" in alone
    several = Page(kit.report.to_html(finding(), finding()))
    assert [sorted(folded) for folded in several.all("details")] == [["class"], ["class"]]
    assert several.text.count("1 figure, 1 table") == 2, "what is inside is said outside"


def test_captions_stand_above_figures_and_tables():
    html = kit.report.to_html(finding())
    for caption, drawn in (("Figure 1.", '<img class="kit-picture"'), ("Table 1.", '<table class="kit-table">')):
        assert html.index(caption) < html.index(drawn)


def test_a_setting_refers_to_the_panel_of_another_finding():
    panel = kit.Panel({"as it is": make_report(1), "late": make_report(2)})
    there = kit.report.PanelSetting("late", {"lam_cov": 0.0})
    nowhere = kit.report.PanelSetting("never probed")
    html = kit.report.to_html(finding(evidence=(there, nowhere)), finding(evidence=(panel,)))
    page = Page(html)
    tries = [a for a in page.all("a") if a.get("class") == "kit-try"]
    assert [(a["id"], a["href"]) for a in tries] == [("setting-1", "#panel-1")]
    assert "Try it on the panel: late, lam_cov = 0." in page.text
    assert "Try it on a panel: never probed, weights as probed." in page.text
    assert not kit.report.PanelSetting("late", {"lam_nobody": 0.0}).fits(panel)


def test_formulas_are_mathematics():
    page = Page(kit.report.to_html(finding()))
    assert len(page.all("math")) >= 2 and page.all("msqrt") and page.all("munder")
    assert Page(kit.report.to_html(finding(evidence=()))).all("math") == [], "nothing to play with, nothing to explain"


def test_writing_is_whole_or_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "deep" / "page.html"
    written = finding().write(path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert written.sentence == f"wrote deep/page.html ({path.stat().st_size / 1024:.0f} KB)"
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", _full_disk)
    with pytest.raises(OSError, match="full"):
        finding(answer="another").write(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]


def test_the_button_writes_the_page_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = kit.Panel(make_report(1))
    path = tmp_path / "page.html"
    finding(evidence=(panel,)).offer(path)
    assert panel.can_export
    panel.note = "typed later"
    panel.export()
    assert panel.status == "wrote page.html"
    assert "typed later" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evidence": (3,)}, "Found a int at position 0"),
        ({"evidence": "hello"}, "evidence should be a sequence. Found one str"),
    ],
)
def test_evidence_of_a_wrong_kind_is_refused(change, message):
    with pytest.raises(TypeError, match=message):
        finding(**change)


def test_a_verdict_is_one_of_four():
    with pytest.raises(ValueError, match="verdict should be one of confirmed, refuted, partly, open"):
        finding(verdict="sure")


def test_a_wrong_path_and_no_finding_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path should end in \.html"):
        finding().write(tmp_path / "page.txt")
    with pytest.raises(ValueError, match="at least one Finding"):
        kit.report.to_html()


def test_a_table_speaks_of_what_is_not_finite():
    html = kit.report.Table(pd.DataFrame({"a": ["x", "y"], "b": [float("nan"), 2.0]}))._repr_html_()
    assert "not finite" in html
    assert '<th scope="col"' in html


def _full_disk(*_):
    raise OSError("disk is full")


def test_a_table_is_made_of_a_frame():
    with pytest.raises(TypeError, match="frame should be a pandas DataFrame. Found a dict"):
        kit.report.Table({"a": [1]})
