"""The page of one recorded run: about that run, in sentences, each thing once."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd
import pytest
import torch

import kit
from kit.hypotheses import ALL, Observed, all_checks
from kit.plots import Evidence
from kit.report import Finding, Table, to_html
from kit.studies import causes_table, diagnosis_finding, ranked_table
from kit.studies.diagnosis_page import curves_evidence, curves_of, epoch_table
from tests.diagnosis._programs import BATCHES, EPOCHS, Loss, Program, Vae, removed, watched
from tests.diagnosis._runs import healthy, observed


def page_of(run) -> tuple[kit.Finding, str]:
    found = diagnosis_finding(kit.diagnose(run), run, command="python -m kit diagnose run.npz")
    return found, unescape(re.sub(r'<script type="application/json".*?</script>', "", to_html(found), flags=re.DOTALL))


def empty_block():
    with kit.watch(Vae(), loss=Loss()) as run:
        pass
    return run.trace


def unexplained():
    program = Program(loss=lambda prediction, target: ((prediction[0] - target) ** 2).mean())
    with kit.watch(program.model) as run:
        shown = program.fit()
    run.log(train_loss=shown["train_loss"], val_loss=[2.0] * EPOCHS)
    return run.trace


RUNS = {
    "cleared": (lambda: watched(Program(), cleared=removed), "The gradients are gone before the step", "found"),
    "empty loader": (lambda: watched(Program(), empty=True), "The training loader is empty", "found"),
    "two causes": (
        lambda: watched(Program(lr=0.0), added=False),
        "The learning rate is 0, and the displayed number is wrong",
        "found",
    ),
    "healthy": (lambda: watched(Program()), "No symptom, and no sign of a known cause", "healthy"),
    "not logged": (lambda: watched(Program(), log=False), "No symptom, and no sign of a known cause", "healthy"),
    "other model": (
        lambda: watched(Program(), model=Vae()),
        "The model that was passed was never called",
        "nothing found",
    ),
    "empty block": (empty_block, "Nothing was trained inside the with block", "nothing found"),
    "unexplained": (unexplained, "There is a symptom, and no known cause explains it", "unexplained"),
    "history": (
        kit.datasets.load_faulty_run,
        "NaN or infinity in gradients or losses, and the displayed number is wrong",
        "found",
    ),
}


@pytest.fixture(scope="module", params=RUNS)
def page(request):
    make, title, badge = RUNS[request.param]
    run = make()
    return run, *page_of(run), title, badge


def test_the_title_is_the_cause_and_the_badge_is_no_claim(page):
    _, found, html, title, badge = page
    assert (found.question, found.badge, found.claim) == (title, badge, "")
    assert f"<title>{title}</title>" in html and f">{badge}</span>" in html
    assert not re.search(r"claim (holds|confirmed|refuted|does not hold)", html)


def test_nothing_on_it_is_the_reports_or_a_name_in_the_code(page):
    _, _, html, _, _ = page
    keys = [entry.key for entry in (*all_checks(ALL), *ALL) if "_" in entry.key]
    body = html.split("<body", 1)[1].split("<script", 1)[0]
    assert not [key for key in keys if re.search(rf"\b{key}\b", body)]
    assert "report's" not in body and "R_blend" not in body and "prior" not in body


def test_what_to_do_and_the_guard_stand_there_once(page):
    run, found, html, _, _ = page
    diagnosis = kit.diagnose(run)
    if diagnosis.top is None:
        assert found.summary is None and found.fix == ""
        return
    for cause in diagnosis.named:
        first = cause.hypothesis.guard.splitlines()[-1]
        assert html.count(f"<code>{found.summary.code}</code>") == 1 and first in found.summary.code
        assert html.count(cause.hypothesis.fix) == 1 and html.count(cause.hypothesis.mechanism) == 1
        assert cause.plain not in found.evidence[-1].frame["cause"].tolist()


def test_it_is_small_and_comes_back_from_its_record(page):
    _, found, html, _, _ = page
    assert len(html) < 300_000
    assert Finding.from_record(found.to_record()).badge == found.badge


def test_the_curves_are_those_of_the_trace(page):
    run, found, _, _, _ = page
    figures = [piece for piece in found.evidence if isinstance(piece, Evidence) and "epoch" in piece.numbers]
    shown = Observed.of(run).epochs
    if "train_loss" not in shown or not shown["train_loss"].notna().any():
        assert not figures or "train loss, displayed" not in figures[0].numbers
        return
    assert figures[0].numbers["train loss, displayed"] == shown["train_loss"].tolist()
    assert figures[0].numbers["validation loss, displayed"] == shown["val_loss"].tolist()


def test_the_chain_comes_first(page):
    run, found, _, _, _ = page
    figures = [piece for piece in found.evidence if isinstance(piece, Evidence)]
    states = kit.diagnose(run).chain.table["state"].tolist()
    if set(states) == {"not observed"}:
        assert not any("state" in figure.numbers for figure in figures)
    else:
        assert figures[0].numbers["state"] == states


def test_the_counts_are_those_of_the_loop():
    """Second way: the loop's own numbers."""
    run = watched(Program(), cleared=removed)
    rows = epoch_table(Observed.of(run)).frame
    assert rows["epoch"].tolist() == [1, 2, 3]
    assert (rows[["batches", "backward passes", "steps"]] == BATCHES).all(axis=None)
    assert rows["evaluation passes"].tolist() == [1] * EPOCHS and (rows["learning rate"] == 1e-2).all()
    found, html = page_of(run)
    assert found.answer == "Vae, trained with Adam on Loss: 24 batches, 24 backward passes, 24 steps in 3 epochs."
    assert ("gradients gone at the step", "no gradient was left at each of 24 measured steps") in found.summary.evidence
    assert "no gradient to step with" in html


