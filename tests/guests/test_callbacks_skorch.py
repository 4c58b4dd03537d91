"""One line in skorch: what it displays, what is written, how it ends."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import kit
from tests.guests._callbacks import EPOCHS, Sum, X, Y, assert_nothing_left, last_read, network, said_once, word
from tests.recording._left import same


def _skorch(skorch, callbacks, rate=0.05, weight=0.1, **options):
    return skorch.NeuralNetClassifier(
        network(),
        criterion=Sum,
        criterion__weight=weight,
        optimizer=torch.optim.AdamW,
        lr=rate,
        max_epochs=EPOCHS,
        batch_size=8,
        verbose=0,
        callbacks=callbacks,
        **options,
    )


@pytest.mark.parametrize(
    ("made", "expected"), [({}, "healthy"), ({"train_split": None}, "healthy"), ({"rate": 0.0}, "zero_learning_rate")]
)
def test_skorch(skorch, capsys, made, expected):
    callback = kit.integrations.SkorchCallback()
    net = _skorch(skorch, [callback], **made).fit(X.numpy(), Y.numpy())
    assert said_once(capsys, callback.diagnosis)
    assert word(callback.diagnosis) == expected
    epochs = callback.trace.epochs
    assert list(epochs["train_loss"]) == net.history[:, "train_loss"]
    if "train_split" not in made:
        assert list(epochs["val_loss"]) == net.history[:, "valid_loss"]
    assert net.history[:, "term/fit"] == last_read(callback.trace, "fit")
    assert net.history[:, "weight/size"] == pytest.approx([0.1] * EPOCHS)
    assert_nothing_left()


def test_skorch_trains_bitwise_the_same(skorch):
    def left(callbacks):
        net = _skorch(skorch, callbacks).fit(X.numpy(), Y.numpy())
        return net.module_.state_dict(), net.history[:, "train_loss"], torch.get_rng_state()

    assert same(left([kit.integrations.SkorchCallback(print=False, probe_every=3)]), left([]))


def test_skorch_left_by_an_exception_and_by_an_interrupt(skorch):
    class Fails(skorch.callbacks.Callback):
        def __init__(self, error):
            self.error = error

        def on_batch_end(self, net, **kwargs):
            raise self.error("a bad batch")

    callback = kit.integrations.SkorchCallback(print=False)
    with pytest.raises(RuntimeError, match="a bad batch"):
        _skorch(skorch, [callback, Fails(RuntimeError)]).fit(X.numpy(), Y.numpy())
    assert_nothing_left()
    assert callback.trace.facts["ended"] == "Unfinished" and callback.trace.facts["turns"] == 1
    _skorch(skorch, [callback, Fails(KeyboardInterrupt)]).fit(X.numpy(), Y.numpy())
    assert callback.trace.facts["ended"] == "return"
    assert_nothing_left()


def test_a_net_of_skorch_is_cloned_copied_and_pickled_with_its_callback(skorch):
    from sklearn.base import clone

    net = _skorch(skorch, [kit.integrations.SkorchCallback(print=False, every=2)])
    other = clone(net)
    assert other.callbacks[0].get_params() == {"print": False, "every": 2}
    other.fit(X.numpy(), Y.numpy())
    assert other.callbacks[0].trace.facts["every"] == 2
    for again in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        assert again.callbacks[0].trace == other.callbacks[0].trace
        assert again.callbacks[0].diagnosis.verdict == "healthy"
