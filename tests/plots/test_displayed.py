"""The dot chart of displayed and computed losses: its numbers, its words, and what is not a number."""

from __future__ import annotations

import math

import pandas as pd

from kit.plots import displayed, displayed_evidence

COUNTS = pd.DataFrame(
    {
        "train_computed": [3.5, math.nan],
        "train_displayed": [0.0, 0.0],
        "val_first": [4.5, 4.25],
        "val_last": [4.25, 4.25],
    },
    index=pd.Index(["moves", "stays"], name="fault"),
)


def test_the_first_fault_stands_on_top():
    left, right = displayed(COUNTS)
    assert [label.get_text() for label in left.get_yticklabels()] == ["moves", "stays"]
    assert left.get_yticks().tolist() == [1, 0]
    assert right.collections[0].get_offsets().tolist() == [[-0.25, 1.0], [0.0, 0.0]]


def test_the_numbers_are_what_is_drawn_and_nan_is_nothing():
    shown = displayed_evidence(COUNTS)
    assert shown.numbers["train, computed"] == [3.5, None]
    assert shown.numbers["validation, last minus first"] == [-0.25, 0.0]
    assert "moves: computed 3.5000, displayed 0.0000, validation -0.250000" in shown.alt
    assert "healthy" in shown.caption
