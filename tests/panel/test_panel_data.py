"""Reports -> panel data: exact axes, null for non-finite numbers, clear refusals."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from kit.panel import Preset, panel_data
from tests.panel._panel_cases import NAMES, WEIGHT_NAMES, make_report


def corners(report, upper):
    return np.array(
        list(
            itertools.product(
                *[(0.0, upper) if can else (w,) for can, w in zip(report.adjustable, report.weights, strict=True)]
            )
        )
    )


@pytest.mark.parametrize("adjustable", [[True] * 7, [True] * 6 + [False]])
def test_axes_are_the_exact_maxima_over_the_slider_box(adjustable):
    report = make_report(1, values=(1.3, -0.4, 69.99, 2.06, 0.59, 0.96, 3.25), adjustable=adjustable)
    axes = panel_data(report, upper=1.5)["cases"][0]["axes"]
    w = corners(report, 1.5)
    largest = [np.sqrt(np.einsum("ki,ij,kj->k", w, G, w).max()) for G in (report.G, *report.G_groups)]
    assert axes["total"] == pytest.approx((w @ report.L).max(), rel=1e-12)
    assert axes["gradient"] == pytest.approx(largest[0], rel=1e-12)
    assert axes["gradient_groups"] == pytest.approx(largest[1:], rel=1e-12)


def test_holds_the_contract_and_survives_json():
    reports = {"epoch 1": make_report(1, notes=("one", "two")), "epoch 9": make_report(2)}
    preset = Preset("k", "Title", {"lam_cov": 0.0}, "H", "epoch 9", "what")
    data = panel_data(reports, [preset])
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["format"] == "kit.panel" and data["version"] == 1 and data["upper"] == 2.0
    assert data["names"] == list(NAMES) and data["weight_names"] == list(WEIGHT_NAMES)
    assert [case["title"] for case in data["cases"]] == ["epoch 1", "epoch 9"]
    assert data["cases"][0]["note"] == "one two"
    assert data["presets"] == [
        {"key": "k", "title": "Title", "hypothesis": "H", "case": 1, "what": "what", "weights": {"lam_cov": 0.0}}
    ]
    assert np.array_equal(data["cases"][1]["G_groups"], reports["epoch 9"].G_groups)


def test_null_stands_for_what_is_not_finite():
    report = make_report(0, values=(np.nan, np.inf, 1, 1, 1, 1, 1), broken=(2,))
    report.residual = float("nan")
    case = panel_data(report)["cases"][0]
    assert case["L"][:2] == [None, None] and case["G"][2] == [None] * 7 and case["G"][0][2] is None
    assert case["residual"] is None and case["total"] is None
    json.dumps(case, allow_nan=False)


def test_sliders_reach_every_probed_and_preset_weight():
    assert panel_data(make_report(0, weights=(4.0, *[0.1] * 6)))["upper"] == 5.0
    assert panel_data(make_report(0), [Preset("k", "t", {"lam_K": 10.0})])["upper"] == 10.0


def test_a_negative_probed_weight_is_shown_not_adjustable_and_counts_in_the_axes():
    seen = make_report(1, weights=(0.3, 0.03, 0.001, 0.5, 1.0, 0.05, -0.1))
    data = panel_data({"a": make_report(2), "b": seen}, [Preset("k", "t", {"lam_cov": 0.0})], upper=1.5)
    assert data["negative"] == [False] * 6 + [True] and data["adjustable"] == [True] * 6 + [False]
    fixed = make_report(1, weights=seen.weights, adjustable=data["adjustable"])
    w, axes = corners(fixed, 1.5), data["cases"][1]["axes"]
    largest = [np.sqrt(np.einsum("ki,ij,kj->k", w, G, w).max()) for G in (seen.G, *seen.G_groups)]
    assert axes["total"] == pytest.approx((w @ seen.L).max(), rel=1e-12)
    assert [axes["gradient"], *axes["gradient_groups"]] == pytest.approx(largest, rel=1e-12)
    refuse(r"Found 'lam_peak_contrast' \(a negative or fixed", seen, [Preset("k", "t", {"lam_peak_contrast": 0.0})])
    refuse(r"lam_cov should be finite. Found lam_cov = nan in report", make_report(0, weights=(np.nan, *[0.1] * 6)))


def refuse(message, reports, presets=(), upper=2.0, error=ValueError):
    with pytest.raises(error, match=message):
        panel_data(reports, presets, upper)


def test_refusals():
    one = make_report(0)
    refuse("at least one ProbeReport", {})
    refuse("titles of reports should be texts", {" ": one})
    refuse(r"Found int. Call kit.probe first: kit.Panel\(kit.probe\(", 3, error=TypeError)
    refuse("Found a mapping with float for 'rec'. Call kit.probe first", {"rec": 1.0}, error=TypeError)
    other = make_report(0, names=("other", *NAMES[1:]))
    refuse("names should be the same in all reports", {"a": one, "b": other})
    refuse("upper should be finite and > 0", one, upper=0.0)
    refuse("upper should be finite and > 0", one, upper=float("nan"))
    refuse("Found 'lam_x'; known are lam_cov", one, [Preset("k", "t", {"lam_x": 1.0})])
    refuse("Found 'epoch 3'; known are as probed", one, [Preset("k", "t", case="epoch 3")])
    refuse("keys of presets should differ", one, [Preset("k", "t"), Preset("k", "u")])
    fixed = make_report(0, adjustable=[True] * 6 + [False])
    refuse("adjustable weights. Found 'lam_peak_contrast'", fixed, [Preset("k", "t", {"lam_peak_contrast": 1.0})])
    short = make_report(0)
    short.G = short.G[:3]
    refuse(r"G should have shape \(7, 7\)", short)
    refuse("weight_names should differ", make_report(0, weight_names=("a",) * 7))


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_preset_refuses_bad_weights(value):
    with pytest.raises(ValueError, match="finite and >= 0. Found lam_cov"):
        Preset("k", "t", {"lam_cov": value})


def test_preset_refuses_empty_texts():
    with pytest.raises(ValueError, match="title of a preset"):
        Preset("k", " ")
