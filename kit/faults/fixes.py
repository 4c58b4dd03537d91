"""The fix of each hypothesis, as its author would make it: applied to a loop whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

import torch
from torch.nn import Linear

from kit.faults.base import heads_of
from kit.loss import TRAINER_AFTER_FIX, UltimateHybridLoss
from kit.training import RunningLoss, TrainingConfig, TrainingLoop, apply_hpo_loss_weights, predict

Fix = Callable[[TrainingLoop], None]
_ADVISED_BLEND = TrainingConfig().blend


def set_weights_explicitly(loop: TrainingLoop) -> None:
    """Option 1: every weight as the report's trainer after the fix has it (lam_cov = 1.0), in every epoch, in the loss's own sum."""
    loss = loop.loss
    if type(loss) is not UltimateHybridLoss:
        loop.loss = UltimateHybridLoss(
            array=loss.array,
            k_max=loss.k_max,
            load=loss.load,
            rho=loss.rho,
            alpha0=loss.alpha0,
            range_floor=loss.range_floor,
        )

    def set_weights(epoch: int) -> None:
        loop.loss.set_weights(TRAINER_AFTER_FIX)

    set_weights(0)
    loop.set_weights = set_weights


def guard_search_weights(loop: TrainingLoop) -> None:
    """Option 2: search weights that do not name lam_cov mean 1.0; a search weight of 0 is not applied."""
    weights = {name: value for name, value in loop.config.search_weights.items() if value != 0}
    apply_hpo_loss_weights(loop.loss, weights)
    scheduled = loop.set_weights

    def set_weights(epoch: int) -> None:
        scheduled(epoch)
        if loop.loss.lam_cov == 0:
            loop.loss.lam_cov = 1.0

    loop.set_weights = set_weights


def pass_blend(loop: TrainingLoop) -> None:
    """R_blend is passed, with the default share."""
    loop.config = replace(loop.config, blend=loop.config.blend or _ADVISED_BLEND)


def revive_outputs(loop: TrainingLoop) -> None:
    """Nothing multiplies the outputs, and heads whose parameters are all 0 are drawn anew, by the seed of the run."""
    loop.predict = predict
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(loop.config.seed)
        for head in heads_of(loop).values():
            if not any(parameter.any() for parameter in head.parameters()):
                cast(Linear, head).reset_parameters()


def stop_nan(loop: TrainingLoop) -> None:
    """The source of NaN is gone: the network's own outputs and gradients, and a loss that is read as it is."""
    loop.predict = predict
    loop.before_backward = loop.after_backward = lambda: None
    loop.read_loss = lambda total: float(total.detach())


def loss_inside_loop(loop: TrainingLoop) -> None:
    """Loss, backward and step for every batch."""
    loop.steps_of = lambda epoch, running: TrainingLoop.steps_of(loop, epoch, running)


def count_every_batch(loop: TrainingLoop) -> None:
    """Every batch's loss is added to the displayed mean, stepped or not."""
    loop.new_running_loss = RunningLoss


def restore_learning_rate(loop: TrainingLoop) -> None:
    """The rates of the config, warmed up as planned: from half of them, never from 0."""
    fresh = TrainingLoop(loop.model, loop.loss, loop.data, loop.config, loop.validation)
    loop.optimizer, loop.scheduler = fresh.optimizer, fresh.scheduler


# hypothesis -> its fix
FIXES: Mapping[str, Fix] = MappingProxyType(
    {
        "loss_weights": set_weights_explicitly,
        "loss_initialisation": guard_search_weights,
        "missing_prediction": pass_blend,
        "zero_outputs": revive_outputs,
        "nan_gradients": stop_nan,
        "loss_outside_loop": loss_inside_loop,
        "zero_learning_rate": restore_learning_rate,
        "wrong_number": count_every_batch,
    }
)
