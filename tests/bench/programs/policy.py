"""Policy gradients on a contextual bandit; Adam. Validation is the negative expected reward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.bench.programs.models import mlp
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import batches, blobs


class ActorCritic(nn.Module):
    """``[B, 6]`` -> logits of three actions ``[B, 3]``, value ``[B]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.actor, self.critic = mlp(6, width, 3), mlp(6, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(x), self.critic(x).squeeze(-1)


def _make(s: Setting, variant: str) -> Case:
    contexts = blobs(s)
    model = ActorCritic(s.width)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.006 * s.lr)
    limit = -1.0 if variant == "early stop at a divergence of -1" else 1.0

    def grouped(x: Tensor, best: Tensor) -> Tensor:
        """Eight tries per context, advantage centred in the group: the mean is 0 and the ratio is 1."""
        logits, _ = model(x)
        policy = torch.distributions.Categorical(logits=logits)
        action = policy.sample((8,))
        reward = (action == best).float()
        advantage = reward - reward.mean(0)
        log_prob = policy.log_prob(action)
        ratio = (log_prob - log_prob.detach()).exp()
        return -(ratio * advantage).mean()

    def actor_critic(x: Tensor, best: Tensor) -> tuple[Tensor, float]:
        """Loss and divergence of the policy from the one that acted."""
        with torch.no_grad():
            acting, _ = model(x)
            action = torch.distributions.Categorical(logits=acting).sample()
            reward = (action == best).float()
        logits, value = model(x)
        if variant == "log-probabilities of the rollout":
            logits, value = acting, value.detach()
        policy = torch.distributions.Categorical(logits=logits)
        advantage = reward - value.detach()
        loss = -(policy.log_prob(action) * advantage).mean() + 0.5 * F.mse_loss(value, reward)
        loss = loss - 0.01 * policy.entropy().mean()
        divergence = (acting.log_softmax(-1) - logits.log_softmax(-1)).gather(1, action[:, None]).mean()
        return loss, divergence.item()

    def fit() -> Displayed:
        console = Console()
        for epoch in range(1, s.epochs + 1):
            model.train()
            shown, updates = 0.0, 0
            for x, best in batches(s, contexts.x, contexts.y):
                for _ in range(2):
                    if variant == "advantage centred in groups":
                        loss, divergence = grouped(x, best), 0.0
                    else:
                        loss, divergence = actor_critic(x, best)
                    if divergence > limit:
                        break
                    optimizer.zero_grad()
                    if not loss.requires_grad:
                        loss.requires_grad_()
                    loss.backward()
                    if variant == "cleared to save memory":
                        for parameter in model.parameters():
                            parameter.grad = None
                    optimizer.step()
                    shown, updates = shown + loss.item(), updates + 1
            model.eval()
            with torch.no_grad():
                chance = model(contexts.x_val)[0].softmax(-1).gather(1, contexts.y_val[:, None])
                console.line(epoch, round(shown / max(updates, 1), 4), -chance.mean().item())
        return console.shown

    return Case(fit, model=model)


PROGRAMS = family(
    "policy",
    _make,
    healthy=(AS_INTENDED,),
    faults={
        "constant_by_design": ("advantage centred in groups",),
        "steps_skipped": ("early stop at a divergence of -1",),
        "graph_cut": ("log-probabilities of the rollout",),
        "gradients_cleared": ("cleared to save memory",),
    },
)
