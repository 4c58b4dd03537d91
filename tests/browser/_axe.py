"""axe-core, which looks for what WCAG 2.2 AA forbids; a development tool, fetched as `tests.panel._npm` says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.panel._npm import npm_package

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules of LEVELS that look at colours
RUN = "options => window.axe.run(options.within ?? document, { runOnly: options.rules, resultTypes: ['violations'] })"


def axe_source(folder: Path) -> str:
    return (npm_package("axe-core", folder) / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Any, source: str, within: str | None = None, rules: Iterable[str] = LEVELS) -> list[str]:
    """One line a violation, with the first element; within: a selector, where the rest is not ours (JupyterLab's frame)."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(source)  # over the debugging port: the page's own policy admits no foreign script
    found = page.evaluate(RUN, {"rules": list(rules), "within": within})
    assert found["testEngine"]["name"] == "axe-core"
    return [
        f"{item['id']} ({item['impact']}, {len(item['nodes'])}): {item['help']}: {item['nodes'][0]['html'][:200]}"
        for item in found["violations"]
    ]
