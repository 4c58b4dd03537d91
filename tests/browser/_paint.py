"""When a page may be read after something was done to it."""

from __future__ import annotations

from typing import Any

_TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def painted(page: Any) -> Any:
    """The page, once it shows what was done to it: the panel draws in the animation frame after an event."""
    page.evaluate(_TWO_FRAMES)  # frames run in the order they were asked for, so the panel's is over by then
    return page
