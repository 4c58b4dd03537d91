"""One line in Keras: what it displays, what is written, how it ends."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest
import torch

import kit
from tests.guests._callbacks import EPOCHS, X, Y, assert_nothing_left, last_read, said_once, word
from tests.recording._left import same


def _keras(keras, rate=0.05, frozen=False, weight=None):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([layers.Input((4,)), layers.Dense(16, activation="relu"), layers.Dense(2)])
    model.trainable = not frozen
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(rate), loss, loss_weights=None if weight is None else [weight], jit_compile=False
    )
    return model


def _keras_fit(model, callbacks, **options):
    data = X.numpy(), Y.numpy()
    usual = {"batch_size": 8, "epochs": EPOCHS, "verbose": 0, "validation_data": data}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a model without trainable weights
        return model.fit(*data, callbacks=callbacks, **(usual | options))


@pytest.mark.parametrize(
    ("made", "options", "expected"),
    [
        ({}, {}, "healthy"),
        ({}, {"validation_freq": 2}, "healthy"),
        ({}, {"validation_data": None}, "healthy"),
        (
            {"rate": 0.0},
            {},
            "steps_skipped",
        ),  # its optimizer is none of torch.optim: no step is seen, and nothing moves
        ({"frozen": True}, {}, "parameters_not_trained"),
        ({"weight": 0.0}, {}, "loss_weights"),
    ],
)
def test_keras(keras, capsys, made, options, expected):
    callback = kit.integrations.KerasCallback()
    done = _keras_fit(_keras(keras, **made), [callback], **options)
    assert said_once(capsys, callback.diagnosis)
    assert word(callback.diagnosis) == expected
    epochs = callback.trace.epochs
    assert list(epochs["train_loss"]) == done.history["loss"]
    assert list(epochs["val_loss"].dropna()) == done.history.get("val_loss", [])
    assert_nothing_left()


def test_keras_has_the_terms_in_its_history_and_in_a_csv_file_behind(keras, tmp_path):
    callback, file = kit.integrations.KerasCallback(print=False), tmp_path / "log.csv"
    done = _keras_fit(_keras(keras), [callback, keras.callbacks.CSVLogger(str(file))])
    names = [name for name in done.history if name.startswith("term/")]
    assert names and {len(column) for column in done.history.values()} == {EPOCHS}
    for name in names:
        assert done.history[name] == last_read(callback.trace, name.removeprefix("term/"))
    assert list(pd.read_csv(file)[names[0]]) == pytest.approx(done.history[names[0]])


def test_keras_trains_bitwise_the_same(keras):
    def left(callbacks):
        model = _keras(keras)
        done = _keras_fit(model, callbacks)
        history = {name: column for name, column in done.history.items() if "/" not in name}
        return [v.value.detach().clone() for v in model.weights], history, torch.get_rng_state()

    assert same(left([kit.integrations.KerasCallback(print=False)]), left([]))


def test_keras_left_by_an_exception(keras, capsys):
    class Fails(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise RuntimeError("a bad batch")

    callback = kit.integrations.KerasCallback()
    with pytest.raises(RuntimeError, match="a bad batch"):
        _keras_fit(_keras(keras), [callback, Fails()])
    assert_nothing_left()
    assert callback.trace.facts["ended"] == "Unfinished" and callback.trace.facts["turns"] == 4
    assert said_once(capsys, callback.diagnosis)
