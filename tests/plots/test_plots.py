"""Figures show the numbers they are given, speak in words, and leave no open figure."""

from __future__ import annotations

import io
import itertools
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

import kit
from kit.plots import (
    compare_runs,
    compare_runs_evidence,
    evidence,
    figure_style,
    layer_heatmap,
    layer_heatmap_evidence,
    layer_norms,
    look,
    new_axes,
    symptom,
)
from kit.plots.curves import coinciding
from kit.plots.heatmap import in_lines
from tests.panel._panel_cases import make_report
from tests.training._runs import small_system


@pytest.fixture(scope="module")
def history():
    return small_system().run()


@pytest.fixture(scope="module")
def report():
    system = small_system()
    return kit.probe(system.new_model(), system.new_loss(), system.batch(4))


def test_the_symptom_draws_both_losses(history):
    lines = symptom(history).get_lines()
    assert list(lines[0].get_ydata()) == history.train_loss
    assert list(lines[1].get_ydata()) == history.val_loss
    assert lines[0].get_linestyle() != lines[1].get_linestyle(), "a second cue beside colour"
    assert lines[0].get_marker() != lines[1].get_marker()


def test_runs_are_compared_on_the_given_axes(history):
    axes = new_axes(2)
    assert compare_runs({"a": history, "b": history}, axes) == axes
    assert [len(ax.get_lines()) for ax in axes] == [2, 2]
    assert list(axes[1].get_lines()[1].get_ydata()) == history.val_loss


def run(train, validation):
    return SimpleNamespace(train_loss=train, val_loss=validation)


RUNS = {
    "no fault": run([4.0, 3.0, 2.0], [4.5, 4.0, 3.5]),
    "one": run([0.0, 0.0, 0.0], [4.5, 4.5, 4.5]),
    "two": run([0.0, 0.0, 0.0], [4.51, 4.51, 4.51]),
    "three": run([np.nan, 3.0, 2.0], [4.5, 4.5, 4.5]),
}


def test_curves_on_one_line_are_named_and_each_is_seen():
    shown = compare_runs_evidence(RUNS)
    assert shown.caption.endswith(
        "Train: 2 runs identical (one; two). Validation: 3 runs on one line (one; two; three)."
    )
    left, right = compare_runs(RUNS)
    widths = [line.get_linewidth() for line in right.get_lines()[1:]]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 3, "what lies below is wider"
    assert len({line.get_linewidth() for line in left.get_lines()[2:]} | {left.get_lines()[0].get_linewidth()}) == 1
    assert compare_runs_evidence({"no fault": RUNS["no fault"]}).caption.endswith("unchanged validation loss above 0.")


def test_only_curves_of_one_length_and_place_lie_on_one_another():
    assert coinciding({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0], "c": [1.001, 2.0], "d": [1.2, 2.0]}) == [
        ["a", "c"],
        ["b"],
        ["d"],
    ]
    assert coinciding({"a": [np.nan], "b": [np.nan]}) == [["a", "b"]]
    assert coinciding({}) == []


def test_a_legend_touches_no_curve():
    for axes in (compare_runs(RUNS), [symptom(RUNS["no fault"])]):
        figure = axes[0].get_figure()
        figure.draw_without_rendering()
        (legend,) = figure.legends
        below = legend.get_window_extent().y1
        assert all(below <= ax.get_tightbbox().y0 + 1 for ax in axes)
        shown = [text.get_text() for text in legend.get_texts()]
        assert shown == [line.get_label() for line in axes[0].get_lines()]


def made_report():
    """A report with an exact 0, a pair without a path, one that is not finite, and small and large norms."""
    report = make_report(0)
    n, m = len(report.groups), len(report.names)
    norms = np.logspace(-4, 2, n * m).reshape(n, m)
    norms[0, 1] = 0.0
    norms[1, 0] = 0.0
    norms[1, 2] = np.nan
    report.G_groups = np.stack([np.diag(row**2) for row in norms])
    report.paths = np.ones((n, m), dtype=bool)
    report.paths[1, 0] = False
    return report, norms


