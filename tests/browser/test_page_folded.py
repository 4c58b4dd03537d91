"""The exported page of several findings: evidence that is folded, tables that fit, one answer at its head."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from PIL import Image

import kit
from kit.report import Answer, PanelSetting
from tests.browser._axe import COLOURS, LEVELS, violations
from tests.browser._findings import full_finding
from tests.browser._offline import opened_offline
from tests.browser._paint import painted
from tests.browser._paper import assert_whole_on_paper

pytestmark = pytest.mark.browser

SCANS = {
    (360, "light"): LEVELS,
    (360, "dark"): COLOURS,
    (768, "dark"): [],
    (1440, "light"): COLOURS,
    (1440, "dark"): LEVELS,
}

ANSWER = Answer(
    "The gradient was NaN in all 32 batches, so no step was taken and validation stayed level.\nThe loop printed 0.",
    [("steps taken", "0 of 32"), ("loss of a batch", "3.49 to 3.99"), ("with the NaN removed", "32 of 32 steps taken")],
    "Find the operation.",
    "for name, parameter in model.named_parameters():\n    assert parameter.grad.isfinite().all(), f'the gradient of {name} is not finite'",
    "Loss weights: 90% in the report, 0.2% by what was measured.",
)
COLUMNS = [
    "train, first",
    "train, last",
    "val, first",
    "val, last",
    "val NMSE, last",
    "steps",
    "NaN replaced",
    "gradient norm",
]


def runs_table() -> kit.report.Table:
    """As wide as the tables of the investigation: ten columns, the answer last; three more that never change."""
    rows = [
        {
            "run": name,
            **{column: 3.4623 + k + n for n, column in enumerate(COLUMNS)},
            **dict.fromkeys(("forward", "loss", "backward"), 32),
        }
        for k, name in enumerate(
            ("outputs times 0, loss counted on steps only", "search leaves lam_cov out", "as it is")
        )
    ]
    return kit.report.Table(
        pd.DataFrame(rows).assign(**{"shows the symptom?": "no"}), "Does any run show it?", "shows the symptom?"
    )


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    first = full_finding(summary=ANSWER)
    pieces = (*full_finding().evidence[1:], runs_table(), PanelSetting("epoch 9", {"lam_cov": 0.0}))
    second = full_finding(question="And under other weights?", evidence=pieces)
    return kit.write_html(tmp_path_factory.mktemp("folded") / "page.html", first, second, title="What was wrong?").path


def is_open(page, place):
    return page.locator(f"#finding-{place} details").get_attribute("open") is not None


def test_a_click_and_the_keyboard_unfold_the_evidence(folded, browser):
    with opened_offline(browser, folded) as page:
        figure = page.locator("#figure-2")
        assert not figure.is_visible() and not is_open(page, 2)
        page.locator("#finding-2 summary").click()
        assert figure.is_visible() and not is_open(page, 1), "each for itself"
        page.locator("#finding-2 summary").press("Enter")
        assert not figure.is_visible()


@pytest.mark.parametrize("address", ["figure-2", "table-3", "evidence-2"])
@pytest.mark.parametrize("scripts", [True, False])
def test_an_address_unfolds_what_it_leads_to(folded, browser, address, scripts):
    with opened_offline(browser, folded, java_script_enabled=scripts) as page:
        page.goto(f"{folded.as_uri()}#{address}")
        page.locator(f"#{address}").wait_for(state="visible")
        assert is_open(page, 2) and not is_open(page, 1)


def test_an_older_browser_unfolds_by_script(folded, browser):
    """What browsers now do by themselves is undone first; the page's own listener does it again."""
    with opened_offline(browser, folded) as page:
        page.evaluate("() => history.replaceState(null, '', '#figure-2')")
        assert not is_open(page, 2)
        page.evaluate("() => window.dispatchEvent(new HashChangeEvent('hashchange'))")
        assert is_open(page, 2) and page.locator("#figure-2").is_visible()
        page.evaluate(
            "() => { history.replaceState(null, '', '#%'); window.dispatchEvent(new HashChangeEvent('hashchange')) }"
        )


def test_printing_unfolds_and_folds_again(folded, browser):
    with opened_offline(browser, folded) as page:
        page.locator("#finding-1 summary").click()
        page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
        assert is_open(page, 1) and is_open(page, 2)
        page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
        assert is_open(page, 1) and not is_open(page, 2), "as the reader left it"


@pytest.mark.parametrize("scripts", [True, False])
def test_on_paper_folded_evidence_is_read(folded, browser, scripts):
    with opened_offline(browser, folded, java_script_enabled=scripts) as page:
        page.emulate_media(media="print")
        for place in ("figure-1", "figure-2", "table-3"):
            box = page.locator(f"#{place}").bounding_box()
            assert box["height"] > 60 and page.locator(f"#{place}").is_visible()


def test_on_paper_nothing_is_lost(folded, browser, tmp_path):
    assert_whole_on_paper(browser, folded, tmp_path)


def test_on_a_telephone_the_answer_is_seen_and_the_rest_is_hinted_at(folded, browser):
    """Row name and answer without scrolling; at the side where the table goes on there is a shadow, at its end none."""
    with opened_offline(browser, folded, viewport={"width": 360, "height": 900}) as page:
        page.locator("#finding-2 summary").click()
        region = page.locator("#table-3 .scroll")
        region.scroll_into_view_if_needed()
        edge = region.bounding_box()
        for cell in page.locator("#table-3 .asked").all():
            box = cell.bounding_box()
            assert box["x"] >= edge["x"] and box["x"] + box["width"] <= edge["x"] + edge["width"]
        assert region.evaluate("n => n.scrollWidth > n.clientWidth + 20")
        at_start = darkest_at_right(region)
        region.evaluate("n => { n.scrollLeft = n.scrollWidth }")
        painted(page)
        assert at_start < 225 and darkest_at_right(region) > 240
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def darkest_at_right(region):
    """Mean lightness of the two columns of pixels at the right edge, without the rules between rows."""
    picture = Image.open(io.BytesIO(region.screenshot())).convert("L")
    strip = picture.crop((picture.width - 2, 0, picture.width, picture.height))
    return sorted(strip.tobytes())[strip.width * strip.height // 2]


def test_a_setting_is_followed_from_its_link(folded, browser):
    with opened_offline(browser, folded) as page:
        link = page.locator("#setting-1")
        assert link.get_attribute("href") == "#state=2&w=lam_cov:0"
        link.click()
        page.wait_for_function("() => document.querySelector('#panel-1 .kit-case').value === '1'")
        assert page.locator('#panel-1 .kit-row[data-weight="lam_cov"] input.kit-box').input_value() == "0"


def test_the_lines_can_be_copied(folded, browser):
    with opened_offline(browser, folded) as page:
        page.get_by_role("button", name="Copy the lines").click()
        page.wait_for_function(
            "() => /Copied|selected/.test(document.querySelector('.kit-code [role=status]').textContent)"
        )
        assert page.evaluate("getSelection().toString()").strip() == ANSWER.code


@pytest.mark.parametrize("unfolded", [False, True])
def test_wcag_finds_nothing_folded_and_unfolded(folded, browser, axe, unfolded):
    """Each rule in the outer widths, those of colour in each theme as well; between them a page may be too wide."""
    with opened_offline(browser, folded, reduced_motion="reduce") as page:
        painted(page)
        if unfolded:
            page.evaluate("() => { for (const node of document.querySelectorAll('details')) node.open = true }")
        for (width, scheme), rules in SCANS.items():
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            painted(page)
            assert not rules or violations(page, axe, rules=rules) == [], (width, scheme)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
