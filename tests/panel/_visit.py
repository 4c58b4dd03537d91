"""A page in a real browser that may ask for nothing and say nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.panel._panel_page import write_page


@pytest.fixture
def visit(browser, tmp_path):
    """visit(*fragments) -> page; on leaving, nothing was requested and nothing was said on the console."""
    seen = SimpleNamespace(requests=[], errors=[])
    contexts = []

    def go(*fragments, wait_for=".kit-total", **options):
        context = browser.new_context(offline=True, **{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.errors.append(message.text))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.goto(write_page(tmp_path / "page.html", *fragments).as_uri())
        page.wait_for_selector(wait_for)
        return page

    yield go
    for context in contexts:
        context.close()
    assert seen.errors == []
    assert all(url.startswith(("file:", "data:image/png;base64,")) for url in seen.requests)
    assert all(url.endswith("page.html") for url in seen.requests if url.startswith("file:"))
