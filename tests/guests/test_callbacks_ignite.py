"""One line in Ignite: what it displays, what is written, how it ends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import kit
from tests.guests._callbacks import EPOCHS, Sum, X, Y, assert_nothing_left, network, read_events, said_once, word
from tests.recording._left import same


def _ignite(ignite, rate=0.05, output=None, **options):
    from ignite.engine import create_supervised_evaluator, create_supervised_trainer
    from ignite.metrics import Loss

    model, loss = network(), Sum()
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
    assert word(handler.diagnosis) == expected
    epochs = handler.trace.epochs
    assert list(epochs["train_loss"]) == pytest.approx(list(np.reshape(batches, (EPOCHS, -1)).mean(axis=1)))
    assert list(epochs["val_loss"]) == pytest.approx(shown)
    assert trainer.state.metrics["weight/size"] == pytest.approx(0.1)
    assert_nothing_left()


def test_ignite_has_the_terms_in_the_files_of_its_logger(tensorboard, ignite, tmp_path):
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
