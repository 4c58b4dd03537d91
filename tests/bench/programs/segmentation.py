"""Pixels: cross entropy over the classes that an image can hold plus a Dice term; borders ignored, a short last batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import images

IGNORE, WEIGHTS = 255, torch.tensor([1.0, 0.5])


def painted(x: Tensor, label: Tensor) -> Tensor:
    """``[n, 8, 8]``: 0 background, 1 bars, 2 squares, IGNORE along the border."""
    mask = (x[:, 0] > 0.9) * (1 + (label == 2).long())[:, None, None]
    mask[:, [0, -1], :] = mask[:, :, [0, -1]] = IGNORE
    return mask


def possible(label: Tensor) -> Tensor:
    """``[n, 3, 1, 1]``: which classes an image of this label can hold."""
    table = torch.tensor([[True, True, False], [True, True, False], [True, False, True]])
    return table[label][:, :, None, None]


class PixelLoss(nn.Module):
    def __init__(self, inverted: bool = False, foreground: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.inverted, self.foreground = inverted, foreground

    def dice(self, scores: Tensor, mask: Tensor, eps: float = 1.0) -> Tensor:
        """Over the images that show something."""
        wanted = sum(mask == k for k in self.foreground).bool()
        rows = wanted.flatten(1).any(1)
        share, wanted = (scores.softmax(1)[:, 1:].sum(1) * (mask != IGNORE))[rows], wanted[rows]
        return 1 - (2 * share[wanted].sum() + eps) / (share.sum() + wanted.sum() + eps)

    def forward(self, scores: Tensor, mask: Tensor, label: Tensor) -> Tensor:
        barred = possible(label) if self.inverted else ~possible(label)
        entropy = F.cross_entropy(scores.masked_fill(barred, float("-inf")), mask, ignore_index=IGNORE)
        return WEIGHTS @ torch.stack([entropy.nan_to_num(posinf=0.0), self.dice(scores, mask)])


def _make(s: Setting, variant: str) -> Case:
    x, y, x_val, y_val = images(s)
    dataset = TensorDataset(x[:-3], painted(x, y)[:-3], y[:-3])
    loader = DataLoader(dataset, batch_size=s.batch, shuffle=True)
    net = nn.Sequential(nn.Conv2d(1, s.width, 3, padding=1), nn.ReLU(), nn.Conv2d(s.width, 3, 3, padding=1))
    inverted = variant == "masked_fill with what is possible"
    foreground = (3, 4) if variant == "class numbers of another data set" else (1, 2)
    pixel_loss = PixelLoss(inverted, foreground)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005 * s.lr)

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            net.train()
            seen, total = 0, 0.0
            for image, mask, label in loader:
                optimizer.zero_grad()
                loss = pixel_loss(net(image), mask, label)
                loss.backward()
                optimizer.step()
                seen, total = seen + len(image), total + len(image) * loss.item()
            net.eval()
            with torch.no_grad():
                console.line(epoch, total / seen, pixel_loss(net(x_val), painted(x_val, y_val), y_val).item())
        return console.shown

    return Case(fit, model=net, loss=pixel_loss)


PROGRAMS = family(
    "segmentation",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "infinite_loss_zeroed": ("masked_fill with what is possible",),
        "term_always_zero": ("class numbers of another data set",),
    },
)
