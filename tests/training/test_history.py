"""TrainingHistory: tables, lines, saving and refusing."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest

import kit
from kit.training import TrainingHistory
from tests.training._runs import small_system


@pytest.fixture(scope="module")
def history() -> TrainingHistory:
    return small_system().run()


def test_lines_are_what_a_trainer_prints(history):
    first = history.lines.splitlines()[0]
    assert first == f"epoch   1  train {history.train_loss[0]:.6f}  val {history.val_loss[0]:.6f}"


def test_a_saved_history_reads_back_the_same(history, tmp_path):
    path = history.save(tmp_path / "deep" / "run.json")
    loaded = TrainingHistory.load(path)
    assert list(loaded.epoch_records) == list(history.epoch_records)
    assert list(loaded.step_records) == list(history.step_records)
    assert dict(loaded.settings) == dict(history.settings)
    assert [entry.name for entry in path.parent.iterdir()] == ["run.json"], "no temporary file stays"


def test_nan_survives_saving_and_is_not_zero(tmp_path):
    record = {"epoch": 1, "train_loss": math.nan, "val_loss": math.inf, "steps_taken": 0}
    path = TrainingHistory((record,), ()).save(tmp_path / "run.json")
    loaded = TrainingHistory.load(path)
    assert math.isnan(loaded.train_loss[0])
    assert loaded.val_loss[0] == math.inf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": "kit.TrainingHistory", "ver', "not complete JSON"),
        ('{"format": "something else", "version": 1}', "Found format = 'something else'"),
        ("[1, 2]", "Found a list"),
        ('{"format": "kit.TrainingHistory", "version": 99}', "Found version = 99"),
        ('{"format": "kit.TrainingHistory", "version": 1, "epochs": []}', "Found no settings, steps"),
    ],
)
def test_foreign_and_damaged_files_are_refused(text, message, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        TrainingHistory.load(path)


def test_a_failed_write_leaves_the_old_file(history, tmp_path, monkeypatch):
    path = history.save(tmp_path / "run.json")
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", _fail)
    with pytest.raises(OSError, match="disk"):
        history.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_the_file_is_json_that_any_tool_reads(history, tmp_path):
    data = json.loads(history.save(tmp_path / "run.json").read_text(), parse_constant=_fail)
    assert data["epochs"][0]["epoch"] == 1


def test_the_settings_tell_the_run_apart(history):
    assert history.settings["config"]["epochs"] == 2
    assert history.settings["samples"] == 24
    assert "torch" in history.settings["versions"]
    assert isinstance(history, kit.training.TrainingHistory)


def _fail(*_):
    raise OSError("disk is full")


def test_an_empty_history_can_be_looked_at():
    assert repr(TrainingHistory((), ())) == "TrainingHistory(epochs=0)"


def test_a_history_can_be_pickled_and_copied(history):
    for again in (pickle.loads(pickle.dumps(history)), copy.deepcopy(history)):
        assert again == history and again.lines == history.lines
        with pytest.raises(TypeError):
            again.settings["seed"] = 1
