"""One table of colours, dashes and markers: readable on light and dark ground, told apart, and used where it should be."""

from __future__ import annotations

import re
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kit.live.curves import Curves
from kit.live.figure import live_axes
from kit.plots import displayed, figure_style, look, palette, role, symptom

WHITE, DARK_GROUNDS = "#ffffff", ("#111111", "#14181c", "#14171b")  # Lab, the exported page, the panel
# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def linear(c):
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2, of two colours 0 to 1."""
    high, low = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def oklab(light):
    a = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
         [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    b = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
         [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.array(b) @ np.cbrt(np.array(a) @ np.clip(light, 0, 1))


def turned(colour):
    """The CSS filter of a dark theme: invert, then rotate the hue by half a turn (Filter Effects, on sRGB values)."""
    share = float(re.search(r"invert\(([\d.]+)\) hue-rotate\(180deg\)", figure_style())[1])
    c = share + colour * (1 - 2 * share)
    return np.clip(2 * (c @ [0.213, 0.715, 0.072]) - c, 0, 1)


COLOURS = sorted({*palette()["terms"], *palette()["roles"].values()})


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_is_seen_on_light_and_on_dark(colour):
    for ground in (WHITE, *DARK_GROUNDS):
        assert contrast(rgb(colour), rgb(ground)) >= 3, ground
    assert contrast(turned(rgb(colour)), turned(rgb(WHITE))) >= 3, "in a picture that a dark theme has turned over"


def test_a_picture_turned_over_is_dark_keeps_its_hues_and_its_words_are_read():
    assert contrast(turned(rgb(WHITE)), rgb("#111111")) < 1.1, "no raw rectangle beside dark panels"
    assert contrast(turned(rgb("#000000")), turned(rgb(WHITE))) >= 12
    for colour in COLOURS:
        before, after = (oklab(linear(c))[1:] for c in (rgb(colour), turned(rgb(colour))))
        # of grey there is no hue to keep
        agree = np.dot(before, after) / (np.linalg.norm(before) * np.linalg.norm(after))
        assert np.linalg.norm(before) < 0.03 or agree > 0.9, colour


def test_train_validation_and_each_batch_are_told_apart_by_everybody():
    colours = palette()["roles"]
    assert list(colours) == ["train", "validation", "batch"]
    for kind, matrix in BLINDNESS.items():
        seen = {name: oklab(np.array(matrix) @ linear(rgb(colour))) for name, colour in colours.items()}
        for a, b in combinations(seen, 2):
            assert np.linalg.norm(seen[a] - seen[b]) > 0.08, (kind, a, b)
    styles = [(role(name)["linestyle"], role(name)["marker"]) for name in colours]
    assert len(set(styles)) == 3, "colour is never the only cue"


def test_no_two_series_look_alike():
    looks = [look(i) for i in range(56)]
    assert len({(one["color"], one["linestyle"]) for one in looks}) == 56
    assert len({one["color"] for one in looks[: len(palette()["terms"])]}) == len(palette()["terms"]) >= 7


def losses(curve):
    return to_hex(curve.get_color()).upper()


def test_train_and_validation_have_one_colour_in_every_figure():
    wanted = palette()["roles"]
    history = SimpleNamespace(train_loss=[1.0, 0.5], val_loss=[1.2, 0.9])
    assert {line.get_label(): losses(line) for line in symptom(history).get_lines()} == {
        "train": wanted["train"], "validation": wanted["validation"],
    }  # fmt: skip
    curves = Curves()
    for name in ("batch", "train", "val"):
        for step in (1, 2, 3):
            curves.add(name, step, 1.0 / step)
    drawn = {line.get_label(): losses(line) for line in live_axes(curves)[0].get_lines()}
    assert drawn == {"each batch": wanted["batch"], "train": wanted["train"], "validation": wanted["validation"]}
    counts = {
        "train_computed": [1.0],
        "train_displayed": [0.0],
        "val_first": [2.0],
        "val_last": [1.0],
    }
    left, right = displayed(pd.DataFrame(counts, index=["one"]))
    named = {dots.get_label(): dots for dots in left.collections}
    assert to_hex(named["displayed"].get_facecolor()[0]).upper() == wanted["train"]
    assert to_hex(named["computed"].get_edgecolor()[0]).upper() == wanted["batch"]
    assert to_hex(right.collections[0].get_facecolor()[0]).upper() == wanted["validation"]


def test_a_role_that_nobody_has_is_refused():
    with pytest.raises(ValueError, match="name should be one of train, validation, batch. Found 'test'"):
        role("test")
