"""A page on A4: measured in boxes under print rules, and as the sheets that the printer gets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.browser._offline import opened_offline

MILLIMETRE = 96 / 25.4  # pixels
SHEET = (210 - 2 * 14, 297 - 16 - 18)  # mm: A4 without the margins that page.css sets
WIDTH, HEIGHT = (round(side * MILLIMETRE) for side in SHEET)
BEYOND = """width => [...document.querySelectorAll('body *')]
    .filter(n => n.checkVisibility() && !n.closest('.visually-hidden, math, svg') && getComputedStyle(n).position !== 'absolute')
    .filter(n => n.getBoundingClientRect().width > 0 && n.getBoundingClientRect().right > width + 1)
    .map(n => `${n.tagName}.${n.className} ${Math.round(n.getBoundingClientRect().right)}`)"""
HEIGHTS = "selector => [...document.querySelectorAll(selector)].map(n => n.getBoundingClientRect().height)"
HEADS = "() => [...document.querySelectorAll('.kit-table thead th')].map(n => n.textContent)"


def assert_whole_on_paper(browser: Any, path: Path, folder: Path) -> None:
    """Folded or not, every part is on paper; nothing is wider than the sheet, no figure or panel higher; the answer comes first."""
    pdf = folder / "page.pdf"
    with opened_offline(browser, path, viewport={"width": WIDTH, "height": HEIGHT}) as tab:
        tab.wait_for_selector(".kit-total")
        tab.emulate_media(media="print")
        assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTH
        assert tab.evaluate(BEYOND, WIDTH) == []
        for kind in ("figure:has(.kit-picture)", ".live", "section.summary"):
            heights = tab.evaluate(HEIGHTS, kind)
            assert heights and min(heights) > 50 and max(heights) <= HEIGHT, kind
        heads = tab.evaluate(HEADS)
        wrong = tab.locator(".summary .wrong").all_inner_texts()
        tab.pdf(path=pdf, prefer_css_page_size=True, format="A4")
    tool = shutil.which("pdftotext")
    if tool is None:
        return

    def read(*pages: str) -> str:
        done = subprocess.run([tool, "-raw", *pages, pdf, "-"], capture_output=True, text=True, check=True)
        return " ".join(done.stdout.split())

    whole, first = read(), read("-l", "1")
    assert heads and [head for head in heads if " ".join(head.split()) not in whole] == []
    assert wrong and [line for line in wrong if line not in first] == []
    assert "How we know" in first and "Do this" in first and "Contents".upper() in first.upper()
