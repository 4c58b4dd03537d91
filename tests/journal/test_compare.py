"""Two kept findings: every row differs, and the losses of both lie in one figure."""

from __future__ import annotations

import numpy as np
import pytest

import kit
from kit.journal import Journal
from kit.live import SystemSession
from kit.live.widget import LivePanel
from kit.plots import Evidence, overlaid
from kit.report import verify
from tests.journal._findings import PIXEL, small
from tests.training._runs import small_system


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """Two trainings: one untouched, one with a weight at 0 and NaN gradients, longer."""
    journal = Journal(tmp_path_factory.mktemp("kept"))
    live = LivePanel(SystemSession(small_system(), probe_every=2))
    view = journal.view(live)
    live.steps(3)
    view.act({"action": "keep", "offer": 0, "note": "", "name": ""})
    live.weights = {"lam_aux": 0.0}
    live.faults = ["nan_gradients"]
    live.steps(3)
    view.act({"action": "keep", "offer": 0, "note": "", "name": ""})
    live.close()
    return journal


def rows_of(comparison):
    return comparison.table.set_index("quantity")


def test_rows_say_what_was_set_and_how_far_it_came(journal):
    comparison = journal.compare(0, 1)
    table = rows_of(comparison)
    assert list(table.columns) == [
        "nothing changed, 3 batches",
        "lam_aux 0 + NaN gradients, 6 batches",
        "difference",
    ]
    assert list(table.loc["batches trained"])[:2] == ["3", "6"]
    assert table.loc["faults"].iloc[0] == "none" and table.loc["faults"].iloc[1].startswith("NaN gradients")
    first, second, difference = table.loc["lam_aux"]
    assert second == 0.0 and difference == second - first and "epoch" in table.index
    assert "nan" in table.loc["diagnosis"].iloc[1].lower()
    assert "claim" not in table.index and "probed state" not in table.index, "what is the same is no row"
    assert (table.iloc[:, 0] != table.iloc[:, 1]).all() and table.index.is_unique


def test_the_losses_lie_over_each_other_with_their_numbers(journal):
    comparison = journal.compare(0, 1)
    names = list(comparison.table.columns[1:3])
    numbers = comparison.curves.numbers
    for name, kept in zip(names, journal, strict=True):
        own = kept.finding.evidence[0].numbers
        for loss in ("loss of the batch", "train loss"):
            there = {x: y for x, y in zip(numbers["batch"], numbers[f"{name}: {loss}"], strict=True) if y is not None}
            assert there == {x: y for x, y in zip(own["batch"], own[loss], strict=True) if y is not None} != {}
    assert all(name in comparison.curves.alt for name in names) and "Where do the losses" in comparison.curves.caption


def test_the_figure_has_a_plot_a_loss_and_a_line_a_run():
    runs = {
        "a $x$": {"train loss": ([1, 2], [3.0, 2.0]), "validation loss": ([2], [4.0])},
        "b": {"train loss": ([1, 2, 3], [3.0, 1.0, 0.5]), "validation loss": ([2, 3], [4.0, 3.0])},
    }
    axes = overlaid(runs, "epoch")
    assert [ax.get_title(loc="left") for ax in axes] == ["train loss", "validation loss"]
    for ax, loss in zip(axes, ("train loss", "validation loss"), strict=True):
        assert [line.get_xydata().T.tolist() for line in ax.lines] == [
            [list(map(float, part)) for part in of[loss]] for of in runs.values()
        ]
        looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines}
        assert len(looks) == 2 and ax.get_xlabel() == "epoch"
    longer = {**runs, "c": {loss: (range(99), range(99)) for loss in runs["b"]}}
    assert {line.get_marker() for line in overlaid(longer, "epoch")[0].lines} == {"None"}, "all marked, or none"
    legend = axes[0].get_figure().legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [r"a \$x\$", "b"]


def test_a_page_of_two_has_the_figure_and_verifies(journal, tmp_path):
    written = journal.compare(0, 1).write(tmp_path / "two.html")
    seen = verify(written.path)
    assert seen.tables["figure-1.csv"].startswith('batch,"nothing changed, 3 batches: loss of the batch"')
    assert "lam_aux" in seen.tables["table-1.csv"]
    assert [item.finding.evidence[0].alt for item in seen.findings] == [
        kept.finding.evidence[0].alt for kept in journal
    ]
    html = written.path.read_text(encoding="utf-8")
    assert html.index('id="figure-1"') < html.index('id="finding-1"')


def test_a_page_that_an_older_kit_compared_still_verifies(journal, tmp_path, monkeypatch):
    """It held one table, not a list of pieces."""
    from kit.report import page

    today = page.page_data

    def older(*arguments):
        data = today(*arguments)
        return {**data, "compared": data["compared"][0]}

    monkeypatch.setattr(page, "page_data", older)
    comparison = journal.compare(0, 1)
    table = type(comparison)(comparison.first, comparison.second, comparison.table)
    assert "table-1.csv" in verify(table.write(tmp_path / "old.html").path).tables


def test_without_losses_in_both_there_is_no_figure(tmp_path):
    journal = Journal(tmp_path)
    losses = Evidence(PIXEL, "a", numbers={"epoch": [1, 2], "train loss": [1.0, None]})
    journal.keep(small(), name="none")
    journal.keep(small(evidence=[losses]), name="epochs")
    journal.keep(small(evidence=[Evidence(PIXEL, "a", numbers={"batch": [1], "train loss": [1.0]})]), name="batches")
    for other in ("none", "batches"):
        assert journal.compare("epochs", other).curves is None
    journal.keep(small(evidence=[losses], answer="again"), name="more epochs")
    assert journal.compare("epochs", "more epochs").curves.numbers["epoch"] == [1]


def test_nothing_that_differs_is_said(tmp_path):
    journal = Journal(tmp_path)
    for name in ("a", "b"):
        journal.keep(small(), name=name)
    table = journal.compare("a", "b").table
    assert table.values.tolist() == [["everything compared here", "the same", "the same", ""]]


def test_tables_of_two_columns_are_compared_by_their_first(tmp_path):
    import pandas as pd

    journal = Journal(tmp_path)
    for name, values in (("a", {"steps": 0, "epochs": 8}), ("b", {"steps": 32, "epochs": 8, "seed": 1})):
        frame = pd.DataFrame(list(values.items()), columns=["what", "count"])
        journal.keep(small(evidence=[kit.report.Table(frame, "Counts")]), name=name)
    table = rows_of(journal.compare("a", "b"))
    assert list(table.index) == ["steps", "seed"]
    assert list(table.loc["steps"])[:2] == [0, 32] and list(table.loc["seed"])[:2] == ["\u2013", 1]


def test_an_infinite_loss_is_drawn_as_far_as_it_goes():
    axes = overlaid({"a": {"train loss": ([1, 2], [1.0, np.inf])}, "b": {"train loss": ([1], [2.0])}}, "epoch")
    axes[0].get_figure().canvas.draw()


def test_runs_that_cannot_be_overlaid_are_refused():
    with pytest.raises(ValueError, match="runs should hold at least one run. Found none"):
        overlaid({}, "epoch")
    with pytest.raises(ValueError, match="runs should all have train loss. Found no train loss in 'b'"):
        overlaid({"a": {"train loss": ([1], [1.0])}, "b": {}}, "epoch")
