"""A Wasserstein GAN with weight clipping, three steps of the critic for one of the generator; what is shown crosses 0."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import HELD_OUT

CLIP = 0.3


def sliced_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean distance of the sorted projections on eight directions."""
    angle = torch.arange(8) * torch.pi / 8
    directions = torch.stack([angle.cos(), angle.sin()])
    return ((a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values).abs().mean()


class Wgan:
    def __init__(self, s: Setting, one_draw: bool, clear: bool) -> None:
        self.generator, self.critic = mlp(3, s.width, 2, nn.ReLU), mlp(2, s.width, 1, nn.LeakyReLU)
        self.g_opt = torch.optim.RMSprop(self.generator.parameters(), lr=0.002 * s.lr, alpha=0.9)
        self.c_opt = torch.optim.RMSprop(self.critic.parameters(), lr=0.006 * s.lr, alpha=0.9)
        self.one_draw, self.clear = one_draw, clear

    def fakes(self, n: int) -> Tensor:
        z = torch.randn(3).expand(n, 3) if self.one_draw else torch.randn(n, 3)
        return self.generator(z)

    def critic_step(self, real: Tensor) -> float:
        with torch.no_grad():
            fake = self.fakes(len(real))
        loss = self.critic(fake).mean() - self.critic(real).mean()
        self.c_opt.zero_grad()
        loss.backward()
        self.c_opt.step()
        for parameter in self.critic.parameters():
            parameter.data.clamp_(-CLIP, CLIP)
        return loss.item()

    def generator_step(self, n: int) -> None:
        loss = -self.critic(self.fakes(n)).mean()
        if self.clear:
            self.g_opt.zero_grad()
        loss.backward()
        self.g_opt.step()


def _make(s: Setting, variant: str) -> Case:
    points = torch.tensor([1.5, -1.0]) + torch.tensor([0.6, 0.2]) * torch.randn(HELD_OUT + 12 * s.batch, 2)
    val, data = points.split([HELD_OUT, 12 * s.batch])
    one_draw = variant == "one draw of noise for the whole batch"
    gan = Wgan(s, one_draw, clear=variant != "only the critic has a zero_grad")

    def endless() -> Iterator[Tensor]:
        while True:
            yield from data[torch.randperm(len(data))].split(s.batch)

    def fit() -> Displayed:
        console, stream = Console(), endless()
        for epoch in range(1, s.epochs + 1):
            critic_losses = []
            for _ in range(8):
                critic_losses += [gan.critic_step(next(stream)) for _ in range(3)]
                gan.generator_step(s.batch)
            with torch.no_grad():
                distance = sliced_distance(gan.fakes(HELD_OUT), val)
            console.line(epoch, sum(critic_losses) / len(critic_losses), distance.item())
        return console.shown

    return Case(fit, model=gan.generator)


PROGRAMS = family(
    "wasserstein",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "collapse": ("one draw of noise for the whole batch",),
        "gradients_not_cleared": ("only the critic has a zero_grad",),
    },
)
