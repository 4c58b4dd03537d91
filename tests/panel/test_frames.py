"""When the panel is drawn: at once for a hand, once a frame, and never less than was asked for."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from pathlib import Path

import pytest

import kit
from tests.panel._node import node

MODULE = Path(kit.__file__).parent / "panel" / "static" / "frames.js"
CASES = {
    "a hand is drawn for at once": (["now"], [1]),
    "once in a frame": (["now", "now", "now", "frame"], [1, 4]),
    "and in every frame": (["now", "frame", "now", "frame", "now"], [1, 3, 5]),
    "the kernel waits for the frame": (["later", "later", "frame"], [3]),
    "a hand does not wait for it": (["later", "now", "frame", "frame"], [2]),
    "what came after the hand is drawn": (["now", "later", "frame", "frame"], [1, 3]),
    "an idle frame draws nothing": (["now", "frame", "frame", "later"], [1]),
    "nothing is drawn after the end": (["now", "now", "stop", "frame"], [1]),
}


def answers(acts):
    given = json.dumps({"module": MODULE.read_text(encoding="utf-8"), "acts": acts})
    script = Path(__file__).with_name("frames.mjs")
    return json.loads(subprocess.run([node(), script], input=given, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def found():
    return dict(zip(CASES, answers([acts for acts, _ in CASES.values()]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_when_it_is_drawn(found, case):
    assert found[case]["drawn"] == CASES[case][1]


def test_whatever_happens_the_last_change_is_shown_and_no_frame_has_more_than_two_drawings():
    """One at once and one with the frame: what is drawn with a frame belongs to it."""
    chance = random.Random(0)
    lists = [[*chance.choices(["now", "later", "frame"], k=40), "frame", "frame"] for _ in range(200)]
    for acts, answer in zip(lists, answers(lists), strict=True):
        drawn, waiting = answer["drawn"], answer["waiting"]
        last = max((at for at, act in enumerate(acts, 1) if act != "frame"), default=0)
        assert waiting == 0 and (not last or max(drawn) >= last)
        ends = [0, *(at for at, act in enumerate(acts, 1) if act == "frame")]
        for start, end in itertools.pairwise(ends):
            assert sum(start < at <= end for at in drawn) <= 2
