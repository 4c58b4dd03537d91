"""Notebooks as other programs show them: exported by nbconvert, without a network, and with the widget manager of web pages.

JupyterLab and Notebook 7 are driven in `test_lab.py` and `test_layout.py`; what else was tried is in `data/hosts.md`.
"""

from __future__ import annotations

import re
from pathlib import Path

import anywidget
import nbformat
import pytest
from ipywidgets.embed import dependency_state
from nbconvert import HTMLExporter

from kit.panel import Panel
from tests.browser._offline import offline_tab
from tests.browser._paint import painted
from tests.evidence import ROOT, notebooks
from tests.panel._npm import npm_package
from tests.panel._panel_cases import make_report

pytestmark = pytest.mark.browser
OUTSIDE = re.compile(r"^https?:")


def test_every_test_that_the_table_of_hosts_names_is_there():
    table = (ROOT / "data" / "hosts.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests/\S+/)?test_\w+\.py|tests/test_\w+\.py)`", table)
    assert len(named) >= 6
    for name in named:
        assert (ROOT / name if "/" in name else ROOT / "tests" / "browser" / name).is_file(), name


def exported(notebook: nbformat.NotebookNode, path: Path) -> Path:
    path.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    return path


def with_panel(*, state: bool) -> nbformat.NotebookNode:
    """A notebook whose one cell showed a panel; state: saved with the state of its widgets, as "Save Widget State" does it."""
    panel = Panel(make_report(1))
    data = dict(panel._repr_mimebundle_()[0])
    shown = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
    cell = nbformat.v4.new_code_cell("panel", execution_count=1, outputs=[shown])
    kept = {"version_major": 2, "version_minor": 0, "state": dependency_state([panel], drop_defaults=False)}
    metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": kept}} if state else {}
    return nbformat.v4.new_notebook(cells=[cell], metadata=metadata)


def assert_figures_are_seen(page, count: int) -> None:
    pictures = page.locator("figure img")
    assert pictures.count() >= count
    sizes = pictures.evaluate_all("found => found.map(one => [one.naturalWidth, one.getBoundingClientRect().width])")
    assert all(natural > 0 and shown > 100 for natural, shown in sizes)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_the_stored_evidence_is_seen_in_an_export_without_a_network(path, browser, tmp_path):
    with offline_tab(browser, own=True) as tab:
        tab.page.goto(exported(nbformat.read(path, as_version=4), tmp_path / "page.html").as_uri())
        assert_figures_are_seen(tab.page, 1)


def test_a_panel_saved_without_its_state_is_its_static_figure(browser, tmp_path):
    with offline_tab(browser, own=True) as tab:
        tab.page.goto(exported(with_panel(state=False), tmp_path / "page.html").as_uri())
        assert_figures_are_seen(tab.page, 1)
        assert "run this cell" in tab.page.locator("body").inner_text()


def test_a_panel_saved_with_its_state_is_live_in_the_widget_manager_of_web_pages(browser, tmp_path, tmp_path_factory):
    """The manager and anywidget come from a network that is played by this machine: the page itself asks for them there."""
    managed = npm_package("@jupyter-widgets/html-manager", tmp_path_factory.mktemp("manager")) / "dist"
    requirejs = npm_package("requirejs", tmp_path_factory.mktemp("requirejs")) / "require.js"
    loader = Path(anywidget.__file__).parent / "nbextension" / "index.js"

    def answer(route):
        address = route.request.url
        name = address.split("/dist/")[-1]
        if "require.js" in address:
            file = requirejs
        elif "html-manager" in address:
            file = managed / name
        else:
            file = loader if "/anywidget@" in address else Path()
        if not file.is_file():
            return route.abort()
        return route.fulfill(path=file, headers={"Access-Control-Allow-Origin": "*"}, content_type="text/javascript")

    page = browser.new_page()
    try:
        page.route(OUTSIDE, answer)
        page.goto(exported(with_panel(state=True), tmp_path / "page.html").as_uri())
        panel = page.locator(".kit-panel")
        panel.wait_for(timeout=60_000)
        before = panel.locator(".kit-total").inner_text()
        panel.locator(".kit-row input.kit-box").first.fill("0")
        painted(page)
        assert before.startswith("total = ") and panel.locator(".kit-total").inner_text() != before
    finally:
        page.close()
