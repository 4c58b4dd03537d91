"""An exported page as its reader opens it: from a file, with no network; nothing may be asked, nothing may be complained of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

VIEWPORT = {"width": 1200, "height": 900}
_free: WeakKeyDictionary[Any, dict[tuple, list[Tab]]] = WeakKeyDictionary()


class Tab:
    """A tab with no network, and what its page asked for and said."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.page = browser.new_context(offline=True, **options).new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))


@contextlib.contextmanager
def offline_tab(
    browser: Any,
    *,
    own: bool = False,
    viewport: dict[str, int] = VIEWPORT,
    color_scheme: str = "light",
    reduced_motion: str = "no-preference",
    **options: Any,
) -> Iterator[Tab]:
    """A tab for a page to be opened in; one that was left in good order is used again, since a new one takes longer to open
    than most pages take to read. own: for what cannot be undone in a tab, such as a clock that was stopped."""
    free = _free.setdefault(browser, {}).setdefault(tuple(sorted(options.items())), [])
    tab = Tab(browser, **options) if own or not free else free.pop()
    page = tab.page
    try:
        page.set_viewport_size(viewport)
        page.emulate_media(media="null", color_scheme=color_scheme, reduced_motion=reduced_motion)
        yield tab
        if own:
            return
        page.goto("about:blank")
        page.mouse.up()
        page.mouse.move(0, 0)  # else the next page opens under a pointer
        tab.requests.clear()
        tab.said.clear()
        free.append(tab)
    finally:
        if tab not in free:
            page.context.close()


@contextlib.contextmanager
def opened_offline(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """The page; on leaving, it has made no request but for its own file and said nothing on the console."""
    with offline_tab(browser, **options) as tab:
        tab.page.goto(path.as_uri())
        yield tab.page
        assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
        assert tab.said == []
