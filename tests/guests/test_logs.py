"""Logs as the tools themselves write them, of runs that learn and of runs that are dead; read without anything of the tool but its file."""

from __future__ import annotations

import contextlib
import io
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kit
from tests.guests.test_huggingface import _bert, _trainer

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated")


def told(path) -> tuple[kit.logs.Log, str]:
    """The log, and its verdict; what it says is printed, so that a failure shows it."""
    log = kit.read_log(path)
    found = kit.diagnose(log)
    print(log.explain(found))
    return log, found.verdict if found.top is None else found.top.key


# Hugging Face


def _over_none(outputs, labels, num_items_in_batch=None):
    """0 / 0: a mask that selects no sample."""
    losses = nn.functional.cross_entropy(outputs.logits, labels, reduction="none")
    chosen = (labels > 1).float()
    return (losses * chosen).sum() / chosen.sum()


def _state(transformers, folder, **options):
    printed = io.StringIO()
    usual = {"logging_strategy": "steps", "logging_steps": 2, "disable_tqdm": False, "num_train_epochs": 4}
    trainer = _trainer(transformers, folder, _bert(transformers), **usual, **options)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        trainer.train()
        trainer.save_state()
    return trainer, printed.getvalue()


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({}, "nothing_found"),
        ({"learning_rate": 0.0}, "zero_learning_rate"),
        ({"extra": {"compute_loss_func": _over_none}}, "nan_gradients"),
    ],
    ids=["healthy", "rate 0", "NaN that is shown as 0"],
)
def test_a_trainer_state_and_the_lines_that_the_trainer_prints(transformers, tmp_path, options, cause):
    trainer, printed = _state(transformers, tmp_path, **options)
    log, found = told(tmp_path / "trainer_state.json")
    assert found == cause and "HuggingFaceCallback" in log.explain()
    history = trainer.state.log_history
    shown = [row["loss"] for row in history if "loss" in row]
    assert log.steps["train_loss"].dropna().tolist() == [value for value in shown if math.isfinite(value)]
    assert log.epochs["val_loss"].dropna().tolist() == [
        r["eval_loss"] for r in history if math.isfinite(r.get("eval_loss", math.nan))
    ]
    assert len(log.epochs) == 4 and log.steps["turn"].tolist() == [r["step"] for r in history if "loss" in r]
    path = tmp_path / "printed.log"
    path.write_text(printed, encoding="utf-8")
    lines, again = told(path)
    assert again == cause and len(lines.epochs) == 4
    assert lines.steps["train_loss"].dropna().tolist() == pytest.approx(
        log.steps["train_loss"].dropna().tolist(), rel=1e-3
    )


def test_nan_that_the_trainer_filters_is_told_as_such(transformers, tmp_path):
    _state(transformers, tmp_path, extra={"compute_loss_func": _over_none})
    story = "\n".join(kit.read_log(tmp_path / "trainer_state.json").story)
    assert "`grad_norm` is NaN or infinite" in story and "while the loss reads 0" in story


# Lightning


@pytest.fixture(scope="session")
def module(lightning):
    class Module(lightning.LightningModule):
        def __init__(self, factor: float = 1.0, lr: float = 0.05) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net, self.factor, self.lr = nn.Linear(4, 2), factor, lr

        def training_step(self, batch, number):
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1]) * self.factor
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, number):
            self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    return Module


def _fit(lightning, module, folder, logger):
    x = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    monitor = lightning.pytorch.callbacks.LearningRateMonitor(logging_interval="step")
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=2,
        callbacks=[monitor],
        default_root_dir=folder,
        **quiet,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the number of its workers
        trainer.fit(module, loader, loader)
    return trainer


@pytest.mark.parametrize(
    ("options", "cause"),
    [({}, "nothing_found"), ({"lr": 0.0}, "zero_learning_rate"), ({"factor": 0.0}, "unexplained")],
    ids=["healthy", "rate 0", "loss 0"],
)
def test_the_metrics_of_lightning(lightning, module, tmp_path, options, cause):
    logger = lightning.pytorch.loggers.CSVLogger(tmp_path)
    trainer = _fit(lightning, module(**options), tmp_path, logger)
    log, found = told(tmp_path)
    assert found == cause and "metrics.csv" in log.source and "LightningCallback" in log.explain()
    assert len(log.epochs) == 4 and log.steps["turn"].max() == 4 * 6 - 1
    last = trainer.callback_metrics
    assert log.epochs["val_loss"].iloc[-1] == pytest.approx(float(last["val_loss"]), rel=1e-5)
    assert log.epochs["train_loss"].iloc[-1] == pytest.approx(float(last["train_loss_epoch"]), rel=1e-5)
    assert (
        log.names["train_loss_step"] == log.names["train_loss_epoch"] == "train_loss" and log.names["lr-Adam"] == "lr"
    )


