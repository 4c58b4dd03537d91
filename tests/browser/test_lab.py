"""The main job in a real JupyterLab and a real Chromium: drag a weight to zero, see why, export, open offline, drag again."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.browser._lab import READY, RUN_ALL, running_lab
from tests.browser._latency import followed
from tests.browser._offline import opened_offline
from tests.browser._paint import painted

pytestmark = pytest.mark.browser


class PanelOnPage:
    """The panel as a user meets it: by its labels and classes, in Lab and in the exported page alike."""

    def __init__(self, page):
        self.root = page.locator(".kit-panel:has(.kit-total)").first
        self.page = page
        self.total, self.gradient = self.root.locator(".kit-total"), self.root.locator(".kit-grad")

    def slider(self, weight):
        return self.root.locator(f'.kit-row[data-weight="{weight}"] input[type=range]')

    def box(self, weight):
        return self.root.locator(f'.kit-row[data-weight="{weight}"] input.kit-box')

    def text(self, readout):
        """What a read-out says once everything done so far is drawn."""
        painted(self.page)
        return readout.text_content()

    def number(self, readout):
        return float(re.search(r"=\s*([-\d.e−]+)", self.text(readout))[1].replace("−", "-"))

    def weight(self, weight):
        painted(self.page)
        return float(self.box(weight).input_value())

    def weighted(self, term):
        """What the first bar of this term shows."""
        painted(self.page)
        return float(self.root.locator(f'rect[data-term="{term}"]').first.get_attribute("data-value"))

    def drag(self, weight, share):
        """Press on the slider's handle and pull it to ``share`` of its length."""
        slider = self.slider(weight)
        slider.scroll_into_view_if_needed()
        painted(self.page)  # the handle stands where the last change put it
        place = slider.bounding_box()
        now = float(slider.input_value()) / float(slider.get_attribute("max"))
        y = place["y"] + place["height"] / 2
        self.page.mouse.move(place["x"] + 9 + now * (place["width"] - 18), y)
        self.page.mouse.down()
        self.page.mouse.move(place["x"] + share * place["width"], y, steps=12)
        self.page.mouse.up()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """Notebook 01, all cells run; nothing was asked of any other machine and no script failed."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    errors, outside = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((lab.base, "data:", "blob:")) else None)
    page.goto(lab.address("01_loss_weights.ipynb"))
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.allRan !== 0", timeout=180_000)
    assert page.evaluate("() => window.allRan") == 1, "a cell failed"
    yield page
    assert not errors
    assert not [url for url in outside if not url.startswith(("ws://127.0.0.1", "about:"))]
    page.close()


def in_kernel(page, code: str) -> str:
    """What the notebook's kernel prints for this code."""
    return page.evaluate(
        """async code => {
          const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
          const future = kernel.requestExecute({ code, store_history: false });
          let text = '';
          future.onIOPub = m => { if (m.header.msg_type === 'stream') text += m.content.text };
          await future.done;
          return text }""",
        code,
    ).strip()


def total_in_kernel(page, weight: str, value: float) -> float:
    """The kernel's own total, once this weight has arrived there: an update may wait behind one that is on its way."""
    end = time.monotonic() + 20
    while float(in_kernel(page, f"print(panel.weights[{weight!r}])")) != value:
        assert time.monotonic() < end, f"the kernel never heard of {weight} = {value}"
    return float(in_kernel(page, "print(kit.whatif.total(panel.report, panel.weights))"))


def test_the_whole_job(notebook, lab, browser):
    from playwright.sync_api import expect

    page, panel = notebook, PanelOnPage(notebook)
    panel.root.scroll_into_view_if_needed()
    expect(panel.total).to_contain_text("total = ")
    expect(panel.root.locator(".kit-again")).to_contain_text(
        "After a restart, run this cell again.", use_inner_text=True
    )
    before_total, before_gradient = panel.number(panel.total), panel.number(panel.gradient)
    assert before_total > 1

    # the keyboard, inside JupyterLab, which would like the arrow keys for itself
    panel.slider("lam_cov").focus()
    page.keyboard.press("ArrowRight")
    expect(panel.box("lam_cov")).to_have_value("0.305")
    cells = page.locator(".jp-Cell").count()
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.keyboard.press("Home")
    expect(panel.box("lam_cov")).to_have_value("0")
    assert painted(page).locator(".jp-Cell").count() == cells, "d d must not delete the cell"
    without_cov = panel.number(panel.total)
    assert 0 < without_cov < before_total, "one term of seven is gone, the others remain"
    assert panel.weighted("loss_nmse") == 0
    assert panel.weighted("aux_l2") > 0
    assert panel.number(panel.gradient) != before_gradient

    # the kernel knows the setting, and computes the same total
    assert total_in_kernel(page, "lam_cov", 0.0) == pytest.approx(without_cov, rel=1e-3)

    # the mouse
    panel.root.locator("button.kit-reset").click()
    expect(panel.box("lam_cov")).to_have_value("0.3")
    panel.drag("lam_cov", 0.93)
    assert 1 < panel.weight("lam_cov") < 1.8
    assert panel.number(panel.total) > before_total
    panel.drag("lam_cov", -0.1)
    expect(panel.box("lam_cov")).to_have_value("0")
    assert panel.number(panel.total) == pytest.approx(without_cov, rel=1e-3)

    panel.root.locator("button.kit-all-zero").click()
    expect(panel.total).to_have_text("total = 0 exactly")
    expect(panel.gradient).to_have_text("|g| = 0 exactly")

    # leave it at lam_aux = 0, with a note, and export
    panel.root.locator("button.kit-reset").click()
    panel.slider("lam_aux").press("Home")
    left_at = panel.text(panel.total)
    assert panel.number(panel.total) != before_total, "what is exported is not the setting it opened with"
    panel.root.locator("textarea").fill("Seen by <b>me</b> </script> & checked")
    panel.root.locator("button.kit-export").click()
    expect(panel.root.locator(".kit-export-status")).to_contain_text("wrote", timeout=20_000)
    stderr = page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').all_inner_texts()
    assert all(re.fullmatch(r"kit\.probe: took \d+ s *", text.strip()) for text in stderr), "a busy machine is slow"

    exported = lab.root / "findings" / "01_loss_weights.html"
    assert exported.stat().st_size < 1_000_000
    _follow(page, panel.root, exported, left_at)
    _play_offline(exported, browser, left_at)


