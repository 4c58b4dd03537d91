"""Curves within bounds: the same rule in Python and in the front end, no extreme and no gap lost."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kit.live.curves import LIMIT, MARKS, Curve, Curves, Mark, thinned
from kit.live.figure import _alone, _broken
from kit.live.marks import mark_labels
from kit.panel.assets import live_source, live_stylesheet
from kit.plots import look, role
from tests.panel._node import node


def noisy(n, seed=0, gaps=0.0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n).cumsum()
    values[rng.random(n) < gaps] = np.nan
    return [float(v) for v in values]


def steps_of(values):
    return list(range(1, len(values) + 1))


def part_of(step):
    """Something is changed every 37 batches."""
    return step // 37


def plain(values):
    return [v if math.isfinite(v) else None for v in values]


SERIES = [
    (noisy(5000), 7),
    (noisy(5000, 1, gaps=0.2), 1),
    (noisy(LIMIT), 100),
    (noisy(LIMIT + 1), 5000),
    ([math.nan] * 3000, 64),
    ([1.0] * 2000, 3),
    ([2.0], 1),
]
WISHES = [
    {"places": [5.0, 6.0, 7.0], "gap": 11, "end": 100},
    {"places": [99.0, 98.0, 97.0, 3.0], "gap": 11, "end": 100},
    {"places": [], "gap": 11, "end": 100},
]
AXES = [
    {"values": [0.0, 0.2, 4.9], "log": False, "fromZero": True},
    {"values": [2.1, 2.2, None], "log": False, "fromZero": False},
    {"values": [3.0], "log": False, "fromZero": False},
    {"values": [0.002, 30.0, 0.5], "log": True, "fromZero": False},
    {"values": [0.0, 1e-30, 30.0], "log": True, "fromZero": False},
    {"values": [0.0, 0.0], "log": True, "fromZero": False},
    {"values": [None], "log": True, "fromZero": True},
    {"values": [-2.0, 3.0], "log": False, "fromZero": True},
]
_random = np.random.default_rng(7)
# ends of axes: of all sizes, narrow and wide, around 0 and far from it
RANGES = [
    (float(middle - width), float(middle + width), False)
    for middle, width in zip(
        _random.choice([-1.0, 1.0], 400) * 10.0 ** _random.uniform(-9, 9, 400) * _random.choice([0.0, 1.0], 400, p=[0.2, 0.8]),
        10.0 ** _random.uniform(-12, 9, 400), strict=True,
    )
]  # fmt: skip
RANGES += [(float(low), float(low * more), True) for low, more in 10.0 ** _random.uniform([-12, 0], [6, 14], (200, 2))]
RANGES += [(0.0, 1.5e-4, False), (0.0, 3e-4, True), (1e6, 1e6 + 1e-6, False), (1.0, float(np.nextafter(1, 2)), False)]
MARKS_AT = [
    {
        "places": sorted(float(x) for x in _random.choice(np.linspace(50, 380, 400 // int(crowd)), n)),
        "faults": [bool(x) for x in _random.random(n) < 0.3], "letter": letter, "ends": [40, 400],
    }
    for n in (0, 1, 2, 5, 12, 60) for crowd in (1, 40) for letter in (5.5, 6.5)
]  # fmt: skip
LOOKS = 60
READS = [-1, 0, 17, 4999, 10**6]


@pytest.fixture(scope="module")
def front_end():
    asked = {
        "module": live_source(),
        "series": [
            {"steps": steps_of(v), "values": plain(v), "parts": [part_of(s) for s in steps_of(v)], "pieces": pieces}
            for v, pieces in SERIES
        ],
        "reads": READS,
        "wishes": WISHES,
        "axes": AXES,
        "ranges": RANGES,
        "marks": MARKS_AT,
        "looks": LOOKS,
    }
    done = subprocess.run(
        [node(), str(Path(__file__).with_name("curves.mjs"))],
        input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kept_by_python(values):
    curve = Curve()
    for step, value in enumerate(values, start=1):
        curve.add(step, value, part_of(step))
    return curve


@pytest.mark.parametrize("number", range(len(SERIES)))
def test_both_sides_keep_the_same_points(front_end, number):
    values, _ = SERIES[number]
    curve = kept_by_python(values)
    found = front_end["kept"][number]
    assert found["steps"] == curve.steps and found["values"] == plain(curve.values) and found["parts"] == curve.parts
    assert curve.parts == [part_of(step) for step in curve.steps]
    assert found["joined"] == [curve.joined(i) for i in range(len(curve.steps))]
    assert found["sparse"] == curve.sparse
    assert front_end["thinned"][number] == list(thinned(values))


@pytest.mark.parametrize("number", range(len(SERIES)))
def test_no_extreme_and_no_end_is_lost_and_the_order_stays(number):
    values, _ = SERIES[number]
    curve = kept_by_python(values)
    assert len(curve.steps) <= LIMIT
    assert curve.steps == sorted(set(curve.steps)) and curve.steps[-1] == len(values)
    assert all(v == values[s - 1] or math.isnan(v) for s, v in zip(curve.steps, curve.values, strict=True))
    finite = [v for v in values if math.isfinite(v)]
    if finite:
        assert max(v for v in curve.values if math.isfinite(v)) == max(finite)
        assert min(v for v in curve.values if math.isfinite(v)) == min(finite)
    assert any(map(math.isnan, curve.values)) == any(map(math.isnan, values))


def test_one_spike_in_a_million_batches_is_still_seen():
    curve = Curve()
    for step in range(300_000):
        curve.add(step, 1.0 if step != 123_456 else 99.0)
    assert max(curve.values) == 99.0 and curve.steps[curve.values.index(99.0)] == 123_456
    assert len(curve.steps) <= LIMIT


def test_a_curve_is_read_at_or_before_a_batch(front_end):
    found = front_end["kept"][0]
    for step, read in zip(READS, found["at"], strict=True):
        before = [v for s, v in zip(found["steps"], found["values"], strict=True) if s <= step]
        assert read == (before[-1] if before else "none")


def test_axes_hold_every_value_and_a_zero_has_a_place_below_the_decades(front_end):
    for axis, scale in zip(AXES, front_end["scales"], strict=True):
        assert all(-1e-9 <= place <= 1 + 1e-9 for place in scale["places"]), axis
        assert scale["ticks"] == sorted(set(scale["ticks"])) and 1 <= len(scale["ticks"]) <= 8
        assert scale["at"] == sorted(scale["at"])
        numbers = [v for v in axis["values"] if v is not None]
        order = np.argsort(numbers, kind="stable")
        assert (np.diff(np.array(scale["places"])[order]) >= -1e-12).all()
    zero = front_end["scales"][4]
    assert zero["log"] and zero["ticks"][0] == 0 and zero["at"][0] == 0 < zero["at"][1]
    assert front_end["scales"][0]["at"][0] == 0, "an axis of losses starts at 0"


def test_ticks_are_round_and_inside(front_end):
    assert front_end["ticks"] == [[0, 0.5, 1], [0, 200, 400, 600], [0, 1, 2], [5]]


def exact(text):
    return Fraction(text.replace("\u2212", "-"))


def half_a_digit(text):
    """Half of the last digit that is shown."""
    number, _, power = text.replace("\u2212", "-").lower().partition("e")
    return Fraction(10) ** (int(power or 0) - len(number.partition(".")[2])) / 2


def test_every_label_of_an_axis_is_its_tick(front_end):
    for (low, high, log), labels in zip(RANGES, front_end["labels"], strict=True):
        texts = [label["text"] for label in labels]
        assert len(set(texts)) == len(texts) >= 1, (low, high, texts)
        for label in labels:
            assert abs(exact(label["text"]) - Fraction(label["tick"])) <= half_a_digit(label["text"]), (
                low,
                high,
                label,
            )
            assert float(exact(label["text"])) == label["tick"], "and no digit is missing"
        assert log or max(map(len, texts)) <= 16, "a range too narrow to be told is level"
    assert [label["text"] for label in front_end["labels"][-4]] == ["0", "5e\u22125", "1e\u22124", "1.5e\u22124"]


def test_labels_of_marks_never_overprint_and_no_mark_is_lost(front_end):
    for asked, shown in zip(MARKS_AT, front_end["marks"], strict=True):
        letter, ends = asked["letter"], asked["ends"]
        here = mark_labels(asked["places"], asked["faults"], lambda text: letter * len(text), ends)  # noqa: B023
        assert [(one.text, pytest.approx(one.place)) for one in here] == [(one["text"], one["place"]) for one in shown]
        boxes = [(one.place - letter * len(one.text) / 2, one.place + letter * len(one.text) / 2) for one in here]
        assert all(a[1] < b[0] for a, b in itertools.pairwise(boxes))
        assert all(ends[0] - 1e-9 <= a and b <= ends[1] + 1e-9 for a, b in boxes)
        ranges = [one.text.lstrip("\u25b2").split("\u2013") for one in here]
        named = [i for each in ranges for i in range(int(each[0]), int(each[-1]) + 1)]
        assert named == list(range(1, len(asked["places"]) + 1))
        for one, each in zip(here, ranges, strict=True):
            assert one.text.startswith("\u25b2") == any(asked["faults"][int(each[0]) - 1 : int(each[-1])])


def test_marks_with_room_stand_alone():
    shown = mark_labels([10.0, 50.0, 50.0, 90.0], [False, False, True, False], lambda text: 6.0 * len(text), (0, 100))
    assert [(one.text, one.place) for one in shown] == [("1", 10.0), ("\u25b22\u20133", 50.0), ("4", 90.0)]


def dashes(style):
    return [] if style == "-" else list(style[1])


def test_both_sides_read_the_same_table(front_end):
    here = [look(i) for i in range(LOOKS)]
    assert [(one["colour"], one["dash"], one["marker"]) for one in front_end["looks"]] == [
        (one["color"], dashes(one["linestyle"]), one["marker"]) for one in here
    ]
    for name, there in zip(("train", "validation", "batch"), front_end["roles"], strict=True):
        mine = role(name)
        assert (there["colour"], there["dash"], there["marker"] or None) == (
            mine["color"], dashes(mine["linestyle"]), mine["marker"],
        )  # fmt: skip


def test_a_line_leads_across_no_change_unless_the_batches_are_neighbours():
    curve = Curve()
    for step, value, part in [
        (0, 1.0, 0),
        (20, 2.0, 0),
        (20, 0.0, 1),
        (40, 0.0, 1),
        (60, 5.0, 3),
        (61, 6.0, 4),
        (62, math.nan, 4),
    ]:
        curve.add(step, value, part)
    # joined in one part; straight down at the change itself; not from 40 to 60, in between something was changed
    assert [curve.joined(i) for i in range(7)] == [False, True, True, True, False, True, False]
    assert curve.sparse
    steps, values = _broken(curve)
    gaps = [i for i, value in enumerate(values) if math.isnan(value)]
    assert [steps[i] for i in gaps[:1]] == [60] and values[gaps[0] - 1] == 0.0 and values[gaps[0] + 1] == 5.0


def test_a_point_without_a_line_has_a_marker():
    assert _alone([1.0, math.nan, 2.0, 3.0, math.nan, 4.0]) == [0, 5]
    assert _alone([]) == [] and _alone([1.0]) == [0]


def test_labels_never_cover_each_other(front_end):
    for wish, places in zip(WISHES, front_end["spread"], strict=True):
        assert all(b - a >= wish["gap"] - 1e-9 for a, b in zip(sorted(places), sorted(places)[1:], strict=False))
        assert all(place <= wish["end"] for place in places)
        assert np.argsort(places, kind="stable").tolist() == np.argsort(wish["places"], kind="stable").tolist()


def test_what_is_new_is_told_once():
    curves = Curves()
    curves.add("batch", 1, 2.5)
    curves.add("val", 1, None)
    curves.add("batch", 2, math.inf)
    assert curves.take() == {"batch": ([1, 2], [2.5, None], [0, 0])}
    assert curves.take() == {}
    curves.change()
    curves.add("batch", 3, 1.5)
    assert curves.take() == {"batch": ([3], [1.5], [1])}
    assert curves.everything() == {"batch": ([1, 2, 3], [2.5, None, 1.5], [0, 0, 1])}
    json.dumps(curves.everything(), allow_nan=False)


def test_a_drag_is_one_mark_at_its_beginning():
    curves = Curves()
    curves.mark(Mark(3, "weight", "lam_cov", "lam_cov 0.3 \u2192 0.2"), goes_on=False)
    curves.mark(Mark(9, "weight", "lam_cov", "lam_cov 0.3 \u2192 0"), goes_on=True)
    assert curves.marks == [Mark(3, "weight", "lam_cov", "lam_cov 0.3 \u2192 0")]
    curves.mark(Mark(9, "fault", "nan_gradients", "fault: NaN"), goes_on=True)
    assert [mark.step for mark in curves.marks] == [3, 9]
    for step in range(2 * MARKS):
        curves.mark(Mark(step, "fault", "x", "y"), goes_on=False)
    assert len(curves.marks) == MARKS and curves.marks[-1].step == 2 * MARKS - 1


def test_the_module_is_whole_and_runs_no_text():
    text = live_source()
    assert text.rstrip().endswith("export default { render: renderLive };")
    assert "import " not in "".join(line for line in text.splitlines(True) if line.startswith("import "))
    assert (
        "innerHTML" not in text and "eval(" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    )
    assert "url(" not in live_stylesheet()
