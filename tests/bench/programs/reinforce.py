"""REINFORCE with a baseline, a reference policy and normalised advantages; the loss is around 0, validation is -reward."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence

from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, blobs


@dataclass
class Options:
    kl_coef: float = 0.02
    vf_coef: float = 0.25
    tries: int = 3
    eps: float = 1e-6


class Agent(nn.Module):
    """``[B, 6]`` -> policy over three actions, value ``[B]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(6, width), nn.Tanh())
        self.actions, self.value = nn.Linear(width, 3), nn.Linear(width, 1)

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        h = self.shared(state)
        return self.actions(h), self.value(h).squeeze(-1)


def _make(s: Setting, variant: str) -> Case:
    data, opt = blobs(s), Options()
    if variant == "no reference":
        opt.kl_coef = 0.0
    agent = Agent(s.width)
    reference = agent if variant == "the reference is an alias" else copy.deepcopy(agent).eval()
    optimizer = torch.optim.Adam(agent.parameters(), lr=0.008 * s.lr)
    pays = torch.eye(3) - 0.1  # of an action, by the kind of context

    def update(state: Tensor, kind: Tensor) -> float:
        logits, value = agent(state)
        policy = Categorical(logits=logits)
        action = policy.sample()
        reward = pays[kind].gather(1, action[:, None])
        if variant != "the reward keeps its column":
            reward = reward[:, 0]
        advantage = reward - value.detach()
        advantage = (advantage - advantage.mean()) / (advantage.std() + opt.eps)
        with torch.no_grad():
            before = Categorical(logits=reference(state)[0])
        loss = -(policy.log_prob(action) * advantage).mean()
        loss += opt.vf_coef * (value - reward).pow(2).mean() + opt.kl_coef * kl_divergence(policy, before).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            losses = [update(*batch) for _ in range(opt.tries) for batch in batches(s, data.x, data.y)]
            with torch.no_grad():
                chances = agent(data.x_val)[0].softmax(-1)
                console.line(epoch, sum(losses) / len(losses), -(chances * pays[data.y_val]).sum(-1).mean().item())
        return console.shown

    return Case(fit, model=agent)


PROGRAMS = family(
    "reinforce",
    _make,
    healthy=(AS_INTENDED, "no reference"),
    faults={
        "broadcast": ("the reward keeps its column",),
        "reference_is_policy": ("the reference is an alias",),
    },
)
