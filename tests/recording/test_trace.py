"""The trace as an object and as a file, what was displayed, and clear refusals."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from kit.recording import Trace, history, watch
from tests.recording._loops import BATCHES, TwoTerms, batches, job, mlp


@pytest.fixture(scope="module")
def trace() -> Trace:
    one = job(loss=TwoTerms())
    with watch(one.model, loss=one.loss, weights={"lam_fit": 1.0}) as run:
        one.plain()
    run.log(epoch=[1, 2], train_loss=[0.5, 0.25], val_loss=[1.0, None])
    return run.trace


def test_a_trace_is_frozen_and_its_tables_are_copies(trace):
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.steps = None
    table = trace.steps
    table["loss"] = 0.0
    del trace.epochs["steps"]
    trace.facts["model"] = "another"
    assert (trace.steps["loss"] > 0).all()
    assert "steps" in trace.epochs
    assert trace.facts["model"] == "Sequential"


def test_facts_are_plain_values(trace):
    assert json.loads(json.dumps(trace.facts, allow_nan=False)) == trace.facts


def test_a_trace_prints_itself(trace):
    text, page = str(trace), trace._repr_html_()
    assert "2 epochs, Sequential, TwoTerms" in text
    assert "train_loss 0.5 -> 0.25" in text
    assert "<table" in page


def test_names_are_escaped_on_the_page():
    nasty = type("<script>", (TwoTerms,), {})()
    one = job(loss=nasty)
    with watch(loss=nasty) as run:
        one.plain()
    assert "<script>" not in run.trace._repr_html_()
    assert "&lt;script&gt;" in run.trace._repr_html_()


def test_saved_and_loaded_it_is_the_same(trace, tmp_path):
    path = trace.save(tmp_path / "deep" / "run.npz")
    loaded = Trace.load(path)
    assert loaded == trace
    assert loaded.steps.dtypes.tolist() == trace.steps.dtypes.tolist()
    assert loaded.epochs.index.name == "epoch"


def test_equal_content_gives_equal_bytes(trace, tmp_path):
    first = trace.save(tmp_path / "a.npz").read_bytes()
    assert Trace.load(tmp_path / "a.npz").save(tmp_path / "b.npz").read_bytes() == first
    assert trace.save(tmp_path / "a.npz").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []


def test_an_empty_trace_can_be_saved(tmp_path):
    with watch() as run:
        pass
    assert Trace.load(run.trace.save(tmp_path / "empty.npz")) == run.trace


def _rewrite(path, change):
    """The same file with another head."""
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    head = json.loads(arrays["head"].tobytes())
    change(head)
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "complete"),
        (lambda path: path.write_bytes(path.read_bytes()[:60] + b"?" * 40 + path.read_bytes()[100:]), "complete|hold"),
        (lambda path: path.write_text("not at all"), "Found another kind of file"),
        (lambda path: path.write_bytes(b""), "Found another kind of file"),
        (lambda path: np.savez(path, other=np.zeros(3)), r"Found an .npz file with \['other'\]"),
        (lambda path: np.savez(path, head=np.array([object()], dtype=object)), "complete|hold|saved"),
        (lambda path: _rewrite(path, lambda head: head.update(version=99)), "version = 99; update the kit"),
        (lambda path: _rewrite(path, lambda head: head.update(version="old")), "version = 'old'; make it again"),
        (lambda path: _rewrite(path, lambda head: head.update(format="kit.Other")), "format = 'kit.Other'"),
        (lambda path: _rewrite(path, lambda head: head.pop("facts")), "hold the tables of a trace"),
        (lambda path: _rewrite(path, lambda head: head["columns"].update(steps=["epoch"])), "hold the tables"),
        (lambda path: _rewrite(path, lambda head: head.update(text={"missing_keys": 3})), "hold the tables"),
    ],
)
def test_files_that_are_no_trace_are_refused_with_words(trace, tmp_path, spoil, said):
    path = trace.save(tmp_path / "run.npz")
    spoil(path)
    with pytest.raises(ValueError, match=said):
        Trace.load(path)


def test_another_ending_is_refused(trace, tmp_path):
    with pytest.raises(ValueError, match=r"should end in \.npz"):
        trace.save(tmp_path / "run.json")


def test_no_pickle_is_in_the_file(trace, tmp_path):
    with zipfile.ZipFile(trace.save(tmp_path / "run.npz")) as archive:
        for name in archive.namelist():
            assert b"'O'" not in archive.read(name)[:128]


def test_ranks_are_merged():
    traces = []
    for rank in range(2):
        one = job()
        with watch(one.model) as run:
            one.plain()
        run.log(epoch=[1, 2], train_loss=[1.0 + rank, 0.5])
        traces.append(run.trace)
    second = Trace(traces[1].steps, traces[1].epochs, {**traces[1].facts, "rank": 1, "not_seen": ["a note"]})
    merged = Trace.merge([second, traces[0]])
    assert merged.steps["rank"].tolist() == [0, 1] * 6
    assert merged.epochs["steps"].tolist() == [2 * BATCHES] * 2
    assert merged.epochs["train_loss"].tolist() == [1.0, 0.5]
    assert np.allclose(merged.epochs["loss_mean"], traces[0].epochs["loss_mean"])
    assert [facts["rank"] for facts in merged.facts["ranks"]] == [0, 1]
    assert merged.facts["not_seen"] == ["a note"] and merged.facts["ranks_differ"] == []
    with pytest.raises(ValueError, match="different ranks"):
        Trace.merge([traces[0], traces[0]])
    with pytest.raises(ValueError, match="Found none"):
        Trace.merge([])


def test_what_differs_between_ranks_is_said():
    with watch(job().model) as empty:
        pass
    traces = []
    for rate in (0.1, 0.2):  # not averaged over the ranks, so each goes its own way
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        with watch(model) as run:
            for x, y in batches():
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
        traces.append(run.trace)
    first, second = traces
    second = Trace(second.steps, second.epochs, {**second.facts, "rank": 1})
    (said,) = Trace.merge([first, second]).facts["ranks_differ"]
    last = [trace.steps.param_norm.iloc[-1] for trace in traces]
    assert said.startswith("parameters drift apart from turn 1 on: their norms are ")
    assert f"{min(last):.6g} to {max(last):.6g}" in said
    idle = Trace(empty.trace.steps, empty.trace.epochs, {**empty.trace.facts, "rank": 1})
    assert f"batches: {BATCHES} on rank 0, 0 on rank 1" in Trace.merge([first, idle]).facts["ranks_differ"]


def test_merged_traces_can_be_saved(trace, tmp_path):
    merged = Trace.merge([trace])
    assert Trace.load(merged.save(tmp_path / "merged.npz")) == merged


def test_long_runs_stay_bounded_and_counts_exact(monkeypatch):
    monkeypatch.setattr(history, "MOST_TURNS", 60)
    monkeypatch.setattr(history, "FIRST_TURNS", 20)
    monkeypatch.setattr(history, "MOST_EPOCHS", 30)
    one = job(epochs=40)
    with watch(one.model, every=10) as run:
        one.plain()
    steps, epochs = run.trace.steps, run.trace.epochs
    assert run.trace.facts["turns"] == 120
    assert run.trace.facts["turns_kept"] == len(steps) <= 61
    assert steps["turn"].tolist()[:20] == list(range(1, 21))
    gaps = np.diff(steps["turn"].to_numpy()[21:])
    assert len(set(gaps.tolist())) == 1
    assert len(epochs) <= 30
    assert (epochs["steps"] == BATCHES).all()
    rows = np.reshape(one.shown, (40, -1)).mean(1)
    assert np.allclose(epochs["loss_mean"], rows[epochs.index - 1])


def test_what_is_seen_so_far_can_be_asked_for_inside():
    one = job(epochs=1)
    seen = []
    with watch(one.model) as run:
        for x, y in batches():
            one.loss(one.model(x), y).backward()
            seen.append(run.trace)
            one.optimizer.step()
    assert [len(trace.steps) for trace in seen] == [1, 2, 3]
    assert [trace.epochs["steps"].item() for trace in seen] == [0, 1, 2]
    assert run.trace.epochs["steps"].item() == 3
    assert seen[0].facts["ended"] == "not yet"


def test_numbers_logged_inside_end_the_epoch():
    one = job()
    with watch(one.model) as run:
        for epoch in range(2):
            for x, y in batches():
                one.loss(one.model(x), y).backward()
            run.log(epoch=epoch, train_loss=torch.tensor(0.5 + epoch))
            run.log(epoch=epoch, val_loss=np.float32(2.0))
    epochs = run.trace.epochs
    assert epochs["batches"].tolist() == [BATCHES, BATCHES]
    assert epochs["train_loss"].tolist() == [0.5, 1.5]
    assert epochs["val_loss"].tolist() == [2, 2]


def test_numbers_logged_inside_and_an_evaluation_make_one_boundary():
    one = job()
    with watch(one.model) as run:
        for epoch in range(2):
            one.model.train()
            for x, y in batches():
                one.loss(one.model(x), y).backward()
            run.log(epoch=epoch, train_loss=1.0)
            run.log(epoch=epoch, val_loss=one.evaluate())
    assert run.trace.epochs[["batches", "eval_forwards"]].to_numpy().tolist() == [[BATCHES, 1]] * 2


def test_epochs_without_training_are_told_apart_by_what_is_logged():
    one = job()
    with watch(one.model) as run:
        for epoch in range(3):
            run.log(epoch=epoch, train_loss=0.0, val_loss=one.evaluate())
    assert run.trace.epochs[["batches", "eval_forwards"]].to_numpy().tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("labels", [[1, 2], [0, 1], [10, 11], None])
def test_lists_logged_afterwards(labels):
    one = job()
    with watch(one.model) as run:
        one.plain()
    run.log(**({} if labels is None else {"epoch": labels}), train_loss=pd.Series([1.0, 0.5]), val_loss=np.ones(2))
    assert run.trace.epochs["train_loss"].tolist() == [1.0, 0.5]
    run.log(epoch=(labels or [1, 2])[1], val_loss=3.0)
    assert run.trace.epochs["val_loss"].tolist() == [1.0, 3.0]


def test_evaluations_in_every_other_epoch_are_set_right_by_what_was_displayed():
    one = job()
    with watch(one.model) as run:
        for epoch in range(4):
            one.model.train()
            for x, y in batches():
                value = one.loss(one.model(x), y)
                value.backward()
                one.optimizer.step()
                one.shown.append(value.item())
            if epoch % 2 == 0:
                one.evaluate()
    assert len(run.trace.epochs) == 3
    run.log(epoch=[1, 2, 3, 4], train_loss=[1, 2, 3, 4])
    epochs = run.trace.epochs
    assert epochs[["batches", "eval_forwards"]].to_numpy().tolist() == [[3, 1], [3, 0], [3, 1], [3, 0]]
    assert np.allclose(epochs["loss_mean"], np.reshape(one.shown, (4, -1)).mean(1))
    assert run.trace.steps["epoch"].tolist() == np.repeat([1, 2, 3, 4], 3).tolist()


def test_displayed_epochs_that_cannot_be_recognised_are_said_to_be():
    one = job()
    with watch(one.model) as run:
        one.plain()
    run.log(train_loss=[1, 2, 3, 4])
    assert run.trace.epochs["train_loss"].tolist() == [1, 2, 3, 4]
    assert any("4 epochs were displayed and 2 were recognised" in note for note in run.trace.facts["not_seen"])
    assert run.trace.facts["epochs_displayed"] == 4


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"train_loss": "0.5"}, TypeError, "train_loss should be a number"),
        ({"train_loss": True}, TypeError, "train_loss should be a number"),
        ({"val_loss": [1.0, "x"]}, TypeError, "val_loss should be a number"),
        (
            {"epoch": [1, 2], "train_loss": [1.0]},
            ValueError,
            "lists of one length. Found lengths epoch: 2, train_loss: 1",
        ),
        ({"epoch": 1, "train_loss": [1.0]}, ValueError, "epoch: a number"),
        ({"epoch": 1.5}, ValueError, "whole number"),
        ({"epoch": [1, None]}, ValueError, "whole number"),
        ({"epoch": -3}, ValueError, "before the first"),
        ({}, ValueError, "Found none of them"),
    ],
)
def test_logs_that_make_no_sense_are_refused(values, error, said):
    with watch() as run:
        run.log(epoch=0)
    with pytest.raises(error, match=said):
        run.log(**values)


def test_a_watch_is_entered_once_and_before_it_is_asked():
    run = watch()
    with pytest.raises(RuntimeError, match=r"run\.trace .* not entered"):
        run.trace  # noqa: B018
    with pytest.raises(RuntimeError, match=r"run\.log .* not entered"):
        run.log(train_loss=1.0)
    with run, pytest.raises(RuntimeError, match="entered once"):
        run.__enter__()
    with pytest.raises(RuntimeError, match="entered once"):
        run.__enter__()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"every": 0}, ValueError, "every should be a whole number >= 1. Found every = 0"),
        ({"every": True}, ValueError, "every"),
        ({"every": 1.5}, ValueError, "every"),
        ({"model": "net"}, TypeError, "model should be a torch.nn.Module, or None. Found a str"),
        ({"weights": [1.0]}, TypeError, "weights should be a mapping"),
        ({"weights": {"lam_fit": float("nan")}}, ValueError, r"weights\['lam_fit'\] should be a number. Found nan"),
        ({"weights": {"lam_fit": "much"}}, TypeError, r"weights\['lam_fit'\] should be a number"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        watch(**options)


def test_a_run_of_the_full_length_is_thinned():
    count = 2 * history.MOST_TURNS + 200
    model, x = torch.nn.Linear(1, 1), torch.ones(1, 1)
    with watch(model, every=10_000) as run:
        for _ in range(count):
            model(x).sum().backward()
    assert run.trace.facts["turns"] == run.trace.epochs["backwards"].item() == count
    assert history.MOST_TURNS / 2 < len(run.trace.steps) <= history.MOST_TURNS
