"""One line in Keras, skorch, Ignite and Accelerate: what they display, what is written, how it ends."""

from __future__ import annotations

import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kit
from tests.guests._callbacks import assert_nothing_left, read_events, said_once
from tests.recording._left import same

SAMPLES, EPOCHS = 48, 4
X = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Sum(nn.Module):
    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        self.weight, self.calls, self.fails_at = weight, 0, 0

    def forward(self, out, target):
        self.calls += 1
        if self.calls == self.fails_at:
            raise RuntimeError("a bad batch")
        fit = F.cross_entropy(out, target)
        size = out.square().mean()
        return fit + self.weight * size


def _network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))


def _word(found) -> str:
    print(found.explain())
    return found.verdict if found.top is None else found.top.key


# --- Keras


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
    assert _word(callback.diagnosis) == expected
    epochs = callback.trace.epochs
    assert list(epochs["train_loss"]) == done.history["loss"]
    assert list(epochs["val_loss"].dropna()) == done.history.get("val_loss", [])
    assert_nothing_left()


def test_keras_has_the_terms_in_its_history_and_in_a_csv_file_behind(keras, tmp_path):
    callback, file = kit.integrations.KerasCallback(print=False), tmp_path / "log.csv"
    done = _keras_fit(_keras(keras), [callback, keras.callbacks.CSVLogger(str(file))])
    names = [name for name in done.history if name.startswith("term/")]
    assert names and {len(column) for column in done.history.values()} == {EPOCHS}
    term = callback.trace.terms.iloc[-1]
    assert done.history[f"term/{term['name']}"][0] == term["value"]  # of step 3, the last that was read
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


# --- skorch


def _skorch(skorch, callbacks, rate=0.05, weight=0.1, **options):
    return skorch.NeuralNetClassifier(
        _network(),
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
    assert _word(callback.diagnosis) == expected
    epochs = callback.trace.epochs
    assert list(epochs["train_loss"]) == net.history[:, "train_loss"]
    if "train_split" not in made:
        assert list(epochs["val_loss"]) == net.history[:, "valid_loss"]
    terms = callback.trace.terms
    assert set(net.history[:, "term/fit"]) == {terms["value"][terms["name"] == "fit"].iloc[-1]}
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


# --- Ignite


def _ignite(ignite, rate=0.05, output=None, **options):
    from ignite.engine import create_supervised_evaluator, create_supervised_trainer
    from ignite.metrics import Loss

    model, loss = _network(), Sum()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    more = {} if output is None else {"output_transform": output}
    trainer = create_supervised_trainer(model, optimizer, loss, **more, **options)
    evaluator = create_supervised_evaluator(model, metrics={"loss": Loss(loss)})
    return SimpleNamespace(model=model, loss=loss, trainer=trainer, evaluator=evaluator)


def _run(trainer):
    trainer.run(DataLoader(TensorDataset(X, Y), 8), max_epochs=EPOCHS)


@pytest.mark.parametrize(
    ("made", "often", "expected"),
    [
        ({}, 1, "healthy"),
        ({}, 2, "healthy"),  # as in its examples: of the training data, then of the others
        ({"output": lambda x, y, out, loss: {"loss": loss.item()}}, 1, "healthy"),
        ({"rate": 0.0}, 1, "zero_learning_rate"),
        ({"gradient_accumulation_steps": 100}, 1, "steps_skipped"),
    ],
    ids=["usual", "evaluates twice", "mapping", "rate 0", "accumulates for ever"],
)
@pytest.mark.parametrize("first", [True, False], ids=["attached first", "attached last"])
def test_ignite(ignite, capsys, made, often, expected, first):
    own, Events = _ignite(ignite, **made), ignite.engine.Events
    trainer, evaluator = own.trainer, own.evaluator
    handler, shown, batches = kit.integrations.IgniteHandler(), [], []
    if first:
        assert handler.attach(trainer, evaluator) is handler

    @trainer.on(Events.EPOCH_COMPLETED)
    def evaluate(engine):
        for count in [8, 16][:often]:
            evaluator.run(DataLoader(TensorDataset(X, Y), count))
        shown.append(evaluator.state.metrics["loss"])

    @trainer.on(Events.ITERATION_COMPLETED)
    def keep(engine):
        batches.append(engine.state.output["loss"] if isinstance(engine.state.output, dict) else engine.state.output)

    if not first:
        handler.attach(trainer, evaluator)
    _run(trainer)
    assert said_once(capsys, handler.diagnosis)
    assert _word(handler.diagnosis) == expected
    epochs = handler.trace.epochs
    assert list(epochs["train_loss"]) == pytest.approx(list(np.reshape(batches, (EPOCHS, -1)).mean(axis=1)))
    assert list(epochs["val_loss"]) == pytest.approx(shown)
    assert trainer.state.metrics["weight/size"] == pytest.approx(0.1)
    assert_nothing_left()


def test_ignite_has_the_terms_in_the_files_of_its_logger(ignite, tmp_path):
    from ignite.handlers import TensorboardLogger

    own, Events = _ignite(ignite), ignite.engine.Events
    trainer = own.trainer
    handler = kit.integrations.IgniteHandler(print=False, probe_every=5).attach(trainer, own.evaluator)
    logger = TensorboardLogger(log_dir=str(tmp_path))
    logger.attach_output_handler(trainer, Events.ITERATION_COMPLETED, tag="training", metric_names="all")
    _run(trainer)
    logger.close()
    curves = read_events(tmp_path)
    for step, report in handler.trace.probes.items():
        assert curves["training/term/fit"][step] == pytest.approx(report.L[0])
        assert curves["training/grad_norm/size"][step] == pytest.approx(report.norms[1])
    assert len(handler.trace.probes) == 5


def test_ignite_trains_bitwise_the_same(ignite):
    def left(watched):
        own = _ignite(ignite)
        if watched:
            kit.integrations.IgniteHandler(print=False, probe_every=5).attach(own.trainer, own.evaluator)
        _run(own.trainer)
        return own.model.state_dict(), own.trainer.state.output, torch.get_rng_state()

    assert same(left(True), left(False))


@pytest.mark.parametrize("handled", [False, True], ids=["raised", "handled by the program"])
def test_ignite_left_by_an_exception(ignite, handled):
    own, Events = _ignite(ignite), ignite.engine.Events
    trainer = own.trainer
    handler, errors = kit.integrations.IgniteHandler(print=False).attach(trainer), []
    own.loss.fails_at = 9
    trainer.logger.disabled = True
    if handled:
        trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: errors.append(error))
        _run(trainer)
    else:
        with pytest.raises(RuntimeError, match="a bad batch"):
            _run(trainer)
    assert len(errors) == handled
    assert_nothing_left()
    assert handler.trace.facts["ended"] == "RuntimeError" and handler.trace.facts["turns"] == 9


