"""What a reader does with a training that is paused: keep it twice, compare, export, open the page with no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser._axe import violations
from tests.browser._offline import opened_offline
from tests.browser._paint import painted

NOTES = {"with the weight": "Paused after the fault was taken out.", "without the weight": "lam_cov pulled to 0."}


def keep(page: Any, name: str) -> None:
    """Name, note, "Keep this"; returns once the list shows it."""
    from playwright.sync_api import expect

    journal = page.locator(".kit-journal").first
    journal.locator(".kit-keep-name").fill(name)
    journal.locator(".kit-keep textarea").fill(NOTES[name])
    journal.get_by_role("button", name="Keep this").click()
    expect(journal.locator(".kit-export-status")).to_have_text(f"Kept as \u201c{name}\u201d.", timeout=30_000)


def compare_and_export(page: Any, root: Path) -> Path:
    """Sets both beside each other in the notebook, writes one page of both, and returns that page."""
    from playwright.sync_api import expect

    journal = page.locator(".kit-journal").first
    expect(journal.locator(".kit-entry")).to_have_count(2)
    journal.get_by_role("button", name="Compare", exact=True).click()
    inside = journal.locator(".kit-compared").content_frame
    expect(inside.get_by_text("What differs")).to_be_visible(timeout=30_000)
    for note in NOTES.values():
        expect(inside.get_by_text(note)).to_have_count(1)
    expect(inside.get_by_role("row").filter(has_text="lam_cov").first).to_be_visible()
    journal.get_by_role("button", name="Write one page (HTML)").click()
    expect(journal.locator(".kit-export-status")).to_contain_text("journal.html", timeout=30_000)
    (path,) = root.rglob("journal.html")
    return path


def read_offline(browser: Any, path: Path, axe: str, folder: Path) -> None:
    """Notes and settings as they were kept; a link restores the sliders; axe and the printer are content."""
    from playwright.sync_api import expect

    with opened_offline(browser, path) as page:
        for note in NOTES.values():
            expect(page.get_by_text(note, exact=True).first).to_be_visible()
        expect(_box(page, 2, "lam_cov")).to_have_value("0")
        assert _box(page, 1, "lam_cov").input_value() != "0"
        _box(page, 1, "lam_cov").fill("1.25")
        total = painted(page).locator("#panel-1 .kit-total").inner_text()
        page.locator("#panel-1-tools .kit-copy-link").click()
        link = page.locator("#panel-1-tools .kit-link").input_value()
        page.wait_for_function(
            "() => document.querySelector('#panel-1-tools [role=status]').textContent.includes('ink')"
        )
        assert violations(painted(page), axe) == []
    with opened_offline(browser, path) as page:
        page.goto(link)
        expect(_box(page, 1, "lam_cov")).to_have_value("1.25")
        expect(page.locator("#panel-1 .kit-total")).to_have_text(total)
        expect(_box(page, 2, "lam_cov")).to_have_value("0")
        page.emulate_media(media="print")
        page.pdf(path=folder / "page.pdf", format="A4")
    assert (folder / "page.pdf").read_bytes().startswith(b"%PDF")


def _box(page: Any, panel: int, weight: str) -> Any:
    return page.locator(f'#panel-{panel} .kit-row[data-weight="{weight}"] input.kit-box')
