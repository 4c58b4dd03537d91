"""An exported page as its reader opens it: from a file, with no network; nothing may be asked, nothing may be complained of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def opened_offline(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """The page; on leaving, it has made no request but for its own file and said nothing on the console."""
    context = browser.new_context(offline=True, **{"viewport": {"width": 1200, "height": 900}, **options})
    page = context.new_page()
    requests, said = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(path.as_uri())
        yield page
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        assert said == []
    finally:
        context.close()