def test_ignite_terminated_without_its_last_event(ignite):
    trainer, Events = _ignite(ignite).trainer, ignite.engine.Events
    handler = kit.integrations.IgniteHandler(print=False).attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=12), lambda engine: engine.terminate(skip_completed=True))
    _run(trainer)
    assert handler.trace.facts["ended"] == "return" and handler.trace.facts["turns"] == 12
    assert_nothing_left()


# --- Accelerate


def _accelerated(accelerate, tracker, folder, rate=0.05, detached=False, fails=False, with_others=True):
    trackers = [*(["tensorboard"] if with_others else []), *([tracker] if tracker else [])] or None
    accelerator = accelerate.Accelerator(cpu=True, log_with=trackers, project_dir=str(folder))
    model, loss = _network(), Sum()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    loaders = [DataLoader(TensorDataset(X, Y), count) for count in (8, 16)]
    model, optimizer, train, held = accelerator.prepare(model, optimizer, *loaders)
    accelerator.init_trackers("run", config={"rate": rate})
    shown = []
    try:
        for epoch in range(EPOCHS):
            model.train()
            total = 0.0
            for number, (x, y) in enumerate(train):
                value = loss(model(x), y)
                accelerator.backward(torch.tensor(value.item(), requires_grad=True) if detached else value)
                optimizer.step()
                optimizer.zero_grad()
                total += value.item()
                if fails and number == 2:
                    raise RuntimeError("a bad batch")
            model.eval()
            with torch.no_grad():
                val = sum(loss(model(x), y).item() for x, y in held) / len(held)
            shown.append((total / len(train), val))
            accelerator.log({"train_loss": total / len(train), "val_loss": val, "epoch": epoch}, step=6 * (epoch + 1))
    finally:
        accelerator.end_training()
    return model, shown


@pytest.mark.parametrize(
    ("made", "expected"),
    [({}, "healthy"), ({"rate": 0.0}, "zero_learning_rate"), ({"detached": True}, "graph_cut")],
)
def test_accelerate(accelerate, tmp_path, capsys, made, expected):
    tracker = kit.integrations.AccelerateTracker()
    _, shown = _accelerated(accelerate, tracker, tmp_path, **made)
    assert said_once(capsys, tracker.diagnosis)
    assert _word(tracker.diagnosis) == expected
    epochs = tracker.trace.epochs
    assert epochs[["train_loss", "val_loss"]].to_numpy() == pytest.approx(np.array(shown))
    assert_nothing_left()


def test_accelerate_has_the_terms_in_the_files_of_its_other_tracker(accelerate, tmp_path):
    tracker = kit.integrations.AccelerateTracker(print=False, probe_every=5)
    _, shown = _accelerated(accelerate, tracker, tmp_path)
    curves, probes = read_events(tmp_path), tracker.trace.probes
    assert curves["train_loss"] == pytest.approx({6 * n + 6: value for n, (value, _) in enumerate(shown)})
    last = {6: 6, 12: 11, 18: 16, 24: 21}  # logged after this many steps -> the last probe before
    assert curves["term/fit"] == pytest.approx({at: probes[step].L[0] for at, step in last.items()})
    assert curves["grad_norm/size"] == pytest.approx({at: probes[step].norms[1] for at, step in last.items()})


def test_accelerate_trains_bitwise_the_same_and_is_left_by_an_exception(accelerate, tmp_path):
    def left(tracker):
        model, shown = _accelerated(accelerate, tracker, tmp_path, with_others=False)
        return model.state_dict(), shown, torch.get_rng_state()

    tracker = kit.integrations.AccelerateTracker(print=False)
    assert same(left(tracker), left(None))
    with pytest.raises(RuntimeError, match="a bad batch"):
        _accelerated(accelerate, tracker, tmp_path, fails=True)
    assert tracker.trace.facts["turns"] == 3
    assert_nothing_left()
