"""Where a page was written: the path once, the same in panel, journal and below a cell; a link; the page itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import kit
from kit.journal import Journal
from kit.panel.exported import WrittenView
from tests.journal._findings import small
from tests.panel._node import node
from tests.panel._panel_cases import make_report

STATIC = Path(kit.__file__).parent / "panel" / "static"
SERVED = [  # base, notebook, path -> address
    ("/", "my_notebooks/01.ipynb", "../findings/x.html", "/files/findings/x.html"),
    ("/", "my_notebooks/01.ipynb", "x.html", "/files/my_notebooks/x.html"),
    ("/user/me/", "a/b/01.ipynb", "./c/x y#?%.html", "/user/me/files/a/b/c/x%20y%23%3F%25.html"),
    ("/lab", "01.ipynb", "findings/x.html", "/lab/files/findings/x.html"),
    ("/", "RTC:nb/01.ipynb", "../x.html", "/files/x.html"),
    ("/", "01.ipynb", "\u00fc/x.html", "/files/%C3%BC/x.html"),
    ("/", "01.ipynb", "../x.html", None),
    ("/", "nb/01.ipynb", "../../tmp/x.html", None),
    ("/", "nb/01.ipynb", "../.hidden/x.html", None),
    ("/", "nb/01.ipynb", "../.x.html", None),
]
SCRIPT = """
import { readFileSync } from "node:fs";
const text = readFileSync(0, "utf8"), { module, asked } = JSON.parse(text);
const { servedAt } = await import("data:text/javascript," + encodeURIComponent(module));
console.log(JSON.stringify(asked.map(([base, notebook, path]) => servedAt(base, notebook, path))));
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """The kernel of a notebook in a folder beside findings/."""
    (tmp_path / "my_notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "my_notebooks")
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "my_notebooks" / "01.ipynb"))
    return tmp_path


def test_the_address_is_that_of_the_notebook_server():
    text = (STATIC / "exported.js").read_text(encoding="utf-8")
    function = text[text.index("export function servedAt") : text.index("/** The address of a written page")]
    asked = {"module": function, "asked": [case[:3] for case in SERVED]}
    command = [node(), "--input-type=module", "-e", SCRIPT]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [case[3] for case in SERVED]


def test_panel_journal_and_cell_say_it_in_the_same_form(notebook):
    finding = small()
    below = finding.offer("../findings/x.html")
    line = WrittenView(below.path, below.sentence)
    panel = finding.panels[0]
    panel.export()
    journal = Journal(notebook / "findings")
    view = journal.view(finding)
    view.act({"action": "keep", "offer": 0, "note": ""})
    assert view.written == {}
    view.act({"action": "export"})
    for shown, name in ((panel, "x.html"), (line, "x.html"), (view, "journal.html")):
        assert shown.status.startswith(f"wrote ../findings/{name}") and shown.status.count(name) == 1
        assert shown.written == {"name": name, "path": f"../findings/{name}"}
    assert below.sentence.startswith("wrote ../findings/x.html (") and panel.status == "wrote ../findings/x.html"
    view.act({"action": "refresh"})
    assert view.status == "" and view.written == {}, "a link stands beside the words that speak of it, and no longer"


def test_another_working_folder_leads_to_the_same_file(notebook, monkeypatch):
    below = small(evidence=()).write("../findings/x.html")
    page = below.path.resolve()
    monkeypatch.chdir(notebook)
    assert WrittenView(page, "").written["path"] == "../findings/x.html"
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert WrittenView(page, "").written["path"] == "findings/x.html", "the working folder, where nobody knows better"


def test_a_comparison_leads_on_too(notebook):
    journal = Journal(notebook / "findings")
    keys = [journal.keep(small(evidence=()), name=name).key for name in "ab"]
    view = journal.view()
    view.act({"action": "compare", "first": keys[0], "second": keys[1]})
    assert view.written == {"name": "comparison.html", "path": "../findings/comparison.html"}
    view.act({"action": "compare", "first": keys[0], "second": keys[0]})
    assert view.status.startswith("could not compare: ") and view.written == {}


def heard(widget, monkeypatch):
    sent = []
    monkeypatch.setattr(type(widget), "send", lambda _self, content: sent.append(content))
    widget._handle_custom_msg({"type": "download"}, [])
    return sent


def test_the_page_itself_is_handed_over(notebook, monkeypatch):
    finding = small()
    written = finding.offer("../findings/x.html")
    page = {"type": "page", "name": "x.html", "html": written.path.read_text(encoding="utf-8")}
    panel = finding.panels[0]
    panel.export()
    page_again = {**page, "html": written.path.read_text(encoding="utf-8")}
    assert heard(panel, monkeypatch) == [page_again]
    assert heard(WrittenView(written.path, ""), monkeypatch) == [page_again]
    journal = Journal(notebook / "findings")
    journal.keep(finding)
    view = journal.view()
    assert heard(view, monkeypatch) == [], "nothing was written yet"
    view.act({"action": "export"})
    assert heard(view, monkeypatch)[0]["name"] == "journal.html"


def test_a_page_that_is_gone_is_said(notebook, monkeypatch):
    written = small(evidence=()).write("../findings/x.html")
    line = WrittenView(written.path, written.sentence)
    written.path.unlink()
    assert heard(line, monkeypatch) == [] and line.written == {}
    assert line.status == "could not download: could not read ../findings/x.html: no such file or directory."


def test_an_export_that_fails_leads_nowhere(notebook):
    panel = kit.Panel(make_report(0), on_export=lambda _panel: small().write("../findings/x.html"))
    panel.export()
    assert panel.written
    panel.on_export(lambda _panel: small().write("x.txt"))
    panel.export()
    assert panel.status.startswith("could not export: path should end in .html") and panel.written == {}
    panel.on_export(lambda _panel: None)
    panel.export()
    assert panel.status == "wrote None" and panel.written == {}


def test_a_notebook_file_keeps_the_words(notebook):
    written = small(evidence=()).write("../findings/x.html")
    data, _ = written._repr_mimebundle_()
    assert data["text/plain"] == written.sentence and "text/html" not in data
    assert "application/vnd.jupyter.widget-view+json" in data
