"""The widget without a browser: state, refusals, export, what a reader sees where no widget runs."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import re

import numpy as np
import pytest
import traitlets

from kit import whatif
from kit.panel import Panel, Preset
from kit.panel.static_view import bar_figure, static_html
from kit.plots import figure_style
from tests.panel._panel_cases import HOSTILE, WEIGHT_NAMES, WEIGHTS, make_report


@pytest.fixture
def panel():
    return Panel(
        {"epoch 1": make_report(1), "epoch 9": make_report(2, weights=(0.1,) * 7)},
        presets=[Preset("zero", "All zero", dict.fromkeys(WEIGHT_NAMES, 0.0))],
    )


def test_starts_at_the_probed_setting_of_the_first_case(panel):
    assert panel.case == "epoch 1"
    assert panel.weights == dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))
    assert panel.can_export is False and panel.status == ""
    state = panel.get_state()
    assert {"_esm", "_css", "data", "weights", "case", "note", "status", "title", "can_export"} <= set(state)


def test_one_report_is_one_case():
    assert Panel(make_report(0)).case == "as probed"


def test_weights_left_out_take_their_probed_value(panel):
    panel.weights = {"lam_cov": 0}
    assert panel.weights == {**dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True)), "lam_cov": 0.0}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"lam_x": 1.0}, "Found 'lam_x'; known are lam_cov, lam_cov_pred"),
        ({"lam_cov": -0.1}, "finite and >= 0. Found lam_cov = -0.1"),
        ({"lam_cov": float("nan")}, "finite and >= 0. Found lam_cov = nan"),
        ({"lam_cov": float("inf")}, "finite and >= 0"),
        ({"lam_cov": "much"}, "weights should be numbers"),
        ({"lam_cov": 2.5}, "<= 2, the end of the sliders"),
    ],
)
def test_refused_weights_leave_the_setting_alone(panel, weights, message):
    before = panel.weights
    with pytest.raises(ValueError, match=message):
        panel.weights = weights
    assert panel.weights == before


def test_terms_without_a_weight_are_no_part_of_the_setting():
    report = make_report(0, adjustable=[True] * 5 + [False] * 2, weight_names=(*WEIGHT_NAMES[:5], "", ""))
    panel = Panel(report)
    assert tuple(panel.weights) == WEIGHT_NAMES[:5]
    with pytest.raises(ValueError, match="known names. Found ''"):
        panel.weights = {"": 0.0}
    panel.weights = {"lam_cov": 1.0}
    assert np.array_equal(whatif.settle(report, panel.weights), [1.0, *WEIGHTS[1:]])
    still = panel._repr_mimebundle_()[0]["text/html"]
    assert "<figure>" in still and still.endswith(figure_style()), "a notebook's theme reaches the picture"
    assert "<style" not in panel.still_html(), "a page has a style sheet, and its policy allows no other"


def test_a_weight_probed_below_zero_is_shown_and_counted_but_no_part_of_the_setting():
    report = make_report(0, weights=(*WEIGHTS[:6], -0.1))
    panel = Panel(report)
    assert tuple(panel.weights) == WEIGHT_NAMES[:6]
    with pytest.raises(ValueError, match=r"lam_peak_contrast should stay -0.1, as probed.*lam_cov.*from 0 to 2"):
        panel.weights = {"lam_peak_contrast": 0.2}
    panel.weights = {"lam_peak_contrast": -0.1, "lam_cov": 1.0}
    w = np.array([1.0, *report.weights[1:]])
    assert whatif.total(panel.report, panel.weights) == pytest.approx(w @ report.L)
    text = panel.still_html()
    total, norm = w @ report.L, np.sqrt(w @ report.G @ w)
    assert (
        f"<td>{total:.4g}</td><td>{norm:.4g}</td><td></td></tr></tbody>" in text
        and "<td>-0.1</td><td>3.25</td>" in text
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.__setitem__("lam_cov", 99),
        lambda w: w.__delitem__("lam_cov"),
        lambda w: w.update(lam_cov=99),
        lambda w: w.setdefault("x", 1),
        lambda w: w.pop("lam_cov"),
        lambda w: w.popitem(),
        lambda w: w.clear(),
    ],
)
def test_the_setting_cannot_be_changed_in_place(panel, change):
    for _ in range(2):
        before = dict(panel.weights)
        with pytest.raises(TypeError, match=r"assign panel.weights = \{...\}"):
            change(panel.weights)
        assert panel.weights == before
        panel.set_state({"weights": {"lam_cov": 0.4}})  # what comes from the front end is read-only too
    assert panel.weights["lam_cov"] == 0.4


def test_the_setting_still_travels_and_copies_as_a_dict(panel):
    sent = []
    panel._send = lambda message, buffers=None: sent.append(message)
    panel._repr_mimebundle_()  # it is shown
    seen = []
    panel.observe(lambda change: seen.append(change["new"]["lam_cov"]), "weights")
    panel.weights |= {"lam_cov": 0.7}
    assert seen == [0.7] and sent[-1]["state"]["weights"] == {**dict(panel.weights), "lam_cov": 0.7}
    assert json.loads(json.dumps(panel.get_state("weights")))["weights"]["lam_cov"] == 0.7
    for other in (copy.deepcopy(panel.weights), pickle.loads(pickle.dumps(panel.weights))):
        assert other == panel.weights
    own = panel.weights.copy()
    own["lam_cov"] = 0.8
    assert panel.weights["lam_cov"] == 0.7
    with pytest.raises(ValueError, match="end of the sliders"):
        panel.weights |= {"lam_cov": 99}


def test_unknown_case_is_refused(panel):
    with pytest.raises(ValueError, match="Found case = 'epoch 3'; known are 'epoch 1', 'epoch 9'"):
        panel.case = "epoch 3"
    assert panel.case == "epoch 1"


def test_as_probed_stays_as_probed_and_an_own_setting_is_kept(panel):
    panel.case = "epoch 9"
    assert set(panel.weights.values()) == {0.1} and panel.report.weights[0] == 0.1
    panel.weights = {"lam_cov": 1.5}
    panel.case = "epoch 1"
    assert panel.weights["lam_cov"] == 1.5 and panel.weights["lam_aux"] == 0.1


def test_a_bad_state_from_the_front_end_is_rolled_back(panel):
    before = panel.weights
    with pytest.raises(traitlets.TraitError):
        panel.set_state({"weights": {"lam_cov": -1.0}})
    assert panel.weights == before


def click(panel, **content):
    panel._handle_custom_msg({"type": "export", **content}, [])


def test_export_calls_back_with_the_setting_of_the_click():
    seen = []

    def write(panel):
        seen.append((panel.weights["lam_cov"], panel.case, panel.note))
        return "findings/x.html"

    panel = Panel({"a": make_report(0), "b": make_report(1)}, on_export=write)
    assert panel.can_export
    click(panel, weights={"lam_cov": 0.0}, case="b", note="n")
    assert seen == [(0.0, "b", "n")] and panel.status == "wrote findings/x.html"
    panel._handle_custom_msg({"type": "other"}, [])
    panel._handle_custom_msg("export", [])
    assert len(seen) == 1


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("bad"), TypeError("odd"), RuntimeError("late")])
def test_export_errors_stand_in_the_status_line(error):
    def write(_panel):
        raise error

    panel = Panel(make_report(0), on_export=write)
    click(panel)
    assert panel.status == f"could not export: {error}"


def test_other_errors_are_named_and_raised():
    def write(_panel):
        raise KeyError("k")

    panel = Panel(make_report(0), on_export=write)
    with pytest.raises(KeyError):
        panel.export()
    assert panel.status.startswith("could not export: KeyError")


def test_an_export_message_with_bad_weights_is_refused():
    panel = Panel(make_report(0), on_export=lambda _panel: "never")
    click(panel, weights={"lam_cov": -1})
    assert panel.status.startswith("could not export: weights should be finite")


def test_on_export_should_be_callable():
    with pytest.raises(TypeError, match="on_export should be a callable"):
        Panel(make_report(0), on_export="x")


def test_still_picture_has_alt_text_and_a_table(panel):
    data, _ = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    text = data["text/html"]
    assert text.startswith('<figure><img alt="Two bar charts.') and "live while the kernel runs: run this cell" in text
    png = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", text)[1])
    assert png.startswith(b"\x89PNG") and len(png) < 120_000
    assert text.count("<tr>") == 9 and "<script" not in text and "<svg" not in text and "http" not in text
    assert "<td>0.001</td><td>69.99</td><td>0.06999</td>" in text


@pytest.mark.parametrize(
    ("title", "caption"),
    [
        ("What would make it read 0?", "What would make it read 0? State: as it is. Static figure; x."),
        ("Weights", "Weights. State: as it is. Static figure; x."),
        ("Ends here.", "Ends here. State: as it is. Static figure; x."),
        ("", "State: as it is. Static figure; x."),
    ],
)
def test_the_caption_of_the_still_picture_has_one_mark_at_a_time(title, caption):
    text = static_html(make_report(0), {}, title=title, case="as it is", live="x")
    assert re.search(r"<figcaption>(.*?)</figcaption>", text)[1] == caption


def test_still_html_shows_the_present_setting(panel):
    panel.weights = {"lam_cov": 1.5}
    assert "<td>lam_cov</td><td>1.5</td>" in panel.still_html()
    assert "sliders need JavaScript" in panel.still_html() and "notebook" not in panel.still_html()


def test_still_picture_escapes_names_and_draws_what_is_not_finite():
    report = make_report(0, names=HOSTILE, weight_names=HOSTILE, values=(1, np.nan, 1, 1, 1, -1, 1), broken=(1,))
    text = Panel(report, title=HOSTILE[0])._repr_mimebundle_()[0]["text/html"]
    assert "<img src=x" not in text and "<script" not in text and "<!--" not in text
    assert "not finite" in text


def test_still_bars_are_the_numbers():
    report = make_report(0)
    left, right = bar_figure(report, {"lam_cov": 1.0}).axes
    w = np.array([1.0, *WEIGHTS[1:]])
    assert np.allclose([bar.get_width() for bar in left.patches], [*(w * report.L), w @ report.L])
    assert np.allclose(
        [bar.get_width() for bar in right.patches], [*(w * np.sqrt(np.diag(report.G))), np.sqrt(w @ report.G @ w)]
    )


def test_a_panel_that_nobody_looks_at_opens_no_channel(panel):
    """A notebook that hears of a widget and loses it at once reports an error; kept findings hold many that are never shown."""
    panel.weights = {"lam_cov": 0.0}
    assert panel.comm is None
    bundle, _ = panel._repr_mimebundle_()
    assert panel.comm is not None and bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    panel.close()
    assert panel.comm is None


def test_a_panel_inside_another_widget_is_opened_with_it(panel):
    from ipywidgets import VBox

    box = VBox([panel])
    assert panel.comm is not None and box.get_state()["children"] == [f"IPY_MODEL_{panel.model_id}"]
