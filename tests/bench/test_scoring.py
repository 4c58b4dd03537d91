"""Counting and scoring, on made-up lines whose scores are known, and on the recorded bench."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest

from kit import bench
from kit.bench import Line
from kit.bench.running import check_keys
from kit.diagnosis import diagnose
from kit.hypotheses import ALL
from kit.hypotheses.likelihoods import NONE, shipped_likelihoods


def _line(truth, split, seed=0, **yes):
    words = ["y" if yes.get(key) else ("-" if yes.get(key, False) is None else "n") for key in check_keys()]
    return Line(f"{truth}/{split}/{seed}", "by hand", "x", truth, "s", seed, split, "".join(words))


CLEAR = {"zero_learning_rate": "learning_rate_zero", "no_batches": "no_batches"}


def _lines(split, confused=()):
    lines = [_line(NONE, split, seed) for seed in range(20)]
    for truth, sign in CLEAR.items():
        for seed in range(20):
            said = CLEAR["no_batches"] if (truth, seed) in confused else sign
            lines.append(_line(truth, split, seed, **{said: True}))
    return lines


def test_counts_are_of_the_calibration_half_alone():
    lines = [*_lines("calibration"), *_lines("evaluation", confused={("zero_learning_rate", 0)})]
    counts = bench.count(lines).counts
    assert counts["zero_learning_rate", "by hand: x"]["learning_rate_zero"] == (20, 0)
    assert counts[NONE, "by hand: x"]["learning_rate_zero"] == (0, 20)
    silent = bench.count([_line(NONE, "calibration", no_batches=None)]).counts
    assert silent[NONE, "by hand: x"]["no_batches"] == (0, 0)


def test_a_perfect_bench_and_one_mistake():
    lines = _lines("calibration")
    likelihoods = bench.count(lines)
    perfect = bench.score(_lines("evaluation"), likelihoods)
    assert (perfect.top1, perfect.top3, perfect.false_alarms) == (1, 1, 0)
    one = bench.score(_lines("evaluation", confused={("zero_learning_rate", 3)}), likelihoods)
    assert one.top1 == pytest.approx(39 / 40)
    assert one.confusion.loc["zero_learning_rate", "no_batches"] == 1
    assert one.brier > perfect.brier
    assert one.reliability["runs"].sum() == 60


def test_the_brier_score_by_hand():
    lines = _lines("calibration")
    likelihoods = bench.count(lines)
    line = _lines("evaluation")[25]
    d = bench.scoring.diagnosis_of(line, likelihoods)
    p = np.array([*(c.posterior for c in d.causes), d.nothing_probability])
    truth = np.array([*(c.key == line.truth for c in d.causes), line.truth == NONE], dtype=float)
    assert bench.score([line], likelihoods).brier == pytest.approx(((p - truth) ** 2).sum())


def test_round_trip_and_refusals():
    lines = bench.from_csv(
        bench.to_csv([_line(NONE, "evaluation"), _line("no_batches", "calibration", no_batches=True)])
    )
    assert [line.truth for line in lines] == [NONE, "no_batches"]
    assert "y" in lines[1].answers and "y" not in lines[0].answers
    with pytest.raises(ValueError, match="Found another heading"):
        bench.from_csv("a,b\n1,2\n")
    with pytest.raises(ValueError, match="evaluation half. Found none"):
        bench.score(_lines("calibration"), bench.count(_lines("calibration")))


@pytest.fixture(scope="module")
def recorded():
    return bench.shipped_runs()


@pytest.fixture(scope="module")
def scored(recorded):
    return bench.score(recorded, shipped_likelihoods())


def test_the_shipped_likelihoods_are_counted_on_the_shipped_runs(recorded):
    assert bench.count(recorded).counts == shipped_likelihoods().counts


def test_no_seed_and_no_setting_is_in_both_halves(recorded):
    halves = collections.defaultdict(set)
    for line in recorded:
        halves[line.split] |= {("seed", line.seed), ("setting", line.setting)}
    assert not halves["calibration"] & halves["evaluation"]
    assert set(halves) == {"calibration", "evaluation"}


def test_every_cause_is_counted_and_scored(recorded):
    causes = {h.key for h in ALL} | {NONE}
    for split in ("calibration", "evaluation"):
        assert {line.truth for line in recorded if line.split == split} == causes


def test_faults_of_the_report_and_of_our_loop(recorded):
    ours = bench.score([line for line in recorded if line.style == "ours"], shipped_likelihoods())
    assert ours.top1 >= 0.95, ours
    assert ours.top3 == 1.0, ours.faulty[ours.faulty["rank"] > 3]
    assert ours.false_alarms == 0, ours.healthy
    assert ours.brier < 0.05


def test_faults_of_all_loops(scored):
    assert scored.top1 >= 0.95, scored
    assert scored.top3 >= 0.99, scored.faulty[scored.faulty["rank"] > 3]
    assert scored.false_alarms == 0, scored.healthy[scored.healthy["top"] != "healthy"]
    assert len(scored.healthy) >= 30 and scored.healthy["style"].nunique() >= 8
    assert scored.brier < 0.25


def test_faults_in_strangers_loops(recorded):
    theirs = bench.score([line for line in recorded if line.style != "ours"], shipped_likelihoods())
    assert theirs.top1 >= 0.95, theirs
    assert theirs.top3 >= 0.99, theirs.faulty[theirs.faulty["rank"] > 3]


def test_the_readme_says_what_was_measured(recorded):
    text = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    ours, theirs = (
        bench.score([line for line in recorded if (line.style == "ours") is own], shipped_likelihoods())
        for own in (True, False)
    )
    programs = theirs.faulty.groupby(["style", "fault"]).ngroups
    assert (
        f"in our own loop, {len(ours.faulty)} runs with a fault: the true cause first in {_percent(ours.top1)}, "
        f"{len(ours.healthy)} healthy runs without an alarm, Brier score {ours.brier:.3f}; in {len(theirs.faulty)} runs of "
        f"{programs} strangers' programs: first in {_percent(theirs.top1)}, among the first three in {_percent(theirs.top3)}, "
        f"no alarm in {len(theirs.healthy)} healthy runs of {theirs.healthy['style'].nunique()} styles, Brier score {theirs.brier:.2f}."
    ) in text


def _percent(share):
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def test_the_recorded_sick_run_has_its_true_cause():
    import kit

    got = diagnose(kit.load_sick_run())
    assert (got.verdict, got.top.key) == ("fault", "nan_gradients")
    assert kit.load_sick_run().settings["faults"][0] == got.top.key
