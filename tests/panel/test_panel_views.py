"""What a reader sees of a panel in a real browser: typing, odd settings, wide and narrow, on paper, without JavaScript."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from kit.panel import Panel, Preset, standalone_panel
from tests.browser._paint import painted
from tests.panel._panel_cases import WEIGHT_NAMES, WEIGHTS, make_report

pytestmark = pytest.mark.browser
ZERO = dict.fromkeys(WEIGHT_NAMES, 0.0)


@pytest.fixture
def show(visit):
    """show(panel) -> page with it, as the export writes it."""

    def go(panel, **options):
        return visit(
            standalone_panel(panel.data, panel.weights, panel.case, "one", title=panel.title, still=panel.still_html()),
            **options,
        )

    return go


def row(page, name, what):
    return page.locator(f'.kit-row[data-weight="{name}"] {what}')


def test_a_decimal_comma_is_a_decimal_point(show):
    page = show(Panel(make_report(1)))
    box, message = row(page, "lam_cov", "input.kit-box"), row(page, "lam_cov", ".kit-message")
    box.press("Control+a")
    box.press_sequentially("0,5")
    box.press("Tab")
    painted(page)
    assert box.input_value() == "0,5" and message.is_hidden() and box.get_attribute("aria-invalid") == "false"
    total = make_report(1).total + 0.2 * 1.3
    page.wait_for_function(f"() => document.querySelector('.kit-total').textContent === 'total = {total:#.4g}'")
    box.fill("7,5")
    assert message.inner_text() == "0 to 2"
    box.press("Enter")
    painted(page)
    assert box.input_value() == "0.5", "the last number that could be set"


def test_a_negative_weight_has_a_row_without_a_slider(show):
    report = make_report(1, weights=(*WEIGHTS[:6], -0.1))
    page = show(Panel({"as it is": report, "later": make_report(2)}))
    line = page.locator('.kit-row[data-weight="lam_peak_contrast"]')
    assert line.locator("input, button").count() == 0
    assert line.locator(".kit-fixed").inner_text() == "fixed at \u22120.1"
    assert line.locator(".kit-why").inner_text() == "negative weight: shown, not adjustable"
    assert page.locator(".kit-total").inner_text() == f"total = {report.total:#.4g}"
    assert page.locator(".kit-grad").inner_text() == f"|g| = {report.grad_norm:#.4g}"
    page.select_option("select.kit-scale", index=1)
    page.click("button.kit-all-zero")
    page.wait_for_function("() => document.querySelector('.kit-total').textContent === 'total = \u22120.3250'")
    gradient = f"|g| = {0.1 * np.sqrt(report.G[6, 6]):#.4g}"
    assert page.locator(".kit-grad").inner_text() == gradient
    page.select_option("select.kit-case", index=1)
    page.wait_for_function("() => document.querySelector('.kit-fixed').textContent === 'fixed at 0.1'")
    assert line.locator(".kit-why").inner_text() == "negative in another probed state: shown, not adjustable"


def test_only_a_cosine_of_a_tenth_against_is_marked(show):
    report = make_report(1)
    for i, j, cosine in ((2, 3, -0.004), (2, 4, -0.0996), (3, 4, -0.1001)):
        report.G[i, j] = report.G[j, i] = cosine * np.sqrt(report.G[i, i] * report.G[j, j])
    cosines = report.G / np.sqrt(np.outer(np.diag(report.G), np.diag(report.G)))
    page = show(Panel(report))
    cells = page.locator(".kit-matrix tbody td")
    marked = cells.evaluate_all("nodes => nodes.map(n => n.classList.contains('kit-conflict'))")
    assert np.array_equal(np.reshape(marked, (7, 7)), cosines <= -0.1) and cosines[2, 4] > -0.1 > cosines[3, 4]
    assert not {"\u2212.00", "\u22120", "-.00"} & set(cells.all_inner_texts())
    remark = page.locator(".kit-plot-cosines .kit-remark").inner_text()
    assert remark.startswith(f"{int((np.triu(cosines, 1) <= -0.1).sum())} pair")
    assert "marked: cosine \u2264 \u22120.1" in page.locator(".kit-plot-cosines .kit-caption").inner_text()


def test_with_no_finite_gradient_the_matrix_claims_no_peace(show):
    page = show(Panel(make_report(1, broken=range(7))))
    remark = page.locator(".kit-plot-cosines .kit-remark")
    assert remark.inner_text().startswith("Nothing was measured")
    page.click("button.kit-all-zero")
    page.wait_for_function(
        "() => document.querySelector('.kit-plot-cosines .kit-remark').textContent.startsWith('Nothing to measure')"
    )


def test_a_preset_that_changes_nothing_says_so(show):
    panel = Panel(
        {"a": make_report(1), "b": make_report(2, weights=(0.1,) * 7)},
        presets=[
            Preset("same", "lam_cov is not passed", dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True)), what="Its default."),
            Preset("zero", "All zero", ZERO, what="Nothing is weighed."),
        ],
    )
    page = show(panel)
    what = page.locator(".kit-what")
    assert what.inner_text() == "Its default (same as probed)."
    page.click("button.kit-preset[data-preset=zero]")
    painted(page)
    assert what.inner_text() == "Nothing is weighed."
    page.select_option("select.kit-case", index=1)
    page.click("button.kit-preset[data-preset=same]")
    page.locator(".kit-total").click()
    painted(page)
    assert what.inner_text() == "Its default.", "in this state it is not what was probed"


@pytest.mark.parametrize("width", [800, 1300])
def test_the_matrix_uses_the_room_under_its_heading(show, width):
    page = show(Panel(make_report(1)), viewport={"width": width, "height": 900})
    plots, figure, matrix, head = (
        page.locator(place).bounding_box()
        for place in (".kit-play", ".kit-plot-cosines", ".kit-matrix", ".kit-plot-cosines figcaption")
    )
    assert abs(figure["width"] - plots["width"]) < 2 and matrix["width"] > 0.97 * plots["width"]
    assert abs(matrix["x"] - head["x"]) < 4 and 0 <= matrix["y"] - head["y"] - head["height"] < 16
    clipped = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth).length"
    assert page.locator(".kit-matrix tbody th").evaluate_all(clipped) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_weights_and_plots_stay_and_controls_go(show, tmp_path, scheme):
    panel = Panel(make_report(1), presets=[Preset("zero", "All zero", ZERO)])
    panel.weights = {"lam_cov": 1.23}
    page = show(panel, color_scheme=scheme)
    page.emulate_media(media="print", color_scheme=scheme)
    assert row(page, "lam_cov", "input.kit-box").input_value() == "1.23"
    shown = ".kit-box, .kit-weight-name, .kit-strip, .kit-matrix, .kit-total, .kit-meaning, .kit-remark"
    visible = "nodes => nodes.filter(n => n.checkVisibility() && n.getBoundingClientRect().height > 0).length"
    assert (
        page.locator(".kit-box").evaluate_all(visible) == 7 and page.locator(".kit-strip").evaluate_all(visible) == 16
    )
    for place in shown.split(", ")[1:]:
        assert page.locator(place).evaluate_all(visible) > 0, place
    assert page.locator(".kit-panel :is(button, [type=range], textarea)").evaluate_all(visible) == 0
    style = page.locator(".kit-panel").evaluate("n => [getComputedStyle(n).backgroundColor, getComputedStyle(n).color]")
    assert style == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    tool = shutil.which("pdftotext")
    if tool is not None:
        page.emulate_media(media="print", color_scheme=scheme)
        page.pdf(path=tmp_path / "page.pdf", format="A4")
        text = subprocess.run([tool, tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True).stdout
        assert "1.23" in text and "Do the gradients point in the same direction?" in text and "only this" not in text


def test_without_javascript_the_setting_is_a_picture_and_a_table(show):
    panel = Panel(make_report(1), title="What would make it read 0?")
    panel.weights = {"lam_cov": 1.5}
    page = show(panel, java_script_enabled=False, wait_for=".kit-still img", viewport={"width": 360, "height": 800})
    assert page.locator(".kit-still figcaption").inner_text() == (
        "What would make it read 0? State: as probed. Static figure; the sliders need JavaScript."
    )
    assert page.locator(".kit-still tbody tr").first.locator("td").nth(1).inner_text() == "1.5"
    assert page.locator(".kit-still img").bounding_box()["width"] <= 360
