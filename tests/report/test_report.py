"""The exported page: complete, escaped, self-contained, written whole or not at all."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

import kit
from kit.plots import evidence, new_axes
from tests.panel._panel_cases import HOSTILE, make_report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202eevil"


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text, self._raw = [], "", 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._raw += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._raw -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self._raw else data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def finding(**changes) -> kit.Finding:
    parts = {
        "question": "Is it the weight?",
        "claim": "It is.",
        "verdict": "refuted",
        "answer": "The loss is 3.4.",
        "evidence": (
            evidence(new_axes()[0], "An empty chart, forty letters of alternative text.", "What is seen?"),
            kit.Table(pd.DataFrame({"term": ["a"], "value": [0.123456]}), "A table."),
            kit.Panel(make_report(1)),
            "A paragraph.",
        ),
        "fix": "Count the steps.",
        "remains": "Everything else.",
        "seed": 7,
        "command": "python -m kit investigate",
    }
    return kit.Finding(**{**parts, **changes})


def test_a_page_holds_every_part():
    page = Page(kit.to_html(finding()))
    for text in (
        "Is it the weight?",
        "It is.",
        "claim refuted",
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
    html = kit.to_html(finding())
    page = Page(html)
    policy = next(tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith(POLICY)
    assert [tag for tag in page.tags if tag[0] in ("link", "iframe", "object", "embed", "base")] == []
    addresses = [a.get(key) for _, a in page.tags for key in ("src", "href", "action") if a.get(key)]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "eval(" not in html


def test_everything_typed_is_text():
    panel = kit.Panel(make_report(1, names=HOSTILE), note=ATTACK, title=ATTACK)
    table = kit.Table(pd.DataFrame({ATTACK: [ATTACK]}), ATTACK)
    hostile = finding(
        question=ATTACK, claim=ATTACK, answer=ATTACK, fix=ATTACK, remains=ATTACK, command=ATTACK,
        evidence=(panel, table, ATTACK, evidence(new_axes()[0], ATTACK, ATTACK)),
    )  # fmt: skip
    html = kit.to_html(hostile)
    page = Page(html)
    assert len(page.all("script")) == 2, "the panel's data and the panel's module, nothing else"
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "alert(1)" in page.text, "shown, not run"
    assert len(page.all("img")) == 2, "the figure, and the panel's still picture"


def test_the_panel_is_exported_as_the_reader_left_it():
    panel = kit.Panel(make_report(1), note="left here")
    panel.weights = {"lam_cov": 0.0}
    html = kit.to_html(finding(evidence=(panel,)))
    state = json.loads(
        re.search(r'<script type="application/json" id="panel-1-data">(.*?)</script>', html, re.DOTALL)[1]
    )
    assert state["weights"]["lam_cov"] == 0.0
    assert "left here" in Page(html).text


def test_without_scripts_the_panel_is_a_picture_with_words():
    still = re.search(r"<noscript>(.*?)</noscript>", kit.to_html(finding()), re.DOTALL)[1]
    assert '<img alt="' in still and "<table" in still and "loss_nmse" in still


def test_several_panels_share_one_module():
    one, two = (kit.to_html(*[finding(evidence=(kit.Panel(make_report(1)),))] * n) for n in (1, 2))
    assert two.count('<script type="module">') == 1
    assert {f"panel-{n}" for n in (1, 2)} <= {tag.get("id") for tag in Page(two).all("div")}
    ids = re.findall(r'\sid="([^"]+)"', two)
    assert len(ids) == len(set(ids))
    assert len(one) < len(two)


def test_writing_is_whole_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "page.html"
    written = finding().write(path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert repr(written) == f"wrote {path.as_posix()} ({path.stat().st_size / 1024:.0f} KB)"
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", _full_disk)
    with pytest.raises(OSError, match="full"):
        finding(answer="another").write(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]


def test_the_button_writes_the_page_again(tmp_path):
    panel = kit.Panel(make_report(1))
    path = tmp_path / "page.html"
    finding(evidence=(panel,)).offer(path)
    assert panel.can_export
    panel.note = "typed later"
    panel.export()
    assert panel.status == f"wrote {path.as_posix()}"
    assert "typed later" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "sure"}, "verdict should be one of confirmed, refuted, partly, open"),
        ({"evidence": (3,)}, "Found a int at position 0"),
        ({"evidence": "hello"}, "evidence should be a sequence. Found one str"),
    ],
)
def test_a_wrong_finding_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        finding(**change)


def test_a_wrong_path_and_no_finding_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path should end in \.html"):
        finding().write(tmp_path / "page.txt")
    with pytest.raises(ValueError, match="at least one Finding"):
        kit.to_html()


def test_a_table_speaks_of_what_is_not_finite():
    html = kit.Table(pd.DataFrame({"a": ["x", "y"], "b": [float("nan"), 2.0]}))._repr_html_()
    assert "not finite" in html
    assert '<th scope="col"' in html


def _full_disk(*_):
    raise OSError("disk is full")


def test_a_table_is_made_of_a_frame():
    with pytest.raises(ValueError, match="frame should be a pandas DataFrame. Found a dict"):
        kit.Table({"a": [1]})
