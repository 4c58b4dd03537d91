"""One line in the Trainer of Hugging Face: what it displays, what it writes, how it ends."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kit
from tests.guests._callbacks import assert_nothing_left, read_events, said_once
from tests.recording._left import same

SAMPLES = 48


class Net(nn.Module):
    """Two terms in its own forward, as models of Hugging Face have their loss."""

    def __init__(self, weight: float = 0.1, frozen: bool = False, detached: bool = False, fails_at: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
        self.weight, self.detached, self.fails_at, self.calls = weight, detached, fails_at, 0
        self.requires_grad_(not frozen)

    def forward(self, x, labels):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("the loader is gone")
        out = self.body(x)
        fit = F.cross_entropy(out, labels)
        size = out.square().mean()
        loss = fit + self.weight * size
        loss = torch.tensor(loss.item(), requires_grad=True) if self.detached else loss
        return {"loss": loss, "logits": out}


def _rows() -> list[dict]:
    x = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
    return [{"x": row, "labels": int(row[0] > 0)} for row in x]


@pytest.fixture
def trainer_of(transformers, tmp_path):
    def make(model=None, callback=None, rows=None, held=None, **options):
        usual = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 5e-3}
        usual |= {"eval_strategy": "epoch", "logging_strategy": "epoch", "save_strategy": "no", "report_to": "none"}
        args = transformers.TrainingArguments(
            str(tmp_path), use_cpu=True, disable_tqdm=True, seed=1, **(usual | options)
        )
        rows = _rows() if rows is None else rows
        return transformers.Trainer(
            model=Net() if model is None else model,
            args=args,
            train_dataset=rows,
            eval_dataset=rows[:16] if held is None else held,
            callbacks=[] if callback is None else [callback],
        )

    return make


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"logging_strategy": "steps", "logging_steps": 1},
        {"logging_strategy": "steps", "logging_steps": 7},
        {"logging_strategy": "steps", "logging_steps": 13},
        {"logging_strategy": "steps", "logging_steps": 1000},
        {"logging_strategy": "no"},
        {"eval_strategy": "no", "logging_strategy": "steps", "logging_steps": 7},
        {"max_steps": 11, "eval_on_start": True},
        {"gradient_accumulation_steps": 2, "logging_strategy": "steps", "logging_steps": 1},
        {"eval_strategy": "steps", "eval_steps": 4, "logging_strategy": "steps", "logging_steps": 3},
        {"eval_strategy": "steps", "eval_steps": 2, "logging_strategy": "epoch", "num_train_epochs": 6},
    ],
    ids=lambda options: ",".join(f"{name.split('_')[0]}={value}" for name, value in options.items()) or "usual",
)
def test_a_healthy_training_is_healthy_whatever_the_intervals(trainer_of, capsys, options):
    callback = kit.integrations.HuggingFaceCallback()
    trainer = trainer_of(callback=callback, **options)
    trainer.train()
    found = callback.diagnosis
    assert said_once(capsys, found)
    print(found.explain(), callback.trace.epochs.T, sep="\n")
    assert found.verdict == "healthy" and found.lacks == ()
    assert_nothing_left()


def test_displayed_is_what_the_trainer_logged(trainer_of):
    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer = trainer_of(callback=callback)
    trainer.train()
    history, epochs = trainer.state.log_history, callback.trace.epochs
    assert list(epochs["train_loss"]) == [row["loss"] for row in history if "loss" in row]
    assert list(epochs["val_loss"]) == [row["eval_loss"] for row in history if "eval_loss" in row]


def test_of_each_step_logged_the_epoch_has_the_mean(trainer_of):
    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer_of(callback=callback, logging_strategy="steps", logging_steps=1).train()
    epochs = callback.trace.epochs
    assert list(epochs["train_loss"]) == pytest.approx(list(epochs["loss_mean"]), rel=1e-4)  # it rounds what it logs


def test_a_mean_over_several_epochs_is_the_number_of_none(trainer_of):
    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer_of(callback=callback, logging_strategy="steps", logging_steps=13).train()
    assert callback.trace.epochs["train_loss"].isna().all()
    assert callback.trace.facts["displayed"] == ["train_loss", "val_loss"]


def test_of_two_sets_that_are_evaluated_the_mean(trainer_of):
    callback = kit.integrations.HuggingFaceCallback(print=False)
    rows = _rows()
    trainer = trainer_of(callback=callback, held={"easy": rows[:16], "hard": rows[16:32]})
    trainer.train()
    logged = [
        [row[f"eval_{name}_loss"] for row in trainer.state.log_history if f"eval_{name}_loss" in row]
        for name in ("easy", "hard")
    ]
    assert list(callback.trace.epochs["val_loss"]) == pytest.approx(
        [sum(pair) / 2 for pair in zip(*logged, strict=True)]
    )
    assert callback.diagnosis.verdict == "healthy"


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ({}, {"learning_rate": 0.0}, "zero_learning_rate"),
        ({"detached": True}, {}, "graph_cut"),
        ({"weight": 0.0}, {}, "healthy"),
    ],
    ids=["rate 0", "detached", "weight 0"],
)
def test_a_fault_by_configuration(trainer_of, model, options, expected):
    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer_of(Net(**model), callback, **options).train()
    found = callback.diagnosis
    print(found.explain())
    assert (found.verdict if found.top is None else found.top.key) == expected
    if model.get("weight") == 0.0:
        assert "weight is 0" in str(callback.trace)


@pytest.mark.parametrize("logged", [1, 4, 13])
def test_a_loss_of_nan_that_is_logged_as_zero_reads_zero(trainer_of, logged):
    rows = [row | {"x": row["x"] * float("inf")} for row in _rows()]
    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer_of(callback=callback, rows=rows, logging_strategy="steps", logging_steps=logged).train()
    found = callback.diagnosis
    print(found.explain())
    assert found.top.key == "nan_gradients" and found.result("train_reads_zero").yes


def _left(trainer) -> dict:
    return {
        "weights": {name: value.clone() for name, value in trainer.model.state_dict().items()},
        "optimizer": trainer.optimizer.state_dict()["state"],
        "random": torch.get_rng_state(),
    }


def test_the_training_is_bitwise_the_same(trainer_of):
    plain = trainer_of()
    plain.train()
    expected = _left(plain)
    watched = trainer_of(callback=kit.integrations.HuggingFaceCallback(print=False, probe_every=5))
    watched.train()
    assert same(_left(watched), expected)
    terms = lambda row: any(name.startswith("term/") for name in row)
    runtime = lambda row: {
        name: value for name, value in row.items() if "runtime" not in name and "per_sec" not in name
    }
    logged = [runtime(row) for row in watched.state.log_history if not terms(row)]
    assert logged == [runtime(row) for row in plain.state.log_history]


def test_the_terms_are_in_the_files_of_tensorboard_and_in_the_history(tensorboard, trainer_of, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    callback = kit.integrations.HuggingFaceCallback(print=False, probe_every=5)
    trainer = trainer_of(callback=callback, report_to="tensorboard")
    trainer.train()
    terms = callback.trace.terms
    fit = terms[terms["name"] == "fit"]
    curves = read_events(tmp_path / "events")
    read, probes = dict(zip(fit["step"], fit["value"], strict=True)), callback.trace.probes
    read |= {step: report.L[report.names.index("fit")] for step, report in probes.items()}
    assert curves["train/term/fit"] == pytest.approx(read)
    assert [*curves["train/weight/size"].values()] == pytest.approx([0.1] * len(read))
    norms = {step: report.norms[report.names.index("fit")] for step, report in probes.items()}
    assert {step: curves["train/grad_norm/fit"][step] for step in norms} == pytest.approx(norms)
    rows = [row for row in trainer.state.log_history if "term/fit" in row]
    assert {row["step"]: row["term/fit"] for row in rows} == pytest.approx(read)
    assert curves["train/loss"] and curves["eval/loss"]


def test_an_exception_ends_the_watch_when_it_is_gone(trainer_of, capsys):
    callback = kit.integrations.HuggingFaceCallback()
    with pytest.raises(RuntimeError, match="the loader is gone"):
        trainer_of(Net(fails_at=9), callback).train()
    assert_nothing_left()
    assert callback.trace.facts["ended"] == "Unfinished" and callback.trace.facts["turns"] == 7
    assert said_once(capsys, callback.diagnosis)


def test_a_second_training_is_another_trace(trainer_of):
    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer = trainer_of(callback=callback, num_train_epochs=1)
    trainer.train()
    first = callback.trace
    trainer.train()
    assert callback.trace is not first and callback.trace.facts["turns"] == first.facts["turns"] == 6


def test_a_tracker_that_fails_does_not_stop_the_training(tensorboard, trainer_of, transformers, caplog):
    class Broken(transformers.integrations.TensorBoardCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if any(name.startswith("term/") for name in logs):
                raise OSError("disk full")

    callback = kit.integrations.HuggingFaceCallback(print=False)
    trainer = trainer_of(callback=callback)
    trainer.add_callback(Broken())
    trainer.train()
    assert callback.diagnosis.verdict == "healthy"
    assert [r.getMessage() for r in caplog.records if r.name == "kit"] == [
        "kit.integrations.HuggingFaceCallback could not do its part, and the training goes on: OSError: disk full"
    ]
