"""A frozen backbone kept in eval mode with its LayerNorm, a small head; options in a Namespace, a loader read with next()."""

from __future__ import annotations

from argparse import Namespace

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import annotated


class Backbone(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lift, self.mix, self.norm = nn.Linear(8, width), nn.Linear(width, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.mix(self.lift(x).relu()).relu())


class Tagger(nn.Module):
    """Only what is named head learns; train() leaves the backbone where it is."""

    def __init__(self, width: int, last: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, 3), *last)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith("head."))

    def train(self, mode: bool = True) -> Tagger:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def train(args: Namespace) -> Displayed:
    model, console = args.model, Console()
    optimizer = torch.optim.Adamax(args.chosen, lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        iterator, history = iter(args.loader), []
        while (batch := next(iterator, None)) is not None:
            inputs, labels = batch
            loss = nn.functional.cross_entropy(model(inputs), labels)
            if args.zero_grad:
                model.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        model.eval()
        with torch.no_grad():
            val = nn.functional.cross_entropy(model(args.val.x), args.val.label)
        console.line(epoch, sum(history) / len(history), float(val))
    return console.shown


def _make(s: Setting, variant: str) -> Case:
    data, val = annotated(s)
    model = Tagger(s.width, last=(nn.Softmax(dim=1),) if variant == "the head returns probabilities" else ())
    args = Namespace(model=model, lr=0.03 * s.lr, epochs=s.epochs, val=val, zero_grad=True)
    args.loader = DataLoader(TensorDataset(data.x, data.label), batch_size=s.batch, shuffle=True)
    args.chosen = [p for p in model.parameters() if p.requires_grad]
    if variant == "the condition of the filter is turned round":
        args.chosen = [p for p in model.parameters() if not p.requires_grad]
    if variant == "the option zero_grad is off":
        args.zero_grad = False
    return Case(lambda: train(args), model=model)


PROGRAMS = family(
    "headonly",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "double_activation": ("the head returns probabilities",),
        "parameters_not_trained": ("the condition of the filter is turned round",),
        "gradients_not_cleared": ("the option zero_grad is off",),
    },
)
