"""A figure in a light theme, in a dark one, on paper, and where the style is taken away."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from kit.plots import evidence as evidence_of
from kit.plots import figure_style, new_axes
from kit.report import Finding
from tests.panel._panel_page import write_page

pytestmark = pytest.mark.browser
DARK_LAB = '<script>document.body.dataset.jpThemeLight = "false"; document.body.style.background = "#111111"</script>'
LIGHT_LAB = '<script>document.body.dataset.jpThemeLight = "true"</script>'


@pytest.fixture(scope="module")
def shown():
    ax = new_axes()[0]
    ax.plot([0, 1], [0, 1])
    return evidence_of(ax, "A line from 0 to 1.", "Does it rise?")


@pytest.fixture
def ground(browser, tmp_path):
    """ground(html, selector, ...) -> the commonest colour of the picture as it is painted: its ground."""
    pages = []

    def look(html, *, media="screen", scheme="light", selector=".kit-figure"):
        page = browser.new_page(viewport={"width": 900, "height": 700}, color_scheme=scheme)
        pages.append(page)
        if media == "print":
            page.emulate_media(media="print")
        page.goto(write_page(tmp_path / f"page{len(pages)}.html", html).as_uri())
        picture = page.locator(selector).first
        picture.wait_for()
        seen = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
        return max(seen.getcolors(seen.width * seen.height))[1]

    yield look
    for page in pages:
        page.close()


def is_light(colour):
    return min(colour) > 245


def is_dark(colour):
    return max(colour) < 30


def test_the_ground_of_a_figure_suits_its_theme(ground, shown):
    html = shown._repr_html_()
    assert is_light(ground(html + LIGHT_LAB))
    assert is_light(ground(html + LIGHT_LAB, scheme="dark")), "the notebook's theme counts, not the system's"
    assert is_dark(ground(html + DARK_LAB))
    assert is_dark(ground('<script>document.body.className = "vscode-dark"</script>' + html))
    assert is_light(ground(html + DARK_LAB, media="print")), "paper is white"


def test_where_styles_are_taken_away_the_picture_is_as_it_was_drawn(ground, shown):
    bare = re.sub(r' class="[^"]*"', "", shown._repr_html_().replace(figure_style(), ""))
    assert "<style" not in bare and 'alt="A line from 0 to 1."' in bare
    assert is_light(ground(bare + DARK_LAB, selector="img"))


def test_the_exported_page_does_the_same(browser, shown, tmp_path):
    finding = Finding(
        question="Does it rise?", claim="It rises.", verdict="confirmed", answer="It does.", evidence=(shown,)
    )
    address = finding.write(tmp_path / "finding.html").path.as_uri()
    filters = {}
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        page = browser.new_page(color_scheme=scheme)
        page.emulate_media(media=media)
        page.goto(address)
        filters[scheme, media] = page.locator(".kit-picture").evaluate("node => getComputedStyle(node).filter")
        page.close()
    assert filters["light", "screen"] == filters["dark", "print"] == "none"
    assert filters["dark", "screen"] in figure_style()