def marked(ax, row, column):
    """The frames of a cell, inside it or its whole."""
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return [box for box in boxes if abs(box.get_x() + box.get_width() / 2 - column) < 1e-9
            and abs(box.get_y() + box.get_height() / 2 - row) < 1e-9]  # fmt: skip


def test_the_heat_map_tells_no_path_from_zero():
    report, _ = made_report()
    ax = layer_heatmap(report)
    texts = np.array([text.get_text() for text in ax.texts]).reshape(report.paths.shape)
    assert texts[0, 1] == "0" and texts[1, 0] == "" and texts[1, 2] == "nan"
    (zero,), (none,), (lost,) = marked(ax, 0, 1), marked(ax, 1, 0), marked(ax, 1, 2)
    red, green, blue = to_rgb(zero.get_edgecolor())
    assert red > 0.6 > green + blue and zero.get_linewidth() > 1 and zero.get_hatch() is None
    assert none.get_hatch() and none.get_linewidth() == 0
    assert lost.get_linestyle() != zero.get_linestyle()
    assert len(ax.patches) == 3, "a number is marked by its colour alone"
    (legend,) = ax.get_figure().legends
    assert [text.get_text() for text in legend.get_texts()] == ["no path", "a path, but exactly 0", "not finite"]
    caption = layer_heatmap_evidence(report).caption
    assert "Faint: small." in caption and "Hatched" in caption and "framed 0" in caption


def test_the_heat_map_is_pale_where_it_is_small_and_its_names_are_level():
    report, norms = made_report()
    ax = layer_heatmap(report)
    texts = np.array([text.get_text() for text in ax.texts]).reshape(norms.shape)
    for (row, column), value in np.ndenumerate(norms):
        if value > 0 and report.paths[row, column]:
            assert float(texts[row, column]) == pytest.approx(value, rel=0.05)
    image = ax.images[0]
    light = [np.dot(image.cmap(image.norm(v))[:3], [0.2126, 0.7152, 0.0722]) for v in np.sort(norms[norms > 0])]
    assert (np.diff(light) <= 1e-9).all() and light[0] > 0.9 and light[-1] < 0.2
    labels = ax.get_xticklabels()
    assert [label.get_text().replace("\n", "") for label in labels] == list(report.names)
    assert {label.get_rotation() for label in labels} == {0.0}
    ax.get_figure().draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes)), "no name over another"


@pytest.mark.parametrize("name", ["loss_subspace_align", "a", "", "x" * 30, "heads.cov_fact_angle and more", "__a__b"])
def test_a_name_in_lines_is_the_same_name(name):
    lines = in_lines(name).split("\n")
    assert "".join(lines) == name
    assert all(len(line) <= 13 or not re.search(r".[_. ]", line) for line in lines)


def test_the_norms_of_the_layers_make_the_norm_of_the_network(report):
    assert np.sqrt((layer_norms(report) ** 2).sum(0)) == pytest.approx(report.norms, rel=1e-9)


def test_a_term_that_is_not_finite_is_said_in_the_map():
    report = make_report(0)
    G = np.array(report.G_groups)
    G[:, 0, :] = G[:, :, 0] = np.nan
    report.G_groups = G
    report.paths = np.ones((len(report.groups), len(report.names)), dtype=bool)
    assert layer_heatmap(report).texts[0].get_text() == "nan"


def test_evidence_is_a_figure_with_words(history, report):
    for shown in (kit.plots.symptom_evidence(history), layer_heatmap_evidence(report)):
        html = shown._repr_html_()
        assert re.match(
            r'<figure><img alt="[^"]{40,}" class="kit-figure" width="\d+" src="data:image/png;base64,', html
        )
        assert html.endswith("</figcaption></figure>" + figure_style())
        assert shown.png.startswith(b"\x89PNG")
    assert f"{history.train_loss[-1]:.6f}" in kit.plots.symptom_evidence(history).alt


