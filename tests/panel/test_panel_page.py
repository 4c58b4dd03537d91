"""The panel in an exported page: real Chromium, from a file, under a policy that forbids every request."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from kit.panel import Panel, Preset, panel_data, standalone_panel
from tests.browser._paint import painted
from tests.panel._panel_cases import HOSTILE, WEIGHT_NAMES, WEIGHTS, make_report
from tests.panel._panel_page import write_page

pytestmark = pytest.mark.browser
PRESETS = [
    Preset(
        "cov_only",
        "Covariance only",
        {k: 1.0 if k == "lam_cov" else 0.0 for k in WEIGHT_NAMES},
        "Zero weights",
        what="Only the covariance term is left.",
    ),
    Preset("late", "Late, no aux", {"lam_aux": 0.0}, "Zero weights", case="epoch 9"),
]
FIRST, SECOND = make_report(1), make_report(2, weights=(0.1,) * 7)


@pytest.fixture
def page(visit):
    data = panel_data({"epoch 1": FIRST, "epoch 9": SECOND}, PRESETS)
    return visit(standalone_panel(data, dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True)), "epoch 1", "one"))


def row(page, name, kind="[type=range]"):
    return page.locator(f'.kit-row[data-weight="{name}"] input{kind}')


def expect_setting(page, report, **changes):
    """Read-out, rows and bars show the numbers of numpy for the probed weights with `changes`."""
    w = np.array([changes.get(name, probed) for name, probed in zip(WEIGHT_NAMES, report.weights, strict=True)])
    total, norm = w @ report.L, np.sqrt(w @ report.G @ w)
    wanted = [f"{what} = {x:#.4g}" if x else f"{what} = 0 exactly" for what, x in (("total", total), ("|g|", norm))]
    page.wait_for_function(
        """wanted => ['.kit-total', '.kit-grad'].every(
        (place, i) => document.querySelector(place).textContent === wanted[i])""",
        arg=wanted,
        timeout=5000,
    )
    assert [float(box.input_value()) for box in page.locator(".kit-row input.kit-box").all()] == w.tolist()
    bars = page.locator(".kit-plot-parts rect").evaluate_all("nodes => nodes.map(n => Number(n.dataset.value))")
    assert np.allclose(bars, [*(w * report.L), total])


def test_opens_as_probed(page):
    expect_setting(page, FIRST)
    assert page.locator(".kit-badge").inner_text() == "as probed"
    assert page.locator("button.kit-export").is_hidden()
    assert "2.492" in page.locator(".kit-check").inner_text()
    assert page.locator(".kit-again").is_hidden(), "a page needs no kernel"


def test_home_key_sets_zero_and_the_number_is_gone_from_the_total(page):
    for name in ("lam_K", "lam_ortho"):  # 0.001 is below the step of the slider
        row(page, name).press("Home")
    expect_setting(page, FIRST, lam_K=0.0, lam_ortho=0.0)
    assert page.locator(".kit-badge").inner_text() == "re-weighted at this step, not retrained"


def test_keys_step_and_stay_in_the_panel(page):
    page.evaluate("window.leaked = []; document.addEventListener('keydown', e => window.leaked.push(e.key))")
    slider = row(page, "lam_cov")
    slider.press("ArrowRight")
    expect_setting(page, FIRST, lam_cov=0.305)
    assert slider.get_attribute("aria-valuetext") == "0.305"
    slider.press("ArrowDown")
    expect_setting(page, FIRST)
    slider.press("PageUp")
    expect_setting(page, FIRST, lam_cov=0.4)
    slider.press("PageDown")
    slider.press("End")
    expect_setting(page, FIRST, lam_cov=2.0)
    slider.press("Home")
    expect_setting(page, FIRST, lam_cov=0.0)
    slider.press("d")
    slider.press("Control+c")
    slider.press("Escape")
    assert page.evaluate("window.leaked") == ["Control", "c", "Escape"]
    guarded = "nodes => nodes.every(n => n.hasAttribute('data-lm-suppress-shortcuts'))"
    assert page.locator(".kit-panel :is(input, select, textarea, button)").evaluate_all(guarded)


def test_mouse_drag(page):
    slider = row(page, "lam_aux")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    painted(page)
    half = float(row(page, "lam_aux", ".kit-box").input_value())
    assert 0.015 < half < 0.03, "half way on a logarithmic scale from 0.0002 to 2"
    page.mouse.move(x + 60, y, steps=12)
    page.mouse.up()
    painted(page)
    value = float(row(page, "lam_aux", ".kit-box").input_value())
    assert 3 * half < value < 30 * half and float(f"{value:.3g}") == value
    expect_setting(page, FIRST, lam_aux=value)


@pytest.mark.parametrize(("weight", "probed"), [("lam_ortho", 0.001), ("lam_cov_pred", 0.03)])
def test_a_small_weight_is_tuned_by_the_pixel_and_found_again(page, weight, probed):
    slider, number = row(page, weight), row(page, weight, ".kit-box")
    slider.scroll_into_view_if_needed()
    place, tick = slider.bounding_box(), page.locator(f'.kit-row[data-weight="{weight}"] .kit-tick').bounding_box()
    y, at = place["y"] + place["height"] / 2, round(tick["x"] + 1)
    page.mouse.move(at, y)
    page.mouse.down()
    seen = {}
    for x in range(-12, 13):
        page.mouse.move(at + x, y)
        painted(page)
        seen[x] = float(number.input_value())
    page.mouse.up()
    assert probed in seen.values(), "the probed value is met again"
    values = list(seen.values())
    assert all(a <= b for a, b in pairwise(values)) and max(b / a for a, b in pairwise(values)) < 1.07
    assert values[0] < 0.75 * probed and values[-1] > 1.3 * probed


def test_what_is_marked_is_what_was_probed(page):
    """The tick stands where the thumb stands for the probed value, also once the slider is elsewhere."""
    place = "nodes => nodes.map(n => Number(n.style.getPropertyValue('--kit-at')))"
    fills, ticks = (page.locator(f".kit-row {what}") for what in ("[type=range]", ".kit-tick"))
    probed = ticks.evaluate_all(place)
    assert probed == fills.evaluate_all(place) and len(set(probed)) == 7
    page.click("button.kit-all-zero")
    painted(page)
    assert fills.evaluate_all(place) == [0] * 7 and ticks.evaluate_all(place) == probed
    page.select_option("select.kit-case", label="epoch 9")
    painted(page)
    assert len(set(ticks.evaluate_all(place))) == 1, "0.1 for all of them"


def test_all_zero_is_exactly_zero_and_reset_brings_the_probed_weights_back(page):
    page.click("button.kit-all-zero")
    expect_setting(page, FIRST, **dict.fromkeys(WEIGHT_NAMES, 0.0))
    assert page.locator(".kit-total").inner_text() == "total = 0 exactly"
    assert page.locator(".kit-grad").inner_text() == "|g| = 0 exactly"
    assert "nothing is learned" in page.locator(".kit-meaning").inner_text()
    assert set(page.locator(".kit-matrix tbody td").all_inner_texts()) == {"\u2013"}
    page.click("button.kit-reset")
    expect_setting(page, FIRST)


def test_reset_brings_the_first_state_back_as_well(page):
    page.click('button.kit-preset[data-preset="late"]')
    expect_setting(page, SECOND, lam_aux=0.0)
    reset = page.locator("button.kit-reset")
    assert reset.inner_text() == "reset" and "state" in reset.get_attribute("title")
    reset.click()
    expect_setting(page, FIRST)
    assert page.locator("select.kit-case").input_value() == "0"
    assert page.locator(".kit-badge").inner_text() == "as probed"


def test_zero_and_only_this(page):
    line = page.locator('.kit-row[data-weight="lam_cov"]')
    line.locator("button.kit-only").click()
    expect_setting(page, FIRST, **{name: 0.0 for name in WEIGHT_NAMES if name != "lam_cov"})
    line.locator("button.kit-zero").click()
    expect_setting(page, FIRST, **dict.fromkeys(WEIGHT_NAMES, 0.0))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("abc", "a number, e.g. 0.5"),
        ("-1", "0 to 2"),
        ("5", "0 to 2"),
        ("2.0001", "0 to 2"),
        ("", "a number, e.g. 0.5"),
        ("0,5,5", "a number, e.g. 0.5"),
    ],
)
@pytest.mark.parametrize("leave", ["Enter", "Tab"])
def test_a_number_that_is_refused_says_why_and_the_old_one_comes_back(page, typed, said, leave):
    box, line = row(page, "lam_cov", ".kit-box"), page.locator('.kit-row[data-weight="lam_cov"]')
    message = line.locator(".kit-message")
    boxes = "nodes => nodes.map(n => { const r = n.getBoundingClientRect(); return [r.x, r.y, r.width, r.height] })"
    things = page.locator(".kit-row, .kit-row input, .kit-plot, .kit-presets")
    before = things.evaluate_all(boxes)
    box.fill(typed)
    if typed != "":  # it may be about to be typed
        assert message.inner_text() == said and box.get_attribute("aria-invalid") == "true"
    box.press(leave)
    painted(page)
    assert message.inner_text() == said and box.input_value() == "0.3"
    assert box.get_attribute("aria-invalid") == "false", "what stands there now is right"
    assert message.get_attribute("role") == "alert"
    assert box.get_attribute("aria-describedby") == message.get_attribute("id")
    assert things.evaluate_all(boxes) == before, "nothing moves"
    place, end = message.bounding_box(), box.bounding_box()
    assert abs(place["x"] + place["width"] - end["x"]) < 8 and place["y"] < end["y"] + end["height"] / 2
    expect_setting(page, FIRST)
    line.locator("button.kit-zero").click()  # the small buttons below the words can be pressed
    expect_setting(page, FIRST, lam_cov=0.0)
    assert message.is_hidden()


def test_number_box_takes_exact_values(page):
    box, message = row(page, "lam_cov", ".kit-box"), page.locator('.kit-row[data-weight="lam_cov"] .kit-message')
    box.fill("0.123456")
    expect_setting(page, FIRST, lam_cov=0.123456)
    box.fill("x")
    assert message.is_visible()
    box.fill("2")
    expect_setting(page, FIRST, lam_cov=2.0)
    assert message.is_hidden()
    slider = row(page, "lam_cov")
    box.fill("0.123456")
    slider.press("ArrowRight")
    expect_setting(page, FIRST, lam_cov=0.124)
    box.fill("0.123456")
    slider.press("ArrowLeft")
    expect_setting(page, FIRST, lam_cov=0.122)


def test_presets_fill_in_weights_and_case(page):
    preset = page.locator('button.kit-preset[data-preset="cov_only"]')
    preset.click()
    expect_setting(page, FIRST, **{k: float(k == "lam_cov") for k in WEIGHT_NAMES})
    assert preset.get_attribute("aria-pressed") == "true"
    assert page.locator(".kit-what").inner_text() == "Only the covariance term is left."
    page.click('button.kit-preset[data-preset="late"]')
    expect_setting(page, SECOND, lam_aux=0.0)
    assert page.locator("select.kit-case").input_value() == "1"


def test_case_switch_keeps_as_probed_and_keeps_an_own_setting(page):
    page.select_option("select.kit-case", label="epoch 9")
    expect_setting(page, SECOND)
    row(page, "lam_K").press("Home")
    page.select_option("select.kit-case", label="epoch 1")
    expect_setting(page, FIRST, **{**dict.fromkeys(WEIGHT_NAMES, 0.1), "lam_K": 0.0})


def test_layer_group_changes_the_gradient_plots_only(page):
    page.select_option("select.kit-group", index=2)
    painted(page)
    bars = page.locator(".kit-plot-gradients rect").evaluate_all("nodes => nodes.map(n => Number(n.dataset.value))")
    G, w = FIRST.G_groups[1], FIRST.weights
    assert np.allclose(bars, [*(w * np.sqrt(np.diag(G))), np.sqrt(w @ G @ w)])
    expect_setting(page, FIRST)


def test_a_screen_reader_is_not_flooded_and_hears_the_last_numbers(page):
    page.evaluate("""() => {
        const live = document.querySelector('.kit-panel > [role=status]');
        window.spoken = [];
        const hear = () => window.spoken.push(live.textContent);
        new MutationObserver(hear).observe(live, {childList: true, subtree: true});
    }""")
    for _ in range(20):
        row(page, "lam_cov").press("ArrowRight")
    painted(page)
    last = page.locator(".kit-total").inner_text()
    assert last != f"total = {FIRST.total:#.4g}"
    page.wait_for_function("last => (window.spoken.at(-1) ?? '').startsWith(last)", arg=last, timeout=5000)
    assert len(page.evaluate("window.spoken")) < 5


def test_every_control_has_a_name_and_ids_are_unique_with_two_panels(visit):
    data = panel_data(FIRST, PRESETS[:1])
    weights = dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))
    page = visit(*(standalone_panel(data, weights, "as probed", name) for name in ("one", "two")))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(n => n.id)")
    assert len(ids) == len(set(ids)) and page.locator(".kit-panel").count() == 2
    tree = page.locator(".kit-panel").first.aria_snapshot()
    assert 'slider "1 lam_cov loss_nmse"' in tree or 'slider "lam_cov loss_nmse"' in tree
    assert 'button "zero lam_cov"' in tree and 'textbox "lam_cov, exact value"' in tree
    row(page, "lam_cov").first.press("Home")
    painted(page)
    assert row(page, "lam_cov", ".kit-box").nth(0).input_value() == "0"
    assert row(page, "lam_cov", ".kit-box").nth(1).input_value() == "0.3"


def test_hostile_names_are_text(visit):
    report = make_report(3, names=HOSTILE, weight_names=HOSTILE, values=(1, np.nan, 1, 1, 1, -1, 1), broken=(1,))
    presets = [Preset(text, text, {text: 0.0}, text, what=text) for text in HOSTILE]
    weights = dict(zip(HOSTILE, WEIGHTS, strict=True))
    data = panel_data({HOSTILE[0]: report}, presets)
    page = visit(standalone_panel(data, weights, HOSTILE[0], "p", title=HOSTILE[1]))
    assert page.locator(".kit-weight-name").evaluate_all("n => n.map(x => x.textContent)") == list(HOSTILE)
    assert page.locator(".kit-panel img").count() == 0 and page.evaluate("window.hit") is None
    assert page.locator(".kit-title").evaluate("n => n.textContent") == HOSTILE[1]
    assert page.locator(".kit-total").inner_text() == "total = not finite"
    assert page.locator(".kit-bar-lost").count() == 4
    page.locator(".kit-row").nth(1).locator("button.kit-zero").click()
    page.wait_for_function("() => document.querySelectorAll('.kit-bar-lost').length === 0", timeout=3000)
    page.locator(".kit-row").nth(6).locator("button.kit-only").click()
    page.wait_for_function("() => document.querySelector('.kit-total').textContent === 'total = 0.1000'", timeout=3000)


@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_its_width_and_reads_with_enough_contrast(visit, width, scheme):
    data = panel_data({"epoch 1": FIRST, "epoch 9": SECOND}, PRESETS)
    page = visit(
        standalone_panel(data, dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True)), "epoch 1", "one"),
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.locator(".kit-panel button").evaluate_all(
        "nodes => nodes.filter(n => n.offsetParent).map(n => Math.min(n.offsetHeight, n.offsetWidth))"
    )
    assert min(small) >= 24
    assert page.evaluate(CONTRAST) >= 4.5


# Lowest contrast of any text in the panel against the first opaque background behind it.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, k, i) => {
    const x = c[i] / 255; return sum + k * (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); }, 0);
  let worst = 99;
  const walk = document.createTreeWalker(document.querySelector(".kit-panel"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.offsetParent) continue;
    let back = node;
    while (back && rgba(getComputedStyle(back).backgroundColor)[3] < 255) back = back.parentElement;
    if (!back) continue;
    const [a, b] = [light(rgba(getComputedStyle(node).color)), light(rgba(getComputedStyle(back).backgroundColor))];
    worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return worst;
}"""


def test_a_broken_panel_says_so(browser, tmp_path):
    data = {**panel_data(FIRST), "names": None}
    page = browser.new_page()
    page.goto(write_page(tmp_path / "x.html", standalone_panel(data, {}, "as probed", "one")).as_uri())
    page.wait_for_selector(".kit-problem")
    assert "could not be drawn" in page.locator(".kit-problem").inner_text()
    page.close()


def test_a_panel_writes_a_page_of_its_own(browser, tmp_path):
    panel = Panel({"epoch 1": FIRST, HOSTILE[0]: SECOND}, presets=PRESETS[:1], title=HOSTILE[0], note=HOSTILE[1])
    panel.weights = {"lam_cov": 0.5}
    path = panel.write(tmp_path / "new" / "panel.html")
    assert path == tmp_path / "new" / "panel.html"
    page = browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    expect_setting(page, FIRST, lam_cov=0.5)  # as it was left
    assert page.title() == HOSTILE[0] and page.locator("textarea").input_value() == HOSTILE[1]
    row(page, "lam_cov").focus()
    page.keyboard.press("Home")
    expect_setting(page, FIRST, lam_cov=0.0)
    assert asked == [path.as_uri()] and errors == [] and page.evaluate("window.hit") is None
    page.close()
