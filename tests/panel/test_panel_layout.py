"""Where the panel's parts stand, in boxes: nothing moves under a pointer, and where there is one column the numbers stay in sight."""

from __future__ import annotations

import pytest

from kit.panel import Panel, Preset, standalone_panel
from tests.browser._boxes import boxes, out_of_sight, scrolled_to
from tests.browser._paint import painted
from tests.live.test_view import fragment, told
from tests.panel._panel_cases import WEIGHT_NAMES, make_report

pytestmark = pytest.mark.browser
WIDTHS = (360, 760, 850, 1008, 1400)
NAN = make_report(1, weights=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1), broken=(6,))
CONTROLS = ".kit-row, .kit-row :is(input, button), .kit-toolbar button"
FIRST = '.kit-row[data-weight="lam_peak_contrast"] input[type=range]'


def shown(visit, panel, **options):
    return visit(standalone_panel(panel.data, panel.weights, panel.case, "one", title=panel.title), **options)


def held(page, selector):
    """The pointer on the thumb of a slider, pressed; -> its box."""
    slider = page.locator(selector)
    slider.scroll_into_view_if_needed()
    painted(page)
    place = slider.bounding_box()
    share = float(slider.input_value()) / float(slider.get_attribute("max"))
    page.mouse.move(place["x"] + 9 + share * (place["width"] - 18), place["y"] + place["height"] / 2)
    page.mouse.down()
    return place


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_while_the_sentence_changes(visit, width):
    """From a gradient that is not finite (the longest sentence) to no weight at all and to a plain one, with the button held."""
    panel = Panel(
        {"late": NAN, "early": make_report(2)}, presets=[Preset("zero", "All zero", dict.fromkeys(WEIGHT_NAMES, 0.0))]
    )
    page = shown(visit, panel, viewport={"width": width, "height": 900})
    place = held(page, FIRST)
    y = place["y"] + place["height"] / 2
    fixed = page.locator(
        f"{CONTROLS}, .kit-plot, .kit-bar, .kit-presets, .kit-meaning, .kit-readout, .kit-plot-cosines"
    )
    before, sentences = boxes(fixed), []
    for x in (0.3, 0.1, -0.2, 0.6):
        page.mouse.move(place["x"] + x * place["width"], y, steps=3)
        painted(page)
        meaning = page.locator(".kit-meaning")
        sentences.append(meaning.inner_text())
        assert boxes(fixed) == before
        assert meaning.evaluate("n => n.scrollHeight <= n.clientHeight"), "the whole sentence is seen"
    page.mouse.up()
    assert any("not finite" in text for text in sentences) and any("Every weight is zero" in text for text in sentences)
    page.locator('.kit-row[data-weight="lam_K"] input.kit-box').fill("2")
    painted(page)
    assert "not finite" in page.locator(".kit-meaning").inner_text() and boxes(fixed) == before


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_while_a_training_says_more_and_more(visit, width):
    page = visit(fragment(), wait_for=".kit-live-state", viewport={"width": width, "height": 900})
    page.evaluate("told => window.tell(told)", told())
    painted(page)
    place = held(page, '.kit-row[data-weight="lam_cov"] input[type=range]')
    fixed = page.locator(f"{CONTROLS}, .kit-live-transport button, .kit-live-said")
    before = boxes(fixed)
    for number in range(1, 6):
        line, status = (
            "A cause was found. " * 8 * number,
            "" if number < 3 else "Stopped before batch 41: ValueError. " * number,
        )
        news = {**told(), "type": "more", "curves": {}, "line": line, "status": status, "failed": number > 3}
        page.evaluate("told => window.tell(told)", news)
        page.mouse.move(place["x"] + 40 - 6 * number, place["y"] + 12)
        painted(page)
        assert boxes(fixed) == before, line
    page.mouse.up()
    # what is longer is reached by the wheel and by the keys
    said = page.locator(".kit-live-said")
    said.focus()
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('.kit-live-said').scrollTop > 0")