def test_hostile_words_are_escaped():
    shown = evidence(new_axes()[0], '"><script>alert(1)</script>', "<img src=x onerror=alert(1)>")
    html = shown._repr_html_()
    assert "<script" not in html and "<img src=x" not in html
    assert html.count("<img") == 1


def test_the_style_of_a_figure_is_its_own_and_asks_for_nothing():
    style = figure_style()
    assert re.fullmatch(r"<style>[^<]*</style>", style) and "url(" not in style and "@import" not in style
    selectors = re.findall(r"([^{}]+)\{", style.removeprefix("<style>"))
    assert all("kit-figure" in part for part in selectors if not part.strip().startswith("@media screen"))


def test_a_picture_keeps_the_colours_of_the_table():
    ax = new_axes()[0]
    for i in range(8):
        ax.plot([0, 1], [i, i + 0.5], linewidth=2, **{**look(i), "linestyle": "-"})
    ax.imshow(np.linspace(0, 1, 256)[None], extent=(0, 1, 9, 10), aspect="auto")  # as many shades as a colour bar has
    ax.set_ylim(-1, 10)
    picture = Image.open(io.BytesIO(evidence(ax, "eight lines and a bar of colours").png)).convert("RGB")
    found = {colour: count for count, colour in picture.getcolors(1 << 24)}
    assert len(found) <= 128
    for colour in (*(look(i)["color"] for i in range(8)), "#ffffff"):
        assert found.get(tuple(int(to_hex(colour)[k : k + 2], 16) for k in (1, 3, 5)), 0) > 100, colour


def test_a_figure_without_words_is_refused():
    with pytest.raises(ValueError, match="alt should say"):
        evidence(new_axes()[0], "  ")


def test_no_figure_is_left_to_pyplot(history):
    kit.plots.symptom_evidence(history)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def drawn(canvas=FigureCanvasAgg, **figure):
    made = Figure(figsize=(4, 3), dpi=100, **figure)
    canvas(made)
    axes = made.subplots()
    axes.plot([1, 2, 3], [3, 2, 1], label="train")
    axes.plot([1, 2, 3], [3, 3, 3], label="validation")
    axes.set(title="Loss by epoch", xlabel="epoch", ylabel="loss")
    return made


@pytest.mark.parametrize("canvas", [FigureCanvasAgg, FigureCanvasSVG, FigureCanvasBase])
@pytest.mark.parametrize("whole", [True, False], ids=["figure", "axes"])
def test_a_figure_of_ones_own_is_evidence_as_it_is(canvas, whole):
    figure = drawn(canvas)
    before = (figure.canvas, figure.dpi, figure.get_facecolor(), tuple(figure.get_size_inches()))
    shown = kit.plots.own_evidence(figure if whole else figure.axes[0])
    assert (figure.canvas, figure.dpi, figure.get_facecolor(), tuple(figure.get_size_inches())) == before
    assert shown.alt == "Loss by epoch; x: epoch; y: loss; shown: train, validation."
    assert shown.caption == "Loss by epoch" and shown.width == 400
    picture = np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB"))
    assert picture.shape == (300, 400, 3)
    assert np.array_equal(
        picture, np.asarray(Image.open(io.BytesIO(kit.plots.own_evidence(drawn()).png)).convert("RGB"))
    )


def test_a_figure_without_a_ground_stands_on_white_and_one_in_parts_is_shown_whole():
    clear = Image.open(io.BytesIO(kit.plots.own_evidence(drawn(facecolor=(0.0, 0.0, 0.0, 0.0))).png)).convert("RGB")
    assert clear.getpixel((0, 0)) == (255, 255, 255)
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    parts = figure.subfigures(1, 2)
    figure.suptitle("Two")
    for part, title in zip(parts, ("left", "right"), strict=True):
        part.subplots().set_title(title)
    assert kit.plots.own_evidence(parts[1].axes[0]).alt == "Two. left. right."
    bare = Figure()
    bare.subplots()
    assert kit.plots.own_evidence(bare).alt == "A figure without words, with 1 axes."
