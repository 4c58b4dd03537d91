"""A script that knows nothing of the kit: what its own counters say, what a watch says, and the finding."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import kit
from kit.studies import your_own_run
from kit.studies.questions.your_own_run import counts_table

SCRIPT = Path(__file__).resolve().parents[2] / "notebooks" / "train_autoencoder.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_autoencoder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched(script, *arguments):
    with kit.watch() as run:
        shown = script.main(["--epochs", "3", *arguments])
    run.log(**shown)
    return run.trace


@pytest.fixture(scope="module")
def runs(script):
    return {"as_written": watched(script), "mended": watched(script, "--keep-last", "--batch-size", "32")}


@pytest.fixture(scope="module")
def results(runs):
    return your_own_run.of(traces=runs, diagnosis=kit.diagnose(runs["as_written"]))


@pytest.fixture(scope="module")
def panel(script):
    model, loss, _ = script.make_training()
    return kit.Panel(kit.probe(model, loss, next(iter(script.make_loaders(keep_last=True)[0]))))


def test_the_script_knows_nothing_of_the_kit():
    assert "kit" not in SCRIPT.read_text(encoding="utf-8").split()


def test_a_watch_does_not_change_what_the_script_displays(script, runs):
    for trace, arguments in zip(runs.values(), ([], ["--keep-last", "--batch-size", "32"]), strict=True):
        alone = script.main(["--epochs", "3", *arguments])
        assert trace.epochs["train_loss"].tolist() == alone["train_loss"]
        assert trace.epochs["val_loss"].tolist() == alone["val_loss"]


def test_the_counts_are_the_batches_of_the_loader(script, runs):
    """Second way: the length of the loader, and 200 samples by hand."""
    assert len(script.make_loaders()[0]) == script.SAMPLES // script.BATCH_SIZE == 0
    assert len(script.make_loaders(True, 32)[0]) == -(-script.SAMPLES // 32) == 7
    for trace, batches in zip(runs.values(), (0, 7), strict=True):
        rows = counts_table(trace).frame[["forward", "loss", "backward", "step"]]
        assert (rows == batches).all(axis=None) and len(rows) == 3


def test_the_symptom_is_there_and_then_gone(results):
    rows = results.show("before_after").frame.set_index("run")
    assert rows["shows the symptom?"].tolist() == ["yes", "no"]
    assert rows.loc["mended", "step"] == 21
    assert "mended" in results.show("curves").alt and list(rows.index) == ["as written", "mended"]


def test_the_diagnosis_names_the_empty_loader(runs):
    assert kit.diagnose(runs["as_written"]).top.key == "no_batches"
    assert kit.diagnose(runs["mended"]).verdict == "healthy"


def test_the_guard_stops_the_script_as_written_and_lets_the_mended_pass(script, runs):
    guard = kit.diagnose(runs["as_written"]).guard()
    with pytest.raises(AssertionError, match="no batch"):
        exec(guard, {"train_loader": script.make_loaders()[0]})  # noqa: S102
    exec(guard, {"train_loader": script.make_loaders(keep_last=True)[0]})  # noqa: S102 - our own lines, as a user would paste them


def test_the_entry_says_so(results, panel, runs, tmp_path):
    finding = results.finding(panel, command="here")
    assert finding.verdict == "refuted" and "0 optimizer steps" in finding.answer and "21 steps" in finding.answer
    assert finding.panels == [panel] and finding.seed is None
    assert finding.write(tmp_path / "page.html").path.stat().st_size < 300_000
    still = {"as_written": runs["as_written"], "not_mended": runs["as_written"]}
    other = your_own_run.of(traces=still, diagnosis=kit.diagnose(runs["mended"])).finding(command="here")
    assert other.verdict == "open" and "names no cause" in other.answer and other.fix == ""


def test_a_saved_trace_says_the_same(runs, tmp_path):
    loaded = kit.Trace.load(runs["as_written"].save(tmp_path / "run.npz"))
    assert kit.diagnose(loaded).to_dict() == kit.diagnose(runs["as_written"]).to_dict()