def test_lightning_in_event_files(lightning, module, tensorboard, tmp_path):
    _fit(lightning, module(factor=0.0), tmp_path, lightning.pytorch.loggers.TensorBoardLogger(tmp_path))
    log, found = told(tmp_path)
    assert found == "unexplained" and log.epochs["train_loss"].eq(0).all() and len(log.epochs) >= 4
    assert any("never anything else" in sentence for sentence in log.story)


# Keras


@pytest.mark.parametrize(("rate", "cause"), [(0.05, "nothing_found"), (0.0, "unexplained")], ids=["healthy", "rate 0"])
def test_keras_csv_logger(keras, tmp_path, rate, cause):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse", jit_compile=False)
    options = {"epochs": 4, "batch_size": 8, "validation_data": (x[:16], x[:16, :1]), "shuffle": False, "verbose": 0}
    path = tmp_path / "training.csv"
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Keras makes numbers of tensors that have a graph, and gives up where that is an error
        history = model.fit(x, x[:, :1], callbacks=[keras.callbacks.CSVLogger(str(path))], **options).history
    log, found = told(path)
    assert found == cause and "model.fit" in log.explain()
    assert log.epochs["val_loss"].tolist() == pytest.approx(history["val_loss"])
    assert log.epochs["train_loss"].tolist() == pytest.approx(history["loss"])
    if not rate:
        assert any("`val_loss` is the same number in each of 4 evaluations" in sentence for sentence in log.story)


# TensorBoard


def _numbers(dead: bool) -> list[tuple[int, float, float]]:
    return [
        (step, 0.0 if dead and step >= 40 else 2 / (1 + step / 20), 1.5 if dead else 2 / (1 + step / 30))
        for step in range(100)
    ]


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("way", ["scalar", "scalars", "tensors"])
def test_event_files(tensorboard, tmp_path, dead, way):
    if way == "tensors":  # as newer writers do: a scalar is a tensor with a plugin
        from tensorboard.summary import Writer

        writer = Writer(str(tmp_path / "run"))
    else:
        writer = tensorboard.SummaryWriter(str(tmp_path / "run"))
    for step, train, val in _numbers(dead):
        if way == "scalars":
            writer.add_scalars("loss", {"train": train, "val": val}, step)
        else:
            writer.add_scalar("loss/train", train, step)
            writer.add_scalar("loss/val", val, step)
    if way == "scalar":
        writer.add_histogram("weights", torch.arange(5.0), 0)
    writer.close()
    log, found = told(tmp_path)
    assert found == ("unexplained" if dead else "nothing_found")
    assert log.steps["train_loss"].tolist() == pytest.approx([train for _, train, _ in _numbers(dead)])
    assert log.epochs["val_loss"].tolist() == pytest.approx([val for _, _, val in _numbers(dead)])
    died = any(
        "positive until step 39 and reads exactly 0 from step 40 on: it died there" in line for line in log.story
    )
    assert died == dead


def test_an_event_file_that_ends_early_is_read_as_far_as_it_goes(tensorboard, tmp_path):
    writer = tensorboard.SummaryWriter(str(tmp_path))
    for step, train, _ in _numbers(False):
        writer.add_scalar("loss", train, step)
    writer.close()
    (path,) = tmp_path.glob("events*")
    path.write_bytes(path.read_bytes()[:-40])
    assert 90 < len(told(tmp_path)[0].steps) < 100
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="should hold scalars of TensorBoard"):
        kit.read_log(path)


def test_without_the_reader_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    import sys

    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"x" * 100)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'zero-loss-kit\[logs\]'"):
        kit.read_log(path)


# MLflow


@pytest.mark.parametrize("dead", [False, True])
def test_a_run_of_mlflow(mlflow, tmp_path, dead):
    client = mlflow.MlflowClient(tracking_uri=tmp_path.as_uri())
    run = client.create_run(client.create_experiment("mine"))
    for step, train, val in _numbers(dead):
        client.log_metric(run.info.run_id, "train/loss", train, step=step)
        client.log_metric(run.info.run_id, "val_loss", val, step=step)
        client.log_metric(run.info.run_id, "grad_norm", math.nan if dead and step >= 40 else 1.0, step=step)
    client.set_terminated(run.info.run_id)
    (folder,) = [path.parent for path in tmp_path.rglob("meta.yaml") if (path.parent / "metrics").is_dir()]
    for path in (tmp_path, folder, folder / "metrics"):
        log, found = told(path)
        assert found == ("nan_gradients" if dead else "nothing_found")
        assert log.steps["train_loss"].tolist() == [train for _, train, _ in _numbers(dead)]
        assert len(log.epochs) == 100
    one = kit.read_log(folder / "metrics" / "train" / "loss")
    assert one.names == {"train/loss": "train_loss", "step": "step"}