def _follow(page, place, exported, left_at):
    """The link beside the path opens the page from the notebook server, with its scripts; the button hands it over."""
    from playwright.sync_api import expect

    expect(place.locator(".kit-export-status")).to_have_text("wrote ../findings/01_loss_weights.html")
    with page.expect_popup() as opened:
        place.get_by_role("link", name="Open in a new tab").click()
    seen = opened.value
    expect(seen.locator(".kit-total").first).to_have_text(left_at, timeout=20_000)
    seen.locator("button.kit-all-zero").first.click()
    expect(seen.locator(".kit-total").first).to_have_text("total = 0 exactly")
    assert seen.evaluate("opener") is None
    expect(seen.get_by_role("link", name="Open in a new tab")).to_have_count(0)
    expect(seen.get_by_role("button", name="Numbers (CSV)").first).to_be_disabled()  # the server would drop the file
    seen.close()
    with page.expect_download() as got:
        place.get_by_role("button", name="Download").click()
    assert got.value.suggested_filename == exported.name
    assert Path(got.value.path()).read_bytes() == exported.read_bytes()


def test_the_line_below_the_cell_leads_to_the_page_too(notebook):
    """One form: what `offer` returns, the panel's button, the journal's button."""
    from playwright.sync_api import expect

    line = notebook.locator(".kit-written").first
    expect(line.locator(".kit-export-status")).to_contain_text("wrote ../findings/01_loss_weights.html (")
    with notebook.expect_popup() as opened:
        line.get_by_role("link", name="Open in a new tab").click()
    expect(opened.value).to_have_title("Is a zero loss weight the cause?")
    opened.value.close()
    journal = notebook.locator(".kit-journal").first
    journal.get_by_label("Finding", exact=True).select_option("Is a zero loss weight the cause?")
    journal.get_by_role("button", name="Keep this").click()
    expect(journal.locator(".kit-entry")).to_have_count(1, timeout=30_000)
    expect(journal.get_by_role("link", name="Open in a new tab")).to_have_count(0)
    journal.get_by_role("button", name="Write one page (HTML)").click()
    expect(journal.locator(".kit-export-status")).to_contain_text("wrote ../findings/journal.html (", timeout=30_000)
    with notebook.expect_popup() as opened:
        journal.get_by_role("link", name="Open in a new tab").click()
    expect(opened.value.locator(".kit-total").first).to_contain_text("total = ", timeout=20_000)
    opened.value.close()


def _play_offline(exported, browser, left_at):
    from playwright.sync_api import expect

    with opened_offline(browser, exported) as page:
        panel = PanelOnPage(page)
        expect(panel.total).to_have_text(left_at)  # as the reader left it
        expect(panel.box("lam_aux")).to_have_value("0")
        expect(page.locator(".kit-open:visible, .kit-download:visible")).to_have_count(0)
        expect(page.locator(".note")).to_have_text("Seen by <b>me</b> </script> & checked")

        without_aux = panel.number(panel.total)
        panel.drag("lam_cov", 0.93)
        assert panel.number(panel.total) > without_aux
        panel.root.locator("button.kit-all-zero").click()
        expect(panel.total).to_have_text("total = 0 exactly")
        expect(panel.gradient).to_have_text("|g| = 0 exactly")

        images = page.locator("figure img")
        assert images.count() >= 1
        for number in range(images.count()):
            assert len(images.nth(number).get_attribute("alt")) > 40


def test_a_guess_is_pressed_and_judged(notebook):
    """Asked at the top, judged below the training: the same buttons twice, and the kernel knows what was pressed."""
    from playwright.sync_api import expect

    asked, judged = notebook.locator(".kit-guess").first, notebook.locator(".kit-guess").last
    assert notebook.locator(".kit-guess").count() == 2
    asked.scroll_into_view_if_needed()
    asked.get_by_role("button", name="exactly 0").click()
    for view in (asked, judged):
        expect(view.locator(".kit-reply")).to_contain_text("You guessed \u201cexactly 0\u201d: refuted. Measured: 3.")
        expect(view.get_by_role("button", name="exactly 0")).to_have_attribute("aria-pressed", "true")
    assert in_kernel(notebook, "print(guess.made)") == "exactly 0"


def test_a_slider_is_followed_in_the_frames_that_come(notebook):
    slider = '.kit-panel:not(.kit-live) .kit-row[data-weight="lam_K"] input[type=range]'
    followed(notebook, slider, ".kit-total")


def test_an_export_that_fails_says_so_in_the_panel(notebook):
    from playwright.sync_api import expect

    in_kernel(notebook, "panel.on_export(lambda p: finding.write('findings/no_such_type.txt'))")
    panel = PanelOnPage(notebook)
    panel.root.locator("button.kit-export").click()
    expect(panel.root.locator(".kit-export-status")).to_contain_text("path should end in .html", timeout=20_000)
    in_kernel(notebook, "finding.offer('../findings/01_loss_weights.html')")
