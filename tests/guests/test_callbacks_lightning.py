"""One line in the Trainer of Lightning: what it displays, what it writes, how it ends."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kit
from tests.guests._callbacks import assert_nothing_left, read_events, said_once
from tests.recording._left import same

SAMPLES, BATCH = 48, 8

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated")


def _data(batch: int = BATCH) -> DataLoader:
    x = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=batch)


@pytest.fixture(scope="session")
def programs(lightning):
    class Module(lightning.LightningModule):
        def __init__(self, lr: float = 0.05, names=("train_loss", "val_loss"), how=None, fails: str = "") -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
            self.lr, self.names, self.fails = lr, names, fails
            self.how = {"on_step": False, "on_epoch": True} if how is None else how

        def sum_of(self, batch):
            out = self.net(batch[0])
            fit = F.cross_entropy(out, batch[1])
            size = out.square().mean()
            return fit + 0.1 * size

        def training_step(self, batch, number):
            if number == 3 and self.fails == "raises":
                raise ValueError("a bad batch")
            if number == 3 and self.fails == "interrupted":
                raise KeyboardInterrupt
            if number == 3 and self.fails == "stops":
                self.trainer.should_stop = True
            loss = self.sum_of(batch)
            self.log(self.names[0], loss, **self.how)
            return loss

        def validation_step(self, batch, number, dataloader_idx=0):
            self.log(self.names[1], self.sum_of(batch))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    class Manual(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, number):
            self.optimizers().zero_grad()
            loss = self.sum_of(batch)
            self.manual_backward(loss)
            self.optimizers().step()
            self.log("train_loss", loss.detach(), on_step=True, on_epoch=True)

    class MeanAtTheEnd(Module):
        """As a module of 1.x is carried over: the mean is logged in the epoch's last hook."""

        def on_train_epoch_start(self):
            self.losses = []

        def training_step(self, batch, number):
            loss = self.sum_of(batch)
            self.losses.append(loss.detach())
            return loss

        def on_train_epoch_end(self):
            self.log("train/loss", torch.stack(self.losses).mean())

    class Rewrapped(Module):
        def training_step(self, batch, number):
            return torch.tensor(super().training_step(batch, number).item(), requires_grad=True)

    return {name: kind for name, kind in locals().items() if name != "lightning"}