@pytest.mark.parametrize("width", [760, 850, 1008, 1400])
def test_beside_each_other_and_on_one_screen(visit, width):
    page = shown(visit, Panel(make_report(1), title="What if?"), viewport={"width": width + 16, "height": 680})
    assert page.locator(".kit-panel").bounding_box()["width"] == width
    columns = [".kit-row", ".kit-plot-parts .kit-bar", ".kit-plot-gradients .kit-bar"]
    seen = out_of_sight(page, ".kit-panel", [".kit-title", ".kit-total", ".kit-axis", *columns])
    assert seen["out"] == [] and [seen["counts"][name] for name in columns] == [7, 8, 8]
    rows, parts, gradients = (boxes(page.locator(name)) for name in columns)
    assert all(abs(a[1] - b[1]) < 1.5 > abs(a[1] - c[1]) for a, b, c in zip(rows, parts, gradients, strict=False))
    assert rows[0][2] >= 280, "a slider long enough to set"
    below = boxes(page.locator(".kit-view-options, .kit-plot-cosines, .kit-foot"))
    assert min(box[1] for box in below) > parts[-1][1]


@pytest.mark.parametrize("weight", WEIGHT_NAMES)
def test_on_a_telephone_what_the_slider_moves_stays_in_sight(visit, weight):
    page = shown(visit, Panel(make_report(1)), viewport={"width": 360, "height": 640})
    slider = page.locator(f'.kit-row[data-weight="{weight}"] input[type=range]')
    scrolled_to(page, slider, 130)
    readout = page.locator(".kit-readout")
    wanted = [".kit-total", ".kit-grad", ".kit-small-parts", ".kit-small-gradients"]
    assert out_of_sight(page, ".kit-panel", wanted)["out"] == []
    columns = page.locator(f".kit-small-parts rect:nth-of-type({WEIGHT_NAMES.index(weight) + 1})")
    before = columns.get_attribute("height"), readout.inner_text()
    slider.press("End")
    painted(page)
    assert columns.get_attribute("height") != before[0] and readout.inner_text() != before[1]
    assert out_of_sight(page, ".kit-panel", wanted)["out"] == []
    slider.evaluate("node => node.blur()")
    scrolled_to(page, slider, 20)
    slider.focus()  # it is not left behind the numbers
    painted(page)
    ((_, top, _, height),), (place,) = boxes(readout), boxes(slider)
    assert place[1] >= top + height - 1 and place[1] + place[3] <= 640


def test_the_small_picture_shows_the_terms_in_proportion_and_goes_with_its_sliders(visit):
    report = make_report(1)
    page = shown(visit, Panel(report), viewport={"width": 360, "height": 640})
    height = "nodes => nodes.map(n => parseFloat(n.getAttribute('height')))"
    for kind, values in (("parts", report.weights * report.L), ("gradients", report.weights * report.norms)):
        drawn = page.locator(f".kit-small-{kind} rect").evaluate_all(height)
        assert drawn == pytest.approx(list(values / values.max() * max(drawn)), abs=0.02), kind
    scrolled_to(page, ".kit-plot-cosines")
    ((_, top, _, height),) = boxes(page.locator(".kit-readout"))
    assert top + height <= 0, "below the charts it is in the way of nothing"
    scrolled_to(page, ".kit-panel")
    broken = shown(visit, Panel(NAN), viewport={"width": 360, "height": 640})
    assert broken.locator(".kit-small-gradients .kit-small-lost").count() == 1


def test_where_there_are_columns_there_is_no_second_picture(visit):
    page = shown(visit, Panel(make_report(1)), viewport={"width": 1008, "height": 800})
    assert page.locator(".kit-small:visible").count() == 0
    assert page.locator(".kit-readout").evaluate("node => getComputedStyle(node).position") == "static"


def test_on_paper_nothing_sticks_and_the_small_pictures_are_left_out(visit):
    page = shown(visit, Panel(make_report(1)), viewport={"width": 360, "height": 640})
    page.emulate_media(media="print")
    assert page.locator(".kit-small:visible").count() == 0
    assert page.locator(".kit-readout").evaluate("node => getComputedStyle(node).position") == "static"
