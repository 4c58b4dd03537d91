"""The buttons that balance the gradients, and the marks of the next step: data, widget, page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kit import whatif
from kit.panel import Panel, Preset, panel_data, standalone_panel
from tests.browser._paint import painted
from tests.panel._panel_cases import WEIGHT_NAMES, WEIGHTS, make_report

HOW = ("equal_gradient_norm", "min_norm", "upgrad")
HERE = whatif.offered()


def balanced(reports, **options):
    return [case["balanced"] for case in panel_data(reports, **options)["cases"]]


def test_each_state_has_the_weights_that_balance_it():
    reports = {"a": make_report(1), "b": make_report(2)}
    for report, found in zip(reports.values(), balanced(reports, upper=1e9), strict=True):
        assert list(found) == list(HERE)
        for how, setting in found.items():
            assert setting == {"weights": whatif.balance(report, how), "note": ""}


@pytest.mark.parametrize("how", [how for how in HERE if how != "min_norm"])  # which adds up to 1
def test_weights_beyond_the_sliders_are_scaled_down_together(how):
    sizes = make_report(1)
    sizes.G = sizes.G * 10.0 ** np.add.outer(*[np.linspace(-4, 4, 7)] * 2)
    (found,) = balanced(sizes)
    weights, there = whatif.balance(sizes, how), found[how]
    ratios = np.array(list(there["weights"].values())) / list(weights.values())
    assert max(weights.values()) > 2.0 == max(there["weights"].values())
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-12)
    assert there["note"] == "Scaled down to fit the sliders."
    panel = Panel(sizes)
    panel.weights = there["weights"]
    assert panel.weights == there["weights"]


def test_a_weight_that_is_kept_is_named_and_not_scaled():
    report = make_report(1, weights=(*WEIGHTS[:6], -0.1), broken=(2,))
    report.G = report.G * 1e-12
    (found,) = balanced(report)
    for setting in found.values():
        assert setting["weights"]["lam_ortho"] == WEIGHTS[2] and "lam_peak_contrast" not in setting["weights"]
        assert "Weight kept: loss_ortho (its gradient is not finite)." in setting["note"]


def test_a_state_without_a_gradient_has_none():
    assert balanced({"a": make_report(1), "b": make_report(2, broken=range(7))})[1] == {}


def test_without_the_solver_equal_norms_remain(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (found,) = balanced(make_report(1))
    assert list(found) == ["equal_gradient_norm"]


def old(panel):
    """The record as a kit without balanced settings wrote it."""
    record = json.loads(json.dumps(panel.to_record()))
    for case in record["data"]["cases"]:
        del case["balanced"]
    return record


def test_an_older_record_opens_and_gets_them():
    panel = Panel({"a": make_report(1), "b": make_report(2, broken=(3,))})
    again = Panel.from_record(old(panel))
    assert again.to_record() == panel.to_record()
    assert Panel.from_record(json.loads(json.dumps(panel.to_record()))).to_record() == panel.to_record()


def test_the_still_table_says_the_next_step():
    panel = Panel(make_report(1))
    panel.weights = dict.fromkeys(WEIGHT_NAMES, 0.0) | {"lam_cov": 1.0}
    text = panel.still_html()
    assert "next step, for 1\u2009% less of the total (first order)</th>" in text
    rows = [line.split("</tr>")[0] for line in text.split("<tr>")[2:9]]
    for row, change in zip(rows, whatif.next_step(panel.report, 1.0, panel.weights), strict=True):
        assert row.rsplit("<td>", 1)[1].startswith("falls" if change < 0 else "rises")


@pytest.fixture
def show(visit):
    def go(panel, **options):
        return visit(standalone_panel(panel.data, panel.weights, panel.case, "one", title=panel.title), **options)

    return go


def marks(page):
    """What the marks of the gradient chart hold [m]: number and words."""
    found = page.locator(".kit-plot-gradients .kit-bar-next[data-value]")
    said = page.locator(".kit-plot-gradients .kit-bar-next[data-value] .kit-hidden")
    return found.evaluate_all("nodes => nodes.map(n => Number(n.dataset.value))"), said.all_text_contents()


def boxes_hold(page, weights):
    found = page.locator("input.kit-box").evaluate_all("nodes => nodes.map(n => Number(n.value))")
    return found == pytest.approx(list(weights.values()), rel=1e-15)


@pytest.mark.browser
def test_a_button_sets_the_weights_of_the_state_shown_and_no_term_rises(show):
    reports = {"a": make_report(1), "b": make_report(2)}
    panel = Panel(reports, presets=[Preset("zero", "All zero", dict.fromkeys(WEIGHT_NAMES, 0.0))])
    page = show(panel)
    assert "which weights the task needs is another question" in page.locator(".kit-hypothesis").last.inner_text()
    assert page.locator("button.kit-preset").count() == 1 + len(HERE)
    for place, report in enumerate(reports.values()):
        page.select_option("select.kit-case", index=place)
        for how in HERE:
            button = page.locator(f"button.kit-preset[data-preset={how}]")
            button.click()
            painted(page)
            weights = panel.data["cases"][place]["balanced"][how]["weights"]
            assert boxes_hold(page, weights) and button.get_attribute("aria-pressed") == "true"
            values, said = marks(page)
            exact = whatif.next_step(report, 1.0, weights)
            np.testing.assert_allclose(values, exact, rtol=1e-12, atol=1e-12 * np.abs(exact).max())
            if how != "equal_gradient_norm":
                assert all(text.startswith(("falls", "unchanged")) for text in said), how


@pytest.mark.browser
def test_the_marks_follow_the_sliders(show):
    page = show(Panel(make_report(1)))
    page.locator('.kit-row[data-weight="lam_peak_contrast"] button.kit-only').click()
    painted(page)
    values, said = marks(page)
    exact = whatif.next_step(make_report(1), 1.0, [0.0] * 6 + [0.1])
    np.testing.assert_allclose(values, exact, rtol=1e-12)
    assert [text.split()[0] for text in said] == ["falls" if x < 0 else "rises" for x in exact]
    assert {"falls", "rises"} <= {text.split()[0] for text in said}
    page.select_option("select.kit-group", index=2)
    painted(page)
    assert marks(page) == (values, said), "a step is one of the whole network"
    page.click("button.kit-all-zero")
    painted(page)
    assert marks(page) == ([0.0] * 7, ["unchanged by the next step"] * 7)


@pytest.mark.browser
def test_where_there_is_nothing_to_balance_the_buttons_say_so(show):
    page = show(Panel({"a": make_report(1), "b": make_report(2, broken=range(7))}))
    button = page.locator("button.kit-preset[data-preset=equal_gradient_norm]")
    assert button.is_enabled()
    page.select_option("select.kit-case", index=1)
    painted(page)
    assert button.is_disabled()
    assert page.locator(".kit-bar-next [aria-hidden]").all_text_contents().count("\u00d7") == 7


@pytest.mark.browser
def test_data_of_an_older_kit_is_drawn_without_them(visit):
    record = old(Panel(make_report(1)))
    page = visit(standalone_panel(record["data"], record["weights"], record["case"], "one"))
    assert page.locator("button.kit-preset").count() == 0 and page.locator(".kit-presets").is_hidden()
    assert len(marks(page)[0]) == 7


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 640, 760, 800, 1280, 1440])
def test_names_numbers_and_marks_have_room(show, width):
    page = show(Panel(make_report(1)), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth || n.getClientRects().length > 1).length"
    assert page.locator(".kit-bar-next, .kit-plot-gradients .kit-bar-sum .kit-bar-detail").evaluate_all(clipped) == 0
    ends = """rows => rows.map(row => {
        const [number, mark] = ['.kit-bar-number', '.kit-bar-next'].map(n => row.querySelector(n).getBoundingClientRect());
        return [number.right <= mark.left, mark.right <= row.getBoundingClientRect().right + 0.5, number.right];
    })"""
    found = page.locator(".kit-plot-gradients .kit-bar:not(.kit-bar-sum)").evaluate_all(ends)
    assert all(beside and inside for beside, inside, _ in found)
    assert len({round(right) for *_, right in found}) == 1, "the numbers stand below each other"
