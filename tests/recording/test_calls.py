"""Calls that end otherwise than by returning, that call themselves, or in which something else begins."""

from __future__ import annotations

import threading

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import torch.nn.modules.module as modules
from torch import nn

from kit.recording import watch
from tests.recording._loops import Job, batches, job, sgd

EPOCHS = 20
TURNS = 3 * EPOCHS


class Body(nn.Module):
    """A network whose middle part can be told to do something in a given call."""

    def __init__(self, at: int = 0, act=None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        self.heard: list[bool] = []
        self.at, self.act = at, act

    def forward(self, x):
        hidden = self.first(x)
        self.heard.append(bool(modules._global_forward_hooks))
        if self.act is not None and len(self.heard) == self.at:
            self.act()
        return self.last(F.relu(hidden))


def training(model: nn.Module, turns: int = TURNS, catching: type[BaseException] = ZeroDivisionError):
    """A loop that goes on after the errors that it knows."""
    one = Job(model, sgd(model))
    for _ in range(turns // 3):
        model.train()
        for x, y in batches():
            one.optimizer.zero_grad()
            try:
                value = one.loss(model(x), y)
            except catching:
                continue
            value.backward()
            one.optimizer.step()
    return one


def watched(model: nn.Module, **options) -> pd.DataFrame:
    with watch() as run:
        training(model, **options)
    assert not any(part._forward_hooks for part in model.modules())
    return run.trace.steps


def test_a_loss_that_the_network_begins_to_call_is_found():
    class Later(Body):
        def __init__(self):
            super().__init__()
            self.criterion, self.begun = nn.CrossEntropyLoss(), 12

        def forward(self, x):
            out = super().forward(x)
            if len(self.heard) >= self.begun:
                self.criterion(out, torch.zeros(len(x), dtype=torch.long))
            return out

    calls = watched(Later()).set_index("turn")["loss_calls"]
    assert (calls[calls.index < 12] == 1).all() and (calls[calls.index >= 12] == 2).all()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_inside_passes_and_the_training_is_heard_on(error):
    def act():
        raise error("stop")

    model = Body(at=15, act=act)
    steps = watched(model, catching=error)
    assert len(steps) >= TURNS - 2
    assert steps["steps"].sum() == TURNS - 1


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_inside_that_ends_everything_leaves_nothing(error):
    def act():
        raise error("stop")

    model = Body(at=15, act=act)
    with pytest.raises(error, match="stop"), watch() as run:
        training(model, catching=MemoryError)
    assert not any(part._forward_hooks for part in model.modules())
    assert run.trace.steps["steps"].sum() == 14


def test_a_network_that_calls_itself():
    class Twice(Body):
        def forward(self, x):
            if x.shape[1] == 4 and len(self.heard) % 2 == 0:
                self.heard.append(bool(modules._global_forward_hooks))
                return self(x) + self.last(F.relu(self.first(x)))
            return super().forward(x)

    model = Twice()
    steps = watched(model)
    assert (steps["forwards"] == 1).all() and len(steps) == TURNS


def test_a_hook_of_the_user_may_change_the_output_or_fail():
    model = Body()
    model.register_forward_hook(lambda _, __, output: output.detach() if len(model.heard) > 14 else None)
    with watch() as run, pytest.raises(RuntimeError, match="does not require grad"):
        training(model)
    assert run.trace.steps["steps"].sum() == 14 and len(model._forward_hooks) == 1
    assert run.trace.steps["loss_graph"].iloc[-1] == 0
    model = Body()

    def fails(*_):
        if len(model.heard) == 15:
            raise ZeroDivisionError

    model.register_forward_hook(fails)
    with watch() as run:
        training(model)
    assert run.trace.steps["steps"].sum() == TURNS - 1 and len(model._forward_hooks) == 1


def test_somebody_who_begins_to_watch_in_another_thread_hears_at_once():
    found = []

    def other():
        one = job(sgd)
        with watch(one.model) as run:
            one.plain()
        found.append(run.trace)

    def act():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    model = Body(at=15, act=act)
    steps = watched(model)
    assert found[0].epochs["batches"].tolist() == [3, 3]
    assert len(steps) == TURNS and steps["steps"].sum() == TURNS


def test_a_watch_that_is_closed_inside_a_call_leaves_nothing():
    one = watch()
    model = Body(at=15, act=lambda: one.__exit__(None, None, None))
    one.__enter__()
    training(model)
    assert model.heard[14] and not any(model.heard[15:])
    assert not any(part._forward_hooks for part in model.modules())
    assert one.trace.steps["steps"].sum() == 14
    assert watched(Body())["forwards"].sum() == TURNS, "the next watch hears everything again"


def test_what_stands_around_the_given_model_is_always_heard():
    class Around(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return 2 * self.model(x)

    inner = Body()
    with watch(inner) as run:
        training(Around(inner))
    assert (run.trace.steps["forwards"] == 1).all() and len(run.trace.steps) == TURNS
