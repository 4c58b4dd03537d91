"""What a name stands for, alone and beside others; what `run.log` makes of other names."""

from __future__ import annotations

import math

import pytest
import torch

import kit
from kit.recording.names import chosen, meaning
from kit.recording.trace import Trace

ROLES = {
    "epoch": "epoch epochs current_epoch train/epoch e",
    "step": "step steps _step Step global_step trainer/global_step iteration iter batch",
    "train_loss": "loss train_loss trainLoss train/loss training_loss loss_epoch train_loss_step epoch_loss total_loss Loss/train train "
    "running_loss",
    "val_loss": "val_loss valLoss eval_loss valid/loss validation_loss eval/loss Loss/test val_loss/dataloader_idx_0 val test_loss",
    "lr": "lr LR learning_rate train/learning_rate lr-AdamW/pg1 lr_0",
    "grad_norm": "grad_norm train/grad_norm gradient_norm gnorm grad_2.0_norm_total total_grad_norm",
    "term": "kl loss/kl train/kl_loss kl_loss loss_kl rec nll_loss",
    "": "acc val_accuracy kl_weight loss_scale best_val_loss eval_runtime train_samples_per_second grad_norm_clipped grad_norm/encoder "
    "val_kl_loss _timestamp epoch_time seed foo lr_scale 123 _",
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in ROLES.items() for name in names.split()])
def test_a_name_is_read_as_what_people_mean_by_it(role, name):
    found = meaning(name)
    assert (found.role if found else "") == role


def test_a_name_says_what_its_number_is_of():
    assert [meaning(name).per for name in ("train_loss", "train_loss_step", "loss_epoch")] == ["", "step", "epoch"]
    assert [meaning(name).term for name in ("loss/kl", "train/kl_loss", "cross_entropy_loss")] == [
        "kl",
        "kl",
        "cross_entropy",
    ]


@pytest.mark.parametrize("name", ["", "x" * 10_000, "a" * 10_000 + "_loss", "é", "\udcff", "loss" * 1000, "_" * 500])
def test_any_text_may_be_a_name(name):
    assert meaning(name) is None or meaning(name).role


def test_of_two_names_the_plainer_is_meant_unless_it_holds_few_numbers():
    assert chosen(["loss", "train_loss"])["train_loss", ""] == "train_loss"
    assert chosen(["loss", "train_loss"], {"loss": 40, "train_loss": 1})["train_loss", ""] == "loss"
    assert chosen(["test_loss", "eval_loss", "val_loss"])["val_loss", ""] == "val_loss"


def _watched(act):
    torch.manual_seed(0)
    model, x = torch.nn.Linear(2, 1), torch.ones(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with kit.watch(model) as run:
        for epoch in range(3):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            act(run, epoch)
    return run


def test_other_names_of_the_losses_are_logged_as_these():
    one = _watched(lambda run, epoch: run.log(epoch=epoch, train_loss=0.5 + epoch, val_loss=2.0)).trace
    two = _watched(
        lambda run, epoch: run.log(epochs=epoch, loss=0.5 + epoch, **{"valid/loss": torch.tensor(2.0)})
    ).trace
    shown = ["train_loss", "val_loss", "batches"]
    assert two.epochs[shown].equals(one.epochs[shown]) and "logged" not in two.facts


def test_a_name_of_its_own_comes_first_and_the_other_is_kept():
    trace = _watched(lambda run, epoch: run.log(epoch=epoch, train_loss=1.0, loss=9.0)).trace
    assert trace.epochs["train_loss"].tolist() == [1.0] * 3
    assert trace.facts["logged"] == {"loss": [[1, 9.0], [2, 9.0], [3, 9.0]]}


def test_other_numbers_are_kept_with_their_row_and_saved(tmp_path):
    values = [1.0, math.nan, math.inf]
    run = _watched(lambda run, epoch: run.log(epoch=epoch, loss=0.0, lr=1e-3, kl=values[epoch]))
    run.log(acc=0.75)
    run.log(epoch=[0, 1], f1=[0.5, None])
    logged = run.trace.facts["logged"]
    assert (
        logged["lr"] == [[1, 1e-3], [2, 1e-3], [3, 1e-3]]
        and logged["acc"] == [[3, 0.75]]
        and logged["f1"] == [[1, 0.5]]
    )
    assert logged["kl"] == [[1, 1.0], [2, "nan"], [3, "inf"]]
    assert Trace.load(run.trace.save(tmp_path / "run.npz")) == run.trace


def test_numbers_under_other_names_alone_begin_no_epoch():
    one = _watched(lambda run, epoch: None).trace
    two = _watched(lambda run, epoch: run.log(score=epoch)).trace
    assert two.epochs.equals(one.epochs) and two.steps.equals(one.steps)


def test_many_numbers_of_one_name_are_thinned():
    def act(run, epoch):
        for value in range(3000):
            run.log(lr=value)

    held = _watched(act).trace.facts["logged"]["lr"]
    assert len(held) <= 2000 and held[0] == [1, 0.0] and held[-1][1] == 2999.0
