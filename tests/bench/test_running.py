"""Running trials: the same runs again, resumed after an interruption, in one process and in several."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from kit.diagnosis.scoring import shipped_runs
from tests.bench import running
from tests.bench.foreign_loops import foreign_loop_trials
from tests.bench.own_loop import own_loop_trials
from tests.bench.running import fingerprint

FAULTS = ("as it is", "all_weights_zero", "nan_gradients", "loss_outside_loop")


@pytest.fixture(scope="module")
def trials():
    ours = [t for t in own_loop_trials() if t.seed == 0 and t.setting == "4x3, batch 8" and t.fault in FAULTS]
    plain = [t for t in foreign_loop_trials() if t.style == "plain" and t.seed == 0]
    return [*ours, *islice(plain, 4)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The file of the runs, as the run of the bench leaves it."""
    return tmp_path_factory.mktemp("kept") / "bench.jsonl"


@pytest.fixture(scope="module")
def runs(trials, kept):
    return running.run_bench(trials, store=kept, processes=1)


@pytest.fixture
def store(runs, kept, tmp_path):
    """A bench that was interrupted after two runs."""
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(kept.read_text().splitlines(keepends=True)[:2]))
    return path


def test_the_recorded_runs_are_made_again(runs):
    """The shipped table is what this code measures. Slow to do for all; this is a sample, `python -m kit bench --write` does all."""
    recorded = {run.id: run for run in shipped_runs()}
    asked = {key for run in recorded.values() for key in run.answers}  # some checks are younger than the table
    for run in runs:
        assert replace(run, answers={k: v for k, v in run.answers.items() if k in asked}) == recorded[run.id], run.id


def test_two_processes_give_the_same_lines(trials, runs):
    assert running.run_bench(trials[:3], processes=2) == runs[:3]


def test_a_bench_is_resumed(trials, runs, store):
    seen = []
    store.write_text(store.read_text() + '{"torn')
    refused = [replace(trial, record=_not_again) for trial in trials[:2]]
    got = running.run_bench(
        [*refused, trials[2]], store=store, processes=1, progress=lambda done, of: seen.append((done, of))
    )
    assert got == runs[:3]
    assert seen == [(2, 3), (3, 3)]
    assert running.run_bench([*refused, replace(trials[2], record=_not_again)], store=store, processes=1) == runs[:3]


def test_lines_of_other_sources_are_run_again(trials, store):
    assert running.run_bench([replace(trials[0], record=_not_again)], store=store, processes=1)
    store.write_text(store.read_text().replace(fingerprint(), "0" * 64))
    with pytest.raises(AssertionError, match="run again"):
        running.run_bench([replace(trials[0], record=_not_again)], store=store, processes=1)


def test_ids_are_unique(trials):
    everything = list(running.all_trials())
    assert len({trial.id for trial in everything}) == len(everything)
    with pytest.raises(ValueError, match="more than once"):
        running.run_bench([trials[0], trials[0]], processes=1)


def _not_again():
    raise AssertionError("run again")
