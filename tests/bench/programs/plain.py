"""The loop of every tutorial: a DataLoader, zero_grad, backward, step, the mean over the batches."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import blobs


def _make(s: Setting, variant: str) -> Case:
    data = blobs(s)
    y, y_val, classes = data.y, data.y_val, 3
    if variant == "one class":
        y, y_val, classes = y * 0, y_val * 0, 1
    model = mlp(6, s.width, classes)
    trained = mlp(6, s.width, classes) if variant == "another instance in the optimizer" else model
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1 if variant == "label smoothing" else 0.0)
    rate = 0.0 if variant == "lr 0" else 0.05 * s.lr
    optimizer = torch.optim.SGD(trained.parameters(), lr=rate, momentum=0.9)
    size = 2 * len(y) if variant == "drop_last and a batch larger than the data" else s.batch
    loader = DataLoader(TensorDataset(data.x, y), batch_size=size, shuffle=True, drop_last=size != s.batch)
    evaluated = copy.deepcopy(model) if variant == "deepcopy made before training" else model

    def fit() -> Displayed:
        console, best = Console(), float("inf")
        if variant == "validation never runs":
            best = validate()
        for epoch in range(1, s.epochs + 1):
            model.train()
            running = 0.0
            for x, label in loader:
                optimizer.zero_grad()
                logits = model(x)
                if variant == "dedented":
                    continue
                loss = criterion(logits, label)
                if variant == "detached and re-wrapped":
                    loss = loss.detach().requires_grad_(True)
                if variant == "rebuilt with torch.tensor":
                    loss = torch.tensor(loss.item(), requires_grad=True)
                if variant != "backward is not called":
                    loss.backward()
                if variant == "zero_grad after backward":
                    optimizer.zero_grad()
                optimizer.step()
                if variant != "never added to the sum":
                    running += loss.item()
            if variant == "dedented":
                loss = criterion(logits, label)
                loss.backward()
                optimizer.step()
                running += loss.item()
            mean = running / max(len(loader), 1)
            if variant == "whole-number division":
                mean = running // len(loader)
            if variant == "divided by the samples":
                mean = running / len(loader.dataset)
            if variant == "validation never runs":
                console.line(epoch, mean, best)
            elif variant == "validation in every other epoch" and epoch % 2 == 0:
                console.line(epoch, mean)
            else:
                console.line(epoch, mean, validate())
        return console.shown

    @torch.no_grad()
    def validate() -> float:
        evaluated.eval()
        return criterion(evaluated(data.x_val), y_val).item()

    return Case(fit, model=model)


PROGRAMS = family(
    "plain",
    _make,
    healthy=(AS_INTENDED, "label smoothing", "validation in every other epoch"),
    faults={
        "no_batches": ("drop_last and a batch larger than the data",),
        "loss_outside_loop": ("dedented",),
        "steps_skipped": ("backward is not called",),
        "zero_learning_rate": ("lr 0",),
        "gradients_cleared": ("zero_grad after backward",),
        "parameters_not_trained": ("another instance in the optimizer",),
        "graph_cut": ("detached and re-wrapped", "rebuilt with torch.tensor"),
        "constant_by_design": ("one class",),
        "wrong_number": ("never added to the sum", "whole-number division", "divided by the samples"),
        "stale_validation": ("deepcopy made before training", "validation never runs"),
    },
)