def test_of_a_long_run_the_first_and_the_last_epochs_are_shown():
    count = 100
    epochs = {name: [float(i) for i in range(count)] for name in ("train_loss", "val_loss", "batches", "steps")}
    table = epoch_table(observed(epochs=epochs))
    assert table.frame["epoch"].tolist() == [*range(1, 7), *range(95, 101)]
    assert "The first and the last 6 of 100 epochs." in table.caption


def test_a_count_that_is_missing_stays_empty():
    table = epoch_table(observed(epochs={"batches": [4.0, float("nan")], "steps": [4.0, 4.0]}))
    assert table.frame["batches"].tolist() == ["4", ""] and table.frame["steps"].tolist() == [4, 4]


def test_losses_below_zero_are_drawn_whole_and_nothing_is_drawn_of_nothing():
    seen = healthy(train_loss=[-1.0, -2.0, -3.0], val_loss=[-1.0, -1.5, -2.0])
    assert curves_evidence(seen).numbers["train loss, displayed"] == [-1.0, -2.0, -3.0]
    assert curves_of(observed()) == {} and curves_evidence(observed()) is None
    only = curves_evidence(healthy(val_loss=None))
    assert only.numbers["validation loss, displayed"] == [None] * 3


def test_computed_losses_of_a_history_are_the_means_of_its_steps():
    run = kit.datasets.load_faulty_run()
    computed = curves_of(Observed.of(run))["computed"].train_loss
    by_hand = [pd.Series([s["loss"] for s in run.step_records if s["epoch"] == e]).mean() for e in run.epochs.index]
    assert computed == pytest.approx(by_hand)


def test_causes_that_cannot_be_looked_at_are_left_out_and_counted():
    diagnosis = kit.diagnose(watched(Program()))
    table = causes_table(diagnosis)
    assert not table.frame["cause"].str.contains("prediction").any()  # this loss does not say what it reads
    hidden = [cause for cause in diagnosis.causes if len(cause.silent) == len(cause.hypothesis.signs)]
    assert len(table.frame) == len(ALL) - len(hidden) and f"nothing to look at: {len(hidden)} more." in table.caption
    assert set(table.frame["judgement"]) == {"no sign"}


def test_the_ranking_of_the_report_has_its_prior_and_answers_in_words():
    diagnosis = kit.diagnose(kit.datasets.load_faulty_run())
    table = ranked_table(diagnosis)
    assert isinstance(table, Table) and "report's prior" in table.frame
    first = table.frame.iloc[0]
    assert first["cause"] == "Numerical instability: NaN becomes 0" and first["verdict"] == "established"
    assert "gradients NaN" in first["for"] and "_" not in "".join(table.frame["for"] + table.frame["against"])
    named = causes_table(diagnosis).frame.iloc[0]
    assert named["cause"] == "NaN or infinity in gradients or losses" and named["judgement"] == "established"


def test_typed_text_is_escaped():
    class Evil(torch.nn.Linear):
        pass

    Evil.__name__ = "<img src=x onerror=alert(1)>"
    program = Program()
    with kit.watch(Evil(2, 2)) as run:
        program.fit()
    found = diagnosis_finding(kit.diagnose(run.trace), run.trace)
    assert "<img src=x" in found.answer and "<img src=x" not in to_html(found)
