"""One line in Accelerate: what it displays, what is written, how it ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import kit
from tests.guests._callbacks import EPOCHS, Sum, X, Y, assert_nothing_left, network, read_events, said_once, word
from tests.recording._left import same


def _accelerated(accelerate, tracker, folder, rate=0.05, detached=False, fails=False, with_others=True):
    trackers = [*(["tensorboard"] if with_others else []), *([tracker] if tracker else [])] or None
    accelerator = accelerate.Accelerator(cpu=True, log_with=trackers, project_dir=str(folder))
    model, loss = network(), Sum()
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
def test_accelerate(tensorboard, accelerate, tmp_path, capsys, made, expected):
    tracker = kit.integrations.AccelerateTracker()
    _, shown = _accelerated(accelerate, tracker, tmp_path, **made)
    assert said_once(capsys, tracker.diagnosis)
    assert word(tracker.diagnosis) == expected
    epochs = tracker.trace.epochs
    assert epochs[["train_loss", "val_loss"]].to_numpy() == pytest.approx(np.array(shown))
    assert_nothing_left()


def test_accelerate_has_the_terms_in_the_files_of_its_other_tracker(tensorboard, accelerate, tmp_path):
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
