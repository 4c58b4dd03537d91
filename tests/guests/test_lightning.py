"""The Trainer of Lightning, as its users call it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.guests._diagnosed import cause, diagnosed

SAMPLES, BATCH = 48, 8

# Lightning's own use of a torch function that torch 2.13 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated")


def _data(batch: int = BATCH, drop_last: bool = False) -> DataLoader:
    x = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=batch, drop_last=drop_last)


class WeightedSum(nn.Module):
    def __init__(self, lam_fit: float = 1.0, lam_size: float = 0.1) -> None:
        super().__init__()
        self.lam_fit, self.lam_size = lam_fit, lam_size

    def forward(self, prediction, target):
        return self.lam_fit * F.cross_entropy(prediction, target) + self.lam_size * prediction.square().mean()


@pytest.fixture(scope="session")
def programs(lightning):
    class Module(lightning.LightningModule):
        """The module of the first page of Lightning's documentation; every fault below is one method of it."""

        def __init__(self, loss=None, lr: float = 0.05) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
            self.loss, self.lr = loss or nn.CrossEntropyLoss(), lr

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, number):
            x, y = batch
            loss = self.loss(self(x), y)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, number):
            x, y = batch
            self.log("val_loss", self.loss(self(x), y))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    class Functional(Module):
        def training_step(self, batch, number):
            return F.cross_entropy(self.net(batch[0]), batch[1])

    class Silent(Module):
        def training_step(self, batch, number):
            super().training_step(batch, number)

    class TwoOptimizers(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, number):
            x, y = batch
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            loss = self.loss(self(x), y)
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()

        def configure_optimizers(self):
            return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.net[0], self.net[3])]

    class Forgotten(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, number):
            x, y = batch
            self.optimizers().zero_grad()
            self.manual_backward(self.loss(self(x), y))

    class Rewrapped(Module):
        def training_step(self, batch, number):
            loss = super().training_step(batch, number)
            return torch.tensor(loss.item(), requires_grad=True)

    class Cleared(Module):
        def on_before_optimizer_step(self, optimizer):
            optimizer.zero_grad()

    class Frozen(Module):
        def __init__(self) -> None:
            super().__init__()
            self.requires_grad_(False)

        def training_step(self, batch, number):
            return super().training_step(batch, number).requires_grad_()

    class OfAnother(Module):
        def configure_optimizers(self):
            return torch.optim.Adam(copy.deepcopy(self.net).parameters(), lr=self.lr)

    class Averaged(Module):
        def __init__(self) -> None:
            super().__init__()
            self.average = copy.deepcopy(self.net).requires_grad_(False)

        def validation_step(self, batch, number):
            self.log("val_loss", self.loss(self.average(batch[0]), batch[1]))

    class WithoutGrad(Module):
        def training_step(self, batch, number):
            x, y = batch
            with torch.no_grad():
                prediction = self(x)
            return self.loss(prediction.requires_grad_(), y)

    class NanStep(Module):
        def training_step(self, batch, number):
            x, y = batch
            return F.nll_loss(torch.log(self(x).relu() * 0.0) * 0.0, y)

    return {name: kind for name, kind in locals().items() if name != "lightning"}


@pytest.fixture
def cause_of(lightning, tmp_path):
    def find(module, train=None, loss=None, weights=None, model=None, **options):
        history = {"train_loss": [], "val_loss": []}

        class Notes(lightning.Callback):
            """What the progress bar shows at the end of an epoch, copied."""

            def on_train_epoch_end(self, trainer, module):
                for name, values in history.items():
                    if name in trainer.callback_metrics:
                        values.append(float(trainer.callback_metrics[name]))

        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        options = {"accelerator": "cpu", "max_epochs": 3, "logger": False, "num_sanity_val_steps": 2} | quiet | options
        trainer = lightning.Trainer(default_root_dir=tmp_path, callbacks=[Notes()], **options)
        fit = lambda: trainer.fit(module, _data() if train is None else train, _data(16))
        return cause(diagnosed(fit, model, shown=lambda: history, loss=loss, weights=weights))

    return find


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Module", "healthy"), ("Functional", "healthy"), ("TwoOptimizers", "healthy")],
)
def test_a_healthy_module_is_healthy_if_it_logs_its_losses(programs, cause_of, name, expected):
    """The last two log no train loss; every link of their loops was seen to work."""
    assert cause_of(programs[name]()) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_grad_batches": 3, "gradient_clip_val": 0.5},
        {"precision": "bf16-mixed"},
        {"val_check_interval": 2},
        {"limit_val_batches": 0},
    ],
    ids=["accumulated and clipped", "bf16", "validated within the epoch", "never validated"],
)
def test_a_healthy_module_is_healthy_under_other_options(programs, cause_of, options):
    assert cause_of(programs["Module"](), **options) == "healthy"


def test_the_module_handed_over_is_healthy_too(programs, cause_of):
    module = programs["Module"](WeightedSum())
    assert cause_of(module, model=module, loss=module.loss) == "healthy"


@pytest.mark.parametrize(
    "name, expected",
    [
        ("Forgotten", "steps_skipped"),
        ("Rewrapped", "graph_cut"),
        ("WithoutGrad", "graph_cut"),
        ("Cleared", "gradients_cleared"),
        ("Frozen", "parameters_not_trained"),
        ("OfAnother", "parameters_not_trained"),
        ("Averaged", "stale_validation"),
        ("NanStep", "nan_gradients"),
    ],
)
def test_a_fault_in_the_module_is_found(programs, cause_of, name, expected):
    assert cause_of(programs[name]()) == expected


@pytest.mark.filterwarnings("ignore:.*training_step.* returned `None`")  # its word for this fault
def test_a_training_step_that_returns_nothing(programs, cause_of):
    assert cause_of(programs["Silent"]()) == "steps_skipped"


def test_a_learning_rate_of_zero(programs, cause_of):
    assert cause_of(programs["Module"](lr=0.0)) == "zero_learning_rate"


def test_weights_of_zero(programs, cause_of):
    loss = WeightedSum(lam_fit=0.0, lam_size=0.0)
    asked = {"lam_fit": 0.0, "lam_size": 0.0}
    assert cause_of(programs["Module"](loss), loss=loss, weights=asked) == "loss_weights"


def test_labels_that_are_all_ignored(programs, cause_of):
    x = torch.randn(SAMPLES, 4)
    empty = DataLoader(TensorDataset(x, torch.full((SAMPLES,), -100)), batch_size=BATCH)
    assert cause_of(programs["Module"](), train=empty) == "empty_targets"


@pytest.mark.filterwarnings("ignore:Total length of .*Loader. across ranks is zero")  # its word for this fault
def test_a_batch_larger_than_the_data_with_drop_last(programs, cause_of):
    assert cause_of(programs["Module"](), train=_data(64, drop_last=True)) == "no_batches"


def test_no_train_batches(programs, cause_of):
    assert cause_of(programs["Module"](), limit_train_batches=0) == "no_batches"


def test_accumulation_longer_than_the_epoch(programs, cause_of):
    """Lightning steps at the last batch all the same: one step an epoch, as if the step stood after the loop."""
    assert cause_of(programs["Module"](), accumulate_grad_batches=100) == "loss_outside_loop"
