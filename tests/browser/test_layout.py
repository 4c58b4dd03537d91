"""What is on the screen together, in the windows that people have: JupyterLab with its file browser, Notebook 7, light and dark."""

from __future__ import annotations

import itertools

import nbformat
import pytest

from tests.browser._boxes import boxes, out_of_sight, scrolled_to
from tests.browser._lab import READY, RUN_ALL, running_lab
from tests.browser._paint import painted

pytestmark = pytest.mark.browser

SIZES = ((1440, 900), (1280, 800))
PANEL = """\
import kit
from kit.panel import Preset
from tests.panel._panel_cases import WEIGHT_NAMES, make_report
states = {"as it is": make_report(1), "every gradient is NaN": make_report(1, broken=range(7)), "later": make_report(2)}
presets = [Preset(f"zero_{name}", f"{name} is 0", {name: 0.0}, f"Hypothesis {i % 4}") for i, name in enumerate(WEIGHT_NAMES)]
kit.Panel(states, presets=presets)"""
LIVE = """\
import kit
system = kit.training.System.generate(seed=3, samples=48, validation_samples=8, array=kit.PlanarArray(4, 3))
panel = kit.LivePanel(kit.live.SystemSession(system, probe_every=15, epochs=2000))
display(panel, kit.journal.Journal("journal").view(panel))"""
FEW = """\
import kit, torch
from torch import nn
class Loss(nn.Module):
    lam_a, lam_b = 1.0, 0.5
    def forward(self, p, t): return self.lam_a * (p - t).square().mean() + self.lam_b * p.abs().mean()
torch.manual_seed(0)
model = nn.Linear(3, 1)
batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(6)]
panel = kit.LivePanel(kit.live.OwnSession.of(model, Loss(), torch.optim.SGD(model.parameters(), 0.1), batches))
panel.steps(6)
display(panel, kit.Panel(kit.probe(model, Loss(), batches[0])))"""
SLIDERS = [".kit-row", ".kit-row input[type=range]", ".kit-row .kit-box"]
ON_ONE_SCREEN = {
    "panel": [".kit-title", ".kit-total", ".kit-grad", ".kit-reset", *SLIDERS]
    + [
        f".kit-plot-{kind} {what}"
        for kind in ("parts", "gradients")
        for what in (".kit-question", ".kit-bar", ".kit-axis")
    ],
    "live": [
        ".kit-title",
        ".kit-live-go",
        ".kit-live-said",
        *SLIDERS,
        ".kit-live-play canvas.kit-live-canvas",
        ".kit-total",
    ]
    + [".kit-small-parts", ".kit-small-gradients", ".kit-live-now", ".kit-live-next"],
}
COUNTS = {".kit-row": 7, ".kit-plot-parts .kit-bar": 8, ".kit-plot-gradients .kit-bar": 8}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running_lab(tmp_path_factory.mktemp("layout")) as lab:
        for name, code in (("panel", PANEL), ("live", LIVE), ("few", FEW)):
            words = nbformat.v4.new_markdown_cell("# A question\n\nSome words before the panel.")
            more = nbformat.v4.new_markdown_cell("More words.\n\n" * 40)
            book = nbformat.v4.new_notebook(cells=[words, nbformat.v4.new_code_cell(code), more])
            book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(book, lab.root / "notebooks" / f"{name}.ipynb")
        yield lab


@pytest.fixture(scope="module", params=["lab", "notebook"])
def opened(request, lab, browser):
    """opened(name) -> page with this notebook, its cells run, in one of the two programs."""
    if request.param == "notebook":
        pytest.importorskip("notebook")
    pages = {}

    def go(name):
        if name not in pages:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            address = lab.address if request.param == "lab" else lab.notebook7
            page.goto(address(f"{name}.ipynb"))
            page.wait_for_function(READY, timeout=60_000)
            page.evaluate(RUN_ALL)
            page.wait_for_function("() => window.allRan !== 0", timeout=120_000)
            assert page.evaluate("() => window.allRan") == 1, "a cell failed"
            page.wait_for_selector(".kit-panel .kit-total", timeout=60_000)
            if name == "live":  # a curve is there to be seen
                page.click(".kit-live-go")
                page.wait_for_selector(".kit-live-play canvas.kit-live-canvas:not([hidden])", timeout=60_000)
                page.click(".kit-live-go")
            pages[name] = page
        return pages[name]

    go.program = request.param
    yield go
    for page in pages.values():
        page.close()


