"""Trainers of four more packages, as their documentation uses them: healthy, and with a fault by configuration."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.guests._diagnosed import cause, diagnosed

SAMPLES, EPOCHS = 48, 4
X = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def _network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, outputs))


@pytest.mark.parametrize(
    ("fault", "expected"), [("none", "healthy"), ("rate", "zero_learning_rate"), ("detached", "graph_cut")]
)
def test_skorch(skorch, fault, expected):
    class Classifier(skorch.NeuralNetClassifier):
        def get_loss(self, *args, **kwargs):
            loss = super().get_loss(*args, **kwargs)
            return loss.detach().requires_grad_() if fault == "detached" else loss

    net = Classifier(
        _network(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=0.0 if fault == "rate" else 0.05,
        max_epochs=EPOCHS,
        batch_size=8,
        verbose=0,
    )
    shown = {"train_loss": "train_loss", "val_loss": "valid_loss"}
    found = diagnosed(
        lambda: net.fit(X.numpy(), Y.numpy()),
        shown=lambda: {name: net.history[:, column] for name, column in shown.items()},
    )
    assert cause(found) == expected


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("none", "healthy"),
        ("rate", "zero_learning_rate"),
        ("accumulates", "steps_skipped"),
        ("copied", "stale_validation"),
    ],
)
def test_ignite(ignite, fault, expected):
    from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
    from ignite.metrics import Loss

    model, loss = _network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0 if fault == "rate" else 0.05)
    often = 100 if fault == "accumulates" else 1
    trainer = create_supervised_trainer(model, optimizer, loss, gradient_accumulation_steps=often)
    evaluated = copy.deepcopy(model) if fault == "copied" else model
    evaluator = create_supervised_evaluator(evaluated, metrics={"loss": Loss(loss)})
    batches, shown = [], {"train_loss": [], "val_loss": []}

    @trainer.on(Events.ITERATION_COMPLETED)
    def keep(engine):
        batches.append(engine.state.output)

    @trainer.on(Events.EPOCH_COMPLETED)
    def tell(engine):
        evaluator.run(DataLoader(TensorDataset(X, Y), 16))
        shown["val_loss"].append(evaluator.state.metrics["loss"])
        shown["train_loss"].append(float(np.mean(batches)))
        batches.clear()

    loader = DataLoader(TensorDataset(X, Y), 8)
    assert cause(diagnosed(lambda: trainer.run(loader, max_epochs=EPOCHS), shown=lambda: shown)) == expected


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("none", "healthy"),
        ("rate", "steps_skipped"),  # its optimizer is none of torch.optim: no step is seen, and nothing moves
        ("frozen", "parameters_not_trained"),
        ("weight", "loss_weights"),
    ],
)
def test_keras(keras, fault, expected):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2)]
    )
    model.trainable = fault != "frozen"
    model.compile(
        optimizer=keras.optimizers.SGD(0.0 if fault == "rate" else 0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        loss_weights=[0.0] if fault == "weight" else None,
        jit_compile=False,
    )
    history = {}

    def fit():
        data = X.numpy(), Y.numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a model without trainable weights
            done = model.fit(*data, batch_size=8, epochs=EPOCHS, verbose=0, validation_data=data)
        history.update(done.history)

    shown = {"train_loss": "loss", "val_loss": "val_loss"}
    found = diagnosed(fit, shown=lambda: {name: history[column] for name, column in shown.items()})
    assert cause(found) == expected
    if fault == "rate":
        assert "no step of torch.optim was taken" in str(found)


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # its progress bar prints the loss as it is
@pytest.mark.parametrize(
    ("fault", "expected"), [("none", "healthy"), ("rate", "zero_learning_rate"), ("no pair", "empty_targets")]
)
def test_metric_learning(metric_learning, fault, expected):
    from pytorch_metric_learning import losses, trainers

    model, shown = _network(8), []
    labels = torch.arange(SAMPLES) if fault == "no pair" else Y
    trainer = trainers.MetricLossOnly(
        models={"trunk": model},
        optimizers={"trunk_optimizer": torch.optim.Adam(model.parameters(), lr=0.0 if fault == "rate" else 0.05)},
        batch_size=16,
        loss_funcs={"metric_loss": losses.TripletMarginLoss(margin=0.2)},
        dataset=TensorDataset(X, labels),
        dataloader_num_workers=0,
        set_min_label_to_zero=False,
        end_of_iteration_hook=lambda trainer: shown.append(trainer.losses["total_loss"].item()),
    )
    found = diagnosed(
        lambda: trainer.train(num_epochs=EPOCHS),
        shown=lambda: {"train_loss": [float(np.mean(part)) for part in np.array_split(shown, EPOCHS)]},
    )
    assert cause(found) == expected
