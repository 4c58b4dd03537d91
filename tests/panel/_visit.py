"""A page in a real browser that may ask for nothing and say nothing."""

from __future__ import annotations

import contextlib

import pytest

from tests.browser._offline import offline_tab
from tests.panel._panel_page import write_page


@pytest.fixture
def visit(browser, tmp_path):
    """visit(*fragments) -> page; on leaving, nothing was requested and nothing was said on the console."""
    tabs = []
    with contextlib.ExitStack() as left:

        def go(*fragments, wait_for=".kit-total", **options):
            tab = left.enter_context(offline_tab(browser, **options))
            tabs.append(tab)
            tab.page.goto(write_page(tmp_path / "page.html", *fragments).as_uri())
            tab.page.wait_for_selector(wait_for)
            return tab.page

        yield go
        for tab in tabs:
            assert tab.said == []
            assert all(url.startswith(("file:", "data:image/png;base64,")) for url in tab.requests)
            assert all(url.endswith("page.html") for url in tab.requests if url.startswith("file:"))
