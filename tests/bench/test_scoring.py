"""Counting and scoring, on made-up runs whose scores are known, and on the recorded scoring."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest

from kit.diagnosis import diagnose, scoring
from kit.diagnosis.scoring import BenchRun, check_keys
from kit.hypotheses import ALL
from kit.hypotheses.likelihoods import NONE, shipped_likelihoods


def _run(truth, split, seed=0, style="by hand", facts=(), **yes):
    answers = {key: yes.get(key, False) for key in check_keys() if yes.get(key, False) is not None}
    return BenchRun(style, "x", truth, "s", seed, split, answers, dict.fromkeys(facts, False))


CLEAR = {"zero_learning_rate": "learning_rate_zero", "no_batches": "no_batches"}


def _runs(split, confused=()):
    runs = [_run(NONE, split, seed) for seed in range(20)]
    for truth, sign in CLEAR.items():
        for seed in range(20):
            said = CLEAR["no_batches"] if (truth, seed) in confused else sign
            runs.append(_run(truth, split, seed, **{said: True}))
    return runs


def test_counts_are_of_the_calibration_half_alone():
    runs = [*_runs("calibration"), *_runs("evaluation", confused={("zero_learning_rate", 0)})]
    counts = scoring.count(runs).counts
    assert counts["zero_learning_rate", "by hand: x"]["learning_rate_zero"] == (20, 0)
    assert counts[NONE, "by hand: x"]["learning_rate_zero"] == (0, 20)
    silent = scoring.count([_run(NONE, "calibration", no_batches=None)]).counts
    assert silent[NONE, "by hand: x"]["no_batches"] == (0, 0)


def test_a_perfect_bench_and_one_mistake():
    runs = _runs("calibration")
    likelihoods = scoring.count(runs)
    perfect = scoring.score(_runs("evaluation"), likelihoods)
    assert (perfect.top1, perfect.top3, perfect.false_alarms) == (1, 1, 0)
    one = scoring.score(_runs("evaluation", confused={("zero_learning_rate", 3)}), likelihoods)
    assert one.top1 == pytest.approx(39 / 40)
    assert one.confusion.loc["zero_learning_rate", "no_batches"] == 1
    assert one.brier > perfect.brier
    assert one.reliability["runs"].sum() == 60


def test_the_brier_score_by_hand():
    runs = _runs("calibration")
    likelihoods = scoring.count(runs)
    run = _runs("evaluation")[25]
    d = scoring.diagnosis_of(run, likelihoods)
    p = np.array([*(c.posterior for c in d.causes), d.nothing_probability])
    truth = np.array([*(c.key == run.truth for c in d.causes), run.truth == NONE], dtype=float)
    assert scoring.score([run], likelihoods).brier == pytest.approx(((p - truth) ** 2).sum())


def test_round_trip_and_refusals():
    runs = scoring.from_csv(
        scoring.to_csv([_run(NONE, "evaluation"), _run("no_batches", "calibration", no_batches=True)])
    )
    assert [run.truth for run in runs] == [NONE, "no_batches"]
    assert [key for key, yes in runs[1].answers.items() if yes] == ["no_batches"]
    assert set(runs[0].answers.values()) == {False}
    with pytest.raises(ValueError, match=r"should begin with the columns style, .* Found \[\['a', 'b'\]\]"):
        scoring.from_csv("a,b\n1,2\n")
    with pytest.raises(ValueError, match="evaluation half. Found none"):
        scoring.score(_runs("calibration"), scoring.count(_runs("calibration")))


def test_facts_are_kept_and_lead():
    part = BenchRun(
        "by hand",
        "x",
        "dead_branch",
        "s",
        0,
        "evaluation",
        {"branch_gradient_zero": True},
        {"branch_gradient_zero": True},
    )
    whole = _run("no_batches", "evaluation", facts=("no_batches",), no_batches=True)
    again = scoring.from_csv(scoring.to_csv([part, whole]))
    assert [run.facts for run in again] == [{"branch_gradient_zero": True}, {"no_batches": False}]
    assert again == [part, whole]
    likelihoods = scoring.count(_runs("calibration"))
    assert scoring.diagnosis_of(part, likelihoods).verdict == "partly"
    assert scoring.diagnosis_of(whole, likelihoods).top.decided


def test_a_style_is_weighed_by_all_others():
    """A sign that only this style shows under its cause says little where the style is not counted, and much where it is."""
    ours = [
        _run("no_batches", split, seed, "a", batch_of_one=True)
        for split in ("calibration", "evaluation")
        for seed in range(9)
    ]
    others = [
        _run(truth, split, seed, "b", **({sign: True} if sign else {}))
        for truth, sign in {**CLEAR, NONE: None}.items()
        for split in ("calibration", "evaluation")
        for seed in range(9)
    ]
    runs = [*ours, *others]
    held_out, counted = scoring.leave_one_style_out(runs), scoring.score(runs, scoring.count(runs))
    own = held_out.runs[held_out.runs["style"] == "a"]["probability"].mean()
    assert own < 0.1 < counted.runs[counted.runs["style"] == "a"]["probability"].mean()
    b = held_out.runs[held_out.runs["style"] == "b"]
    expected = scoring.score(others, scoring.count(ours)).runs
    assert b["probability"].tolist() == pytest.approx(expected["probability"].tolist())


@pytest.fixture(scope="module")
def recorded():
    return scoring.shipped_runs()


@pytest.fixture(scope="module")
def scored(recorded):
    return scoring.leave_one_style_out(recorded)


@pytest.fixture(scope="module")
def ours(recorded):
    return scoring.score([run for run in recorded if run.style == "ours"], shipped_likelihoods())


def test_the_shipped_likelihoods_are_counted_on_the_shipped_runs(recorded):
    shipped = shipped_likelihoods().counts
    later: set[tuple[int, int]] = set()
    for way, counts in scoring.count(recorded).counts.items():
        known = {key: pair for key, pair in counts.items() if key in shipped[way]}
        assert known == shipped[way]
        later |= {pair for key, pair in counts.items() if key not in known}
    assert later <= {(0, 0)}  # checks that are younger than the recorded runs


def test_no_seed_and_no_setting_is_in_both_halves(recorded):
    halves = collections.defaultdict(set)
    for run in recorded:
        halves[run.split] |= {("seed", run.seed), ("setting", run.setting)}
    assert not halves["calibration"] & halves["evaluation"]
    assert set(halves) == {"calibration", "evaluation"}


def test_every_cause_is_counted_and_scored(recorded):
    # a cause that a fact alone establishes may be younger than the recorded runs
    by_fact = {h.key for h in ALL if {*h.signs} <= {*h.decisive}}
    causes = {h.key for h in ALL} | {NONE}
    for split in ("calibration", "evaluation"):
        found = {run.truth for run in recorded if run.split == split}
        assert found <= causes and causes - found <= by_fact


def test_faults_of_the_report_and_of_our_loop(ours):
    assert ours.top1 >= 0.95, ours
    assert ours.top3 == 1.0, ours.faulty[ours.faulty["rank"] > 3]
    assert ours.false_alarms == 0, ours.healthy
    assert ours.brier < 0.05


def test_faults_in_styles_that_were_not_counted(scored):
    assert scored.top1 >= 0.85, scored
    assert scored.top3 >= 0.92, scored.faulty[scored.faulty["rank"] > 3]
    assert len(scored.healthy) >= 200 and scored.healthy["style"].nunique() >= 40
    assert scored.false_alarms <= 0.01 * len(scored.healthy), scored.healthy[scored.healthy["top"] != "healthy"]
    assert scored.sure_and_wrong <= 0.05
    assert scored.brier < 0.25


def test_the_readme_says_what_was_measured(ours, scored):
    text = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    programs = scored.faulty.groupby(["style", "fault"]).ngroups
    assert (
        f"{len(scored.faulty)} runs of {programs} programs with a fault, in {scored.faulty['style'].nunique()} styles: the true cause first in "
        f"{_percent(scored.top1)}, among the first three in {_percent(scored.top3)}; {scored.false_alarms} alarms in {len(scored.healthy)} "
        f"healthy runs; Brier score {scored.brier:.2f}; of the answers that were more than 90 % sure, {_percent(scored.sure_and_wrong)} were wrong."
    ) in text
    assert (
        f"With its own style counted, as the shipped table has it, the report's loop is right in {_percent(ours.top1)}."
        in text
    )


def _percent(share):
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def test_the_recorded_faulty_run_has_its_true_cause():
    import kit

    got = diagnose(kit.datasets.load_faulty_run())
    assert (got.verdict, got.top.key) == ("fault", "nan_gradients")
    assert kit.datasets.load_faulty_run().settings["faults"][0] == got.top.key
