"""Which of the logged numbers are the losses, and which epoch a displayed mean belongs to."""

from __future__ import annotations

import math

import pytest
import torch

from kit.integrations.displayed import Displayed, number_of
from kit.integrations.names import train_loss_of, val_losses_of


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["loss"], "loss"),
        (["train_loss", "val_loss"], "train_loss"),
        (["train_loss_step", "train_loss_epoch", "train_loss"], "train_loss_epoch"),
        (["trainLoss", "valLoss"], "trainLoss"),
        (["train/loss", "train/acc", "valid/loss"], "train/loss"),
        (["loss", "train_rec_loss", "train_kl_loss"], "loss"),
        (["train_rec_loss", "train_kl_loss"], None),
        (["train_rec_loss_step", "train_rec_loss_epoch"], None),  # a part of the loss
        (["rec_loss"], None),
        (["accuracy", "lr", "loss_scale", "test_loss"], None),
        (["eval_loss"], None),
        ([], None),
    ],
)
def test_the_train_loss_among_names(names, expected):
    assert train_loss_of(names) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["loss", "val_loss"], ["val_loss"]),
        (["val_loss", "val_rec_loss"], ["val_loss"]),
        (["val_rec_loss", "val_kl_loss"], []),
        (
            ["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"],
            ["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"],
        ),
        (["validation/loss", "train/loss"], ["validation/loss"]),
        (["eval_loss", "eval_runtime"], ["eval_loss"]),
        (["test_loss", "loss"], []),
    ],
)
def test_the_validation_losses_among_names(names, expected):
    assert val_losses_of(names) == expected


class Run:
    """What is displayed, by epoch; the watch's own part is tested with the trainers."""

    def __init__(self):
        self.epoch, self.rows = 1, {}

    def log(self, **values):
        self.rows.setdefault(self.epoch, {}).update(values)


def test_a_display_of_each_step_is_the_mean_over_the_steps():
    run = Run()
    displayed = Displayed(run)
    for steps, value in ((1, 4.0), (3, 2.0)):
        for _ in range(steps):
            displayed.stepped()
        displayed.train(torch.tensor(value))
    assert run.rows == {1: {"train_loss": (1 * 4.0 + 3 * 2.0) / 4}}


@pytest.mark.parametrize(("epochs", "known"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize("value", [1.5, 0.0, math.nan])
def test_a_mean_over_more_than_two_epochs_is_of_none_unless_it_is_zero(epochs, known, value):
    run = Run()
    displayed = Displayed(run)
    for epoch in range(1, epochs + 1):
        run.epoch = epoch
        displayed.stepped()
    displayed.train(value)
    shown = run.rows[epochs]["train_loss"]
    assert shown == value if (known or value == 0) and not math.isnan(value) else math.isnan(shown)


def test_a_zero_after_other_numbers_says_nothing_of_the_epochs_before():
    run = Run()
    displayed = Displayed(run)
    for first, value in ((1, 0.7), (4, 0.0)):
        for epoch in range(first, first + 3):
            run.epoch = epoch
            displayed.stepped()
        displayed.train(value)
    assert math.isnan(run.rows[3]["train_loss"]) and math.isnan(run.rows[6]["train_loss"])


def test_what_is_evaluated_before_the_training_is_a_rehearsal():
    run = Run()
    displayed = Displayed(run)
    displayed.val(3.0)
    displayed.epoch_over(0)
    assert run.rows == {}
    displayed.stepped()
    displayed.val(2.0, 3)
    displayed.val(1.0, 1)
    assert run.rows == {1: {"val_loss": 1.75}}


@pytest.mark.parametrize("value", [None, "0.5", True, {}, [1.0, 2.0], torch.ones(2), object()])
def test_what_is_no_number_is_not_displayed(value):
    assert number_of(value) is None
