"""Loops that their user writes, around the wrappers of accelerate and of Lightning Fabric."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.guests._diagnosed import cause, diagnosed

SAMPLES, EPOCHS = 48, 3


def _data(batch: int) -> DataLoader:
    x = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=batch)


def _parts(lr: float = 0.05):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=lr)


@torch.no_grad()
def _validated(model, loader) -> float:
    model.eval()
    return sum(F.cross_entropy(model(x), y).item() for x, y in loader) / len(loader)


def _accelerated(accelerate, tmp_path, fault: str) -> str:
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer = _parts(0.0 if fault == "rate" else 0.05)
    model, optimizer, train, val = accelerator.prepare(model, optimizer, _data(8), _data(16))
    shown = {"train_loss": [], "val_loss": []}

    def loop():
        for _ in range(EPOCHS):
            model.train()
            total = 0.0
            for x, y in train:
                with accelerator.accumulate(model):
                    loss = F.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    if fault == "cleared":
                        optimizer.zero_grad()
                    if fault != "skipped":
                        optimizer.step()
                    optimizer.zero_grad()
                    total += loss.item()
            shown["train_loss"].append(total / len(train))
            shown["val_loss"].append(_validated(model, val))

    return cause(diagnosed(loop, shown=lambda: shown))


@pytest.mark.parametrize(
    "fault, expected",
    [
        ("none", "healthy"),
        ("rate", "zero_learning_rate"),
        ("cleared", "gradients_cleared"),
        ("skipped", "steps_skipped"),
    ],
)
def test_a_loop_under_accelerate(accelerate, tmp_path, fault, expected):
    assert _accelerated(accelerate, tmp_path, fault) == expected


@pytest.mark.parametrize(
    "fault, expected", [("none", "healthy"), ("detached", "graph_cut"), ("skipped", "steps_skipped")]
)
def test_a_loop_under_fabric(lightning, fault, expected):
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(*_parts())
    train, val = fabric.setup_dataloaders(_data(8), _data(16))
    shown = {"train_loss": [], "val_loss": []}

    def loop():
        for _ in range(EPOCHS):
            model.train()
            total = 0.0
            for x, y in train:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                if fault == "detached":
                    loss = loss.detach().requires_grad_()
                fabric.backward(loss)
                if fault != "skipped":
                    optimizer.step()
                total += loss.item()
            shown["train_loss"].append(total / len(train))
            shown["val_loss"].append(_validated(model, val))

    assert cause(diagnosed(loop, shown=lambda: shown)) == expected