def use(page, theme, size):
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", f"JupyterLab {theme}"
    )
    light = str(theme == "Light").lower()
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light, timeout=20_000)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    return scrolled_to(page, ".kit-panel")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["panel", "live"])
def test_what_is_dragged_and_what_it_moves_are_on_the_screen_together(opened, name, size, theme):
    page = use(opened(name), theme, size)
    if opened.program == "lab":
        files = page.locator(".jp-FileBrowser").bounding_box()
        assert (
            files["width"] > 200 and files["x"] + files["width"] < page.locator(".kit-panel").first.bounding_box()["x"]
        )
    seen = out_of_sight(page, ".kit-panel", ON_ONE_SCREEN[name])
    assert seen["out"] == [], seen["area"]
    for selector, count in seen["counts"].items():
        assert count >= COUNTS.get(selector, 1), selector
    if name == "live":
        first = boxes(page.locator(".kit-live-go, .kit-row, .kit-live-play canvas.kit-live-canvas"))
        assert max(y + height for _, y, _, height in first) <= seen["panel"]["top"] + 700


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_with_two_sliders_nothing_of_a_live_panel_lies_over_another_part(opened, size):
    """A panel in the same notebook brings its own style sheet once more."""
    page = use(opened("few"), "Light", size)
    parts = (".kit-controls", ".kit-live-chart >> nth=0", ".kit-readout", ".kit-live-acts", ".kit-live-faults")
    found = [page.locator(f".kit-live >> {part}").first.bounding_box() for part in parts]
    for (one, a), (other, b) in itertools.combinations(zip(parts, found, strict=True), 2):
        beside = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
        below = a["y"] + a["height"] <= b["y"] + 1 or b["y"] + b["height"] <= a["y"] + 1
        assert beside or below, (one, other)
    controls, chart = found[:2]
    assert abs(controls["y"] - chart["y"]) < 2, "the curve begins where the sliders do"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_each_slider_stands_beside_its_bars_and_moves_them(opened, size):
    page = use(opened("panel"), "Light", size)
    rows, parts, gradients = (
        boxes(page.locator(s)) for s in (".kit-row", ".kit-plot-parts .kit-bar", ".kit-plot-gradients .kit-bar")
    )
    for row, part, gradient in zip(rows, parts, gradients, strict=False):
        assert abs(row[1] - part[1]) < 1.5 and abs(row[1] - gradient[1]) < 1.5, "in one line"
        assert row[0] + row[2] <= part[0] and part[0] + part[2] <= gradient[0]
    bar = page.locator(".kit-plot-parts rect.kit-mark").nth(4)
    gradient = page.locator(".kit-plot-gradients rect.kit-mark").nth(4)
    before = bar.bounding_box()["width"], gradient.bounding_box()["width"], page.locator(".kit-total").inner_text()
    slider = page.locator('.kit-row[data-weight="lam_aux"] input[type=range]')
    place = slider.bounding_box()
    y, share = place["y"] + place["height"] / 2, float(slider.input_value()) / float(slider.get_attribute("max"))
    page.mouse.move(place["x"] + 9 + share * (place["width"] - 18), y)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2, y, steps=8)
    painted(page)
    assert bar.bounding_box()["width"] < before[0] / 3 and gradient.bounding_box()["width"] < before[1] / 3
    assert page.locator(".kit-total").inner_text() != before[2]
    assert out_of_sight(page, ".kit-panel", ON_ONE_SCREEN["panel"])["out"] == [], "while the button is held"
    page.mouse.up()
    page.locator("button.kit-reset").click()


@pytest.mark.parametrize("name", ["panel", "live"])
def test_in_a_narrow_part_of_the_window_the_numbers_stay_above_the_sliders(opened, name):
    page = use(opened(name), "Light", (560, 700))
    panel, readout = page.locator(".kit-panel").first, page.locator(".kit-readout")
    if panel.bounding_box()["width"] >= 700:
        pytest.fail("the panel should be narrow here")
    area = page.locator(".jp-WindowedPanel-outer").bounding_box()
    rows = page.locator(".kit-row")
    for number in range(7):
        scrolled_to(page, rows.nth(number), 110)
        ((_, top, _, height),), (row,) = boxes(readout), boxes(rows.nth(number))
        assert area["y"] - 1 <= top and top + height <= row[1] + 1 and row[1] + row[3] <= area["y"] + area["height"] + 1
    scrolled_to(page, ".kit-panel")
