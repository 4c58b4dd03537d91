"""Figures show the numbers they are given, speak in words, and leave no open figure."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

import kit
from kit.plots import compare_runs, evidence, layer_heatmap, layer_heatmap_evidence, layer_norms, new_axes, symptom
from tests.panel._panel_cases import make_report
from tests.training._runs import small_patient


@pytest.fixture(scope="module")
def history():
    return small_patient().run()


@pytest.fixture(scope="module")
def report():
    patient = small_patient()
    return kit.probe(patient.new_model(), patient.new_loss(), patient.batch(4))


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


def test_the_heat_map_shows_norms_and_tells_no_path_from_zero(report):
    ax = layer_heatmap(report)
    texts = np.array([text.get_text() for text in ax.texts]).reshape(layer_norms(report).shape)
    assert ((texts == "") == ~np.asarray(report.paths)).all()
    row, column = report.groups.index("heads.k_logits"), report.names.index("loss_K")
    expected = np.sqrt(report.G_groups[row, column, column])
    assert float(texts[row, column]) == pytest.approx(expected, rel=0.05)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(report.names)


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
        assert re.match(r'<figure><img alt="[^"]{40,}" width="\d+" src="data:image/png;base64,', html)
        assert html.endswith("</figcaption></figure>")
        assert shown.png.startswith(b"\x89PNG")
    assert f"{history.train_loss[-1]:.6f}" in kit.plots.symptom_evidence(history).alt


def test_hostile_words_are_escaped():
    shown = evidence(new_axes()[0], '"><script>alert(1)</script>', "<img src=x onerror=alert(1)>")
    html = shown._repr_html_()
    assert "<script" not in html and "<img src=x" not in html
    assert html.count("<img") == 1


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
