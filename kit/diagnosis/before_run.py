"""Check model, loss, batch and optimizer before the run: a few steps on one batch, then everything is as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from kit.diagnosis.judging import diagnose
from kit.diagnosis.one_batch import OneBatch, learned
from kit.diagnosis.result import Diagnosis
from kit.hypotheses import Observed
from kit.recording import Trace, watch
from kit.stepgraph.arguments import check_step, kind
from kit.stepgraph.sandbox import Sandbox

_LEAST = 5
_RATE = 1e-3  # of the optimizer that is used if none is given
_LATER = ("not_displayed", "model_not_called")  # what only a run can show


def check(
    model: nn.Module,
    loss: Any,
    batch: Any,
    optimizer: Any = None,
    *more: Any,
    predict: Callable[[nn.Module, Any], Any] | None = None,
    steps: int = 20,
) -> Diagnosis:
    """Look at one batch before the run, and take a few steps on it.

        found = kit.check(model, loss, (inputs, target), optimizer)
        print(found)

    It answers what a run would: is every parameter reached and in the optimizer, does every term train something, are targets
    supervised, is anything NaN, does a step change the parameters. ``found.notes`` adds what one batch alone can tell: whether it
    gives the same loss twice, whether its samples mix, and how far the steps get below one prediction for all samples.
    Weights, gradients, buffers, optimizer state and random state are afterwards bitwise what they were. What only a run shows
    (evaluation, displayed numbers, later batches) is not observed. A rate of 0 with which a warm-up begins is replaced by the
    rate that it aims at.

    Args:
        model, loss, batch, predict: as for ``kit.probe``: ``loss(model(inputs), target)``.
        optimizer: as it is configured, or a list of those that step together; AdamW at a rate of 0.001 if none is given.
        steps: optimizer steps, at least five.
    Raises:
        TypeError, ValueError: parts of another kind. What model and loss raise comes up as its kind.
    """
    check_step(model, loss, batch, more)
    given = [] if optimizer is None else list(optimizer) if isinstance(optimizer, tuple | list) else [optimizer]
    for one in given:
        if not all(callable(getattr(one, name, None)) for name in ("step", "zero_grad")):
            raise TypeError(f"optimizer should have step() and zero_grad(), or be a list of such. Found {kind(one)}.")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < _LEAST:
        raise ValueError(f"steps should be a whole number >= {_LEAST}. Found steps = {steps!r}.")
    with torch.inference_mode(False), torch.enable_grad(), Sandbox(model, loss, predict, *given) as box:
        step = OneBatch(model, loss, batch, predict, box)
        notes = [step.repeats()]
        constant = step.constant()
        notes.append(step.mixes())
        warming = _warmed_up(given)
        trace, losses, lost = _trained(step, given or _usual(model, loss), steps)
    notes.append(learned(losses, constant))
    if warming:
        notes.append(f"An optimizer stands at a rate of 0, as a warm-up begins; the steps here took {warming:.3g}.")
    facts = {**trace.facts, "update_lost": lost}
    found = diagnose(Observed(trace.steps, trace.epochs, facts, trace.terms))
    lacks = tuple(notice for notice in found.lacks if notice.key not in _LATER)
    return replace(found, lacks=lacks, notes=tuple(filter(None, notes)))


def _usual(model: nn.Module, loss: Any) -> list[torch.optim.Optimizer]:
    owners = [part for part in (model, loss) if isinstance(part, nn.Module)]
    held = {id(p): p for owner in owners for p in owner.parameters() if p.requires_grad}
    return [torch.optim.AdamW(held.values(), lr=_RATE)] if held else []


def _warmed_up(optimizers: Sequence[Any]) -> float:
    """The largest rate that a warm-up from 0 aims at, set in every group that stands at 0; 0 where there is none."""
    groups = [group for one in optimizers for group in getattr(one, "param_groups", ()) if not group.get("lr", 1)]
    for group in groups:
        group["lr"] = group.get("initial_lr", 0.0)
    return float(max((group["lr"] for group in groups), default=0.0))


def _trained(step: OneBatch, optimizers: Sequence[Any], steps: int) -> tuple[Trace, list[float], float | None]:
    """The recorded steps; the loss before each of them and after the last; the share of updates that the first one lost."""
    losses, lost = [], None
    step.model.train()
    with watch(step.model, loss=step.loss if isinstance(step.loss, nn.Module) else None) as run:
        for number in range(steps):
            losses.append(_backward(step, optimizers))
            before = _with_gradient(optimizers) if number == 0 else []
            for one in optimizers:
                one.step(*_closure(one, step))
            lost = _lost(before) if before else lost
    losses.append(step.total().item())
    return run.trace, losses, lost


def _backward(step: OneBatch, optimizers: Sequence[Any]) -> float:
    for one in optimizers:
        one.zero_grad()
    total = step.total()
    try:
        total.backward()
    except RuntimeError:
        if total.requires_grad:
            raise
    return total.item()


def _closure(optimizer: Any, step: OneBatch) -> tuple[Callable[[], Tensor], ...]:
    """For an optimizer that cannot step without one, as LBFGS."""
    asked = inspect.signature(optimizer.step).parameters.get("closure")
    if asked is None or asked.default is not inspect.Parameter.empty:
        return ()

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = step.total()
        total.backward()
        return total

    return (closure,)


def _with_gradient(optimizers: Sequence[Any]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Each parameter that a rate above 0 moves, what it holds, and where its gradient is not 0."""
    groups = [group for one in optimizers for group in getattr(one, "param_groups", ())]
    held = {id(p): p for group in groups if group.get("lr", 1) > 0 for p in group["params"] if p.grad is not None}
    return [(p, p.detach().clone(), p.grad != 0) for p in held.values() if torch.isfinite(p.grad).all()]


def _lost(before: Sequence[tuple[Tensor, Tensor, Tensor]]) -> float | None:
    """Of the numbers with a gradient, the share that the step left as they were."""
    fed = sum(int(has.sum()) for _, _, has in before)
    same = sum(int(((p.detach() == old) & has).sum()) for p, old, has in before)
    return same / fed if fed else None