@pytest.fixture
def fit(lightning, tmp_path):
    def run(module, callback=None, val=None, **options):
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        options = {"accelerator": "cpu", "max_epochs": 3, "logger": False, "log_every_n_steps": 1} | quiet | options
        callbacks = [] if callback is None else [callback]
        trainer = lightning.Trainer(default_root_dir=tmp_path, callbacks=callbacks, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for more workers, and for shuffled loaders
            trainer.fit(module, _data(), _data(16) if val is None else val)
        return trainer

    return run


@pytest.mark.parametrize(
    ("name", "made", "options"),
    [
        ("Module", {}, {}),
        ("Module", {"how": {"on_step": True, "on_epoch": True}}, {}),
        ("Module", {"how": {"on_step": True, "on_epoch": False}}, {}),
        ("Module", {"names": ("train/loss", "valid/loss")}, {"accumulate_grad_batches": 3}),
        ("Module", {}, {"val_check_interval": 2}),
        ("Module", {}, {"limit_val_batches": 0}),
        ("Module", {}, {"check_val_every_n_epoch": 2, "max_epochs": 6}),
        ("Manual", {}, {}),
        ("MeanAtTheEnd", {}, {}),
    ],
    ids=["usual", "step and epoch", "step", "accumulates", "within", "no val", "every other", "manual", "mean"],
)
def test_a_healthy_training_is_healthy(programs, fit, capsys, name, made, options):
    callback = kit.integrations.LightningCallback()
    fit(programs[name](**made), callback, **options)
    found = callback.diagnosis
    assert said_once(capsys, found)
    print(found.explain(), callback.trace.epochs.T, sep="\n")
    assert found.verdict == "healthy" and found.lacks == ()
    assert_nothing_left()


def test_displayed_is_what_the_module_logged(programs, fit, tmp_path, lightning):
    logger = lightning.pytorch.loggers.CSVLogger(tmp_path, name="csv")
    callback = kit.integrations.LightningCallback(print=False)
    how = {"on_step": True, "on_epoch": True}
    fit(programs["Module"](how=how), callback, logger=logger)
    table, epochs = pd.read_csv(f"{logger.log_dir}/metrics.csv"), callback.trace.epochs
    assert list(epochs["train_loss"]) == pytest.approx(list(table["train_loss_epoch"].dropna()))
    assert list(epochs["val_loss"]) == pytest.approx(list(table["val_loss"].dropna()))
    assert list(epochs["batches"]) == [6, 6, 6]  # the sanity check is no epoch


def test_of_two_validation_loaders_the_mean_over_their_batches(programs, fit):
    callback = kit.integrations.LightningCallback(print=False)
    trainer = fit(programs["Module"](), callback, val=[_data(16), _data(8)])
    ends = [float(trainer.callback_metrics[f"val_loss/dataloader_idx_{n}"]) for n in range(2)]
    last = callback.trace.epochs["val_loss"].iloc[-1]
    assert last == pytest.approx((3 * ends[0] + 6 * ends[1]) / 9)
    assert callback.diagnosis.verdict == "healthy"


def test_names_of_the_users_choice(programs, fit):
    module = programs["Module"](names=("fit/rec", "held/rec"))
    callback = kit.integrations.LightningCallback(print=False, train_loss="fit/rec", val_loss="held/rec")
    fit(module, callback)
    epochs = callback.trace.epochs
    assert epochs[["train_loss", "val_loss"]].notna().all(axis=None)
    assert list(epochs["train_loss"]) == pytest.approx(list(epochs["loss_mean"]))


@pytest.mark.parametrize(
    ("name", "made", "expected"), [("Module", {"lr": 0.0}, "zero_learning_rate"), ("Rewrapped", {}, "graph_cut")]
)
def test_a_fault_is_found(programs, fit, name, made, expected):
    callback = kit.integrations.LightningCallback(print=False)
    fit(programs[name](**made), callback)
    print(callback.diagnosis.explain())
    assert callback.diagnosis.top.key == expected


def test_the_training_is_bitwise_the_same(programs, fit):
    def left(callback):
        module = programs["Module"]()
        trainer = fit(module, callback)
        weights = {name: value.clone() for name, value in module.state_dict().items()}
        metrics = {name: value.clone() for name, value in trainer.callback_metrics.items()}
        return weights, trainer.optimizers[0].state_dict()["state"], metrics, torch.get_rng_state()

    assert same(left(kit.integrations.LightningCallback(print=False, probe_every=4)), left(None))


def test_the_terms_are_in_the_file_of_the_csv_logger(programs, fit, tmp_path, lightning):
    logger = lightning.pytorch.loggers.CSVLogger(tmp_path, name="csv")
    callback = kit.integrations.LightningCallback(print=False)
    trainer = fit(programs["Module"](), callback, logger=logger)
    table = pd.read_csv(f"{logger.log_dir}/metrics.csv")
    terms = callback.trace.terms
    for name in ("fit", "size"):
        assert list(table[f"term/{name}"].dropna()) == pytest.approx(list(terms["value"][terms["name"] == name]))
    assert set(table["weight/size"].dropna()) == {0.1}
    # as it counts its own steps
    assert list(table["step"][table["term/fit"].notna()]) == [step - 1 for step in dict.fromkeys(terms["step"])]
    assert not [name for name in trainer.callback_metrics if name.startswith(("term/", "weight/"))]


def test_the_terms_are_in_the_files_of_tensorboard(tensorboard, programs, fit, tmp_path, lightning):
    logger = lightning.pytorch.loggers.TensorBoardLogger(tmp_path, name="events")
    callback = kit.integrations.LightningCallback(print=False, probe_every=4)
    fit(programs["Module"](), callback, logger=logger)
    curves = read_events(tmp_path / "events")
    for step, report in callback.trace.probes.items():
        for name, value, norm in zip(report.names, report.L, report.norms, strict=True):
            assert curves[f"term/{name}"][step - 1] == pytest.approx(value)
            assert curves[f"grad_norm/{name}"][step - 1] == pytest.approx(norm)
    assert len(callback.trace.probes) == 5 and "train_loss" in curves


@pytest.mark.parametrize(
    ("fails", "raised", "ended"),
    [
        ("raises", ValueError, "ValueError"),
        ("interrupted", SystemExit, "KeyboardInterrupt"),  # it leaves by sys.exit
        ("stops", None, "return"),
    ],
)
def test_however_a_training_ends(programs, fit, capsys, monkeypatch, fails, raised, ended):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # it would ignore the user's Ctrl+C from here on
    callback = kit.integrations.LightningCallback()
    if raised is None:
        fit(programs["Module"](fails=fails), callback)
    else:
        with pytest.raises(raised):
            fit(programs["Module"](fails=fails), callback)
    assert_nothing_left()
    assert callback.trace.facts["ended"] == ended
    assert said_once(capsys, callback.diagnosis)


def test_a_logger_that_fails_does_not_stop_the_training(programs, fit, tmp_path, lightning, caplog):
    class Broken(lightning.pytorch.loggers.CSVLogger):
        def log_metrics(self, metrics, step=None):
            if any(name.startswith("term/") for name in metrics):
                raise OSError("disk full")
            super().log_metrics(metrics, step)

    callback = kit.integrations.LightningCallback(print=False)
    fit(programs["Module"](), callback, logger=Broken(tmp_path))
    assert callback.diagnosis.verdict == "healthy"
    said = [r.getMessage() for r in caplog.records if r.name == "kit"]
    assert said == [
        "kit.integrations.LightningCallback could not do its part, and the training goes on: OSError: disk full"
    ]
