"""The values a slider stops at: the mapping of the shipped module, run by Node."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import kit
from tests.panel._node import node

MODULE = Path(kit.__file__).parent / "panel" / "static" / "scale.js"
TRACK = 264  # pixels that a slider's thumb can go in the narrowest layout with columns
PROBED = (0.3, 0.03, 0.001, 0.5, 1.0, 0.05, 0.1)
CASES = {
    "seven terms": {"upper": 2.0, "own": list(PROBED)},
    "odd numbers": {"upper": 2.0, "own": [0.123456, 0.0, 2.0, 1 / 3]},
    "a tiny weight": {"upper": 1.0, "own": [3e-7]},
    "a long slider": {"upper": 5e6, "own": [1.0]},
    "an end that is not round": {"upper": 3.7, "own": []},
    "a short slider": {"upper": 7e-4, "own": [1e-4]},
    "an end at a power of ten": {"upper": 10.0, "own": [10.0]},
}


@pytest.fixture(scope="module")
def found():
    asked = {
        "module": MODULE.read_text(encoding="utf-8"),
        "cases": [{**case, "pixels": TRACK} for case in CASES.values()],
    }
    command = [node(), str(Path(__file__).with_name("scale.mjs"))]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_from_exactly_zero_in_small_steps_to_the_end(found, case):
    stops, upper = found[case]["stops"], CASES[case]["upper"]
    assert stops[0] == 0 and stops[-1] == upper and all(a < b for a, b in pairwise(stops))
    own = {x for x in CASES[case]["own"] if x > 0}
    assert own <= set(stops)
    assert stops[1] <= 1.02 * min([upper / 1e4, *(x / 5 for x in own)])
    assert all(b / a <= 1.0251 for a, b in pairwise(stops[1:])), "a few per cent, wherever it stands"
    for x in set(stops) - own - {upper}:
        assert len(Decimal(repr(x)).normalize().as_tuple().digits) <= 3, x


@pytest.mark.parametrize("case", CASES)
def test_a_key_goes_from_stop_to_stop_and_back_to_the_same_number(found, case):
    seen = found[case]
    assert seen["walk"] == seen["stops"], "every stop is met once"
    assert seen["places"][0] == 0 and seen["places"][-1] == 1 and seen["too_far"] == [0, 1]
    assert seen["there_and_back"] == seen["stops"][:-1]
    ends = {0, CASES[case]["upper"]}
    assert seen["again"] == [x if x in ends else float(f"{x:.3g}") for x in seen["stops"]], (
        "places are exact to the digits shown"
    )
    # a number that was typed lies between two stops, and goes to them
    assert seen["up"] == seen["stops"][1:] and seen["down"] == seen["stops"][:-1]
    assert all(a < b < c for a, b, c in zip(seen["places"], seen["between_places"], seen["places"][1:], strict=False))
    upper = max(ends)
    assert seen["ends"] == [0, upper, upper, 0, 0, upper]


@pytest.mark.parametrize("case", CASES)
def test_under_a_pointer_values_rise_and_the_probed_one_is_hit(found, case):
    for probed, values in zip(CASES[case]["own"], found[case]["pixels"], strict=True):
        assert all(a <= b for a, b in pairwise(values)) and values[0] == 0 and values[-1] == CASES[case]["upper"]
        assert probed in values


@pytest.mark.parametrize("weight", PROBED)
def test_every_weight_is_tuned_by_the_pixel(found, weight):
    """Over the decade around it a pixel is a few per cent. In equal steps from 0 to 2 it would be 0.0076, for 0.001 too."""
    values = found["seven terms"]["pixels"][PROBED.index(weight)]
    near = [x for x in values if weight / 3 <= x <= min(2.0, 3 * weight)]
    assert len(near) > 40 and max(b / a for a, b in pairwise(near)) < 1.065


@pytest.mark.parametrize("case", CASES)
def test_the_track_is_logarithmic_but_for_its_left_end(found, case):
    """A decade has one length, wherever it lies: the second way to a place is numpy's logarithm."""
    stops, places = (np.array(found[case][name][1:]) for name in ("stops", "places"))
    share = (np.log10(stops) - np.log10(stops[0])) / (np.log10(stops[-1]) - np.log10(stops[0]))
    assert np.allclose(places, places[0] + (1 - places[0]) * share) and 0 < places[0] <= 0.02
