"""What the loop did: forward, loss, backward and step, counted; and whether anything moved."""

from __future__ import annotations

import numpy as np

from kit.hypotheses.checking import Answer, check, counted, silent
from kit.hypotheses.checks.symptoms import validation_level
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check(
    "Did no training batch pass through the network?", "no training batch", "training batches seen", needs=("training",)
)
def no_batches(seen: Observed, policy: Policy) -> Answer:
    batches, evaluated = seen.total("batches"), seen.total("eval_forwards")
    if batches is None or not (batches or evaluated or seen.over_epochs("train_loss").size):
        return silent("any forward pass")
    none, shown = not batches and not seen.total("backwards"), seen.over_epochs("train_loss")
    # that the loop ran inside the block is known by its evaluations, and that it is the loop by what it displayed
    fact = f"0 batches were drawn for training, and {evaluated:.0f} evaluation passes ran" if none and evaluated else ""
    given = shown.size or "train_loss" in seen.facts.get("displayed", ())  # NaN is displayed as well
    displayed = given and not (np.abs(shown) > policy.reads_zero).any()
    return Answer(none, f"{batches:.0f} training batches", fact if displayed else "")


@check("Did the optimizer take no step, though batches passed?", "no step taken", "steps taken", needs=("training",))
def no_steps(seen: Observed, policy: Policy) -> Answer:
    steps, batches, backwards = seen.total("steps"), seen.total("batches"), seen.total("backwards")
    if steps is None or not (batches or backwards):
        return silent("a training batch")
    said = f"{steps:.0f} steps after {batches or 0:.0f} batches and {backwards or 0:.0f} backward passes"
    drift = seen.over_epochs("drift")
    if steps == 0 and drift.any():  # by hand, or by an optimizer that is none of torch.optim
        return Answer(False, f"{said}; yet the parameters moved by {drift.max():.3g}")
    known = drift.size or "drift" not in seen.epochs  # a training history counts its steps itself
    fact = f"no optimizer step was taken after {backwards or 0:.0f} backward passes" if steps == 0 and known else ""
    return Answer(steps == 0, said, fact)


@check(
    "Does the optimizer step though no backward pass ever ran?",
    "steps without a backward pass",
    "backward passes before the steps",
    needs=("training",),
)
def no_backward(seen: Observed, policy: Policy) -> Answer:
    steps, batches, backwards = seen.total("steps"), seen.total("batches"), seen.total("backwards")
    if not steps or not batches or backwards is None:
        return silent("a step after a training batch")
    unmoved, graphs = parameters_unmoved(seen, policy), seen.over_steps("loss_returned_graph")
    because = f"{backwards:.0f} backward passes before {steps:.0f} steps; {unmoved.because}"
    # torch.autograd.grad runs no backward pass and moves the parameters; a loss that has no graph can have none
    yes = not backwards and unmoved.yes is True and (not graphs.size or bool(graphs.any()))
    return Answer(yes, because, f"0 backward passes ran before {steps:.0f} optimizer steps" if yes else "")


@check(
    "Is there an optimizer that never steps, though it alone holds what runs?",
    "an optimizer never steps",
    "every optimizer steps",
    needs=("steps",),
)
def optimizer_idle(seen: Observed, policy: Policy) -> Answer:
    idle = seen.facts.get("idle_optimizers")
    if idle is None:
        return silent("the optimizers that exist")
    return Answer(bool(idle), f"never stepped: {', '.join(idle)}" if idle else "each of them stepped")


@check(
    "Did the gradient scaler skip most steps?", "gradient scaler skips most steps", "gradient scaler skips few steps"
)
def scaler_skips_most(seen: Observed, policy: Policy) -> Answer:
    skips, steps = seen.total("scaler_skips"), seen.total("steps")
    tried = (skips or 0) + (steps or 0)
    if skips is None or not seen.over_steps("scale").size or tried < policy.enough_steps:
        return silent("a gradient scaler")
    said = f"{skips:.0f} of {tried:.0f} steps were skipped"
    return Answer(skips / tried >= policy.overflow_share, said, f"{said} by the gradient scaler" if not steps else "")


@check(
    "Do backward passes reach only a few of the forward passes?",
    "most batches in no backward pass",
    "batches reach the backward pass",
    needs=("training",),
)
def forwards_unreached(seen: Observed, policy: Policy) -> Answer:
    batches, reached, backwards = seen.total("batches"), seen.total("reached"), seen.total("backwards")
    if backwards and seen.total("loss_calls") is not None and reached is None:
        reached = seen.total("loss_calls")
    if not batches or reached is None or not backwards:
        return silent("which forward passes the loss was computed from")
    return Answer(reached / batches <= policy.reached_share, f"{reached:.0f} of {batches:.0f} forward passes")


@check(
    "Is there at most one step an epoch, in epochs of several batches?",
    "one step an epoch",
    "several steps an epoch",
    needs=("steps",),
)
def one_step_an_epoch(seen: Observed, policy: Policy) -> Answer:
    steps, batches = seen.over_epochs("steps"), seen.over_epochs("batches")
    if not steps.size or not batches.size or not steps.any():
        return silent("an optimizer step")
    if batches.mean() < policy.enough_steps:
        return silent("epochs of several batches")
    return Answer(bool(steps.mean() <= 1), f"{steps.mean():.3g} steps and {batches.mean():.3g} batches an epoch")


@check(
    "Is the learning rate 0 when the optimizer steps?", "learning rate 0", "learning rate above 0", needs=("training",)
)
def learning_rate_zero(seen: Observed, policy: Policy) -> Answer:
    rates = seen.over_steps("lr")
    if not rates.size:
        return silent("the learning rate of a step")
    share = float((rates == 0).mean())
    enough = policy.alternating if seen.evaluated_stands_still else policy.nearly_always
    if 0 < rates.max() <= policy.level and validation_level(seen, policy).yes:
        return Answer(True, f"at most {rates.max():.3g} in {rates.size} steps, and the validation loss stands still")
    moved = seen.over_epochs("drift").any()  # by an optimizer that keeps its rate elsewhere
    fact = f"{counted(rates.size, '')} had the rate 0" if share == 1 and not moved else ""
    return Answer(share >= enough, f"in {share:.0%} of {rates.size} steps; largest {rates.max():.3g}", fact)


@check(
    "Did no parameter move, though steps were taken?", "no parameter changed", "parameters changed", needs=("training",)
)
def parameters_unmoved(seen: Observed, policy: Policy) -> Answer:
    steps, drift = seen.total("steps"), seen.over_epochs("drift")
    moves = drift if drift.size else seen.over_steps("update_norm")
    if not steps or not moves.size:
        return silent("the movement of the parameters over a step")
    fact = "" if moves.any() else f"no parameter changed in {steps:.0f} steps"
    return Answer(not moves.any(), f"the parameters moved by {moves.max():.3g} at most", fact)


@check(
    "Is a good part of the trainable parameters in no optimizer?",
    "parameters in no optimizer",
    "parameters in the optimizer",
    needs=("training",),
)
def parameters_outside_optimizer(seen: Observed, policy: Policy) -> Answer:
    outside, trainable = seen.facts.get("not_in_optimizer_count"), seen.facts.get("trainable")
    if outside is None or not trainable:
        return silent("an optimizer that steps, and the parameters of the model")
    names = ", ".join(list(seen.facts.get("not_in_optimizer") or ())[:3])
    return Answer(
        outside / trainable >= policy.outside_optimizer,
        f"{outside} of {trainable} tensors" + (f" ({names}, ...)" if outside else ""),
        f"none of the {trainable} trainable tensors is in an optimizer" if outside == trainable else "",
    )


@check(
    "Does the optimizer hold parameters of a network that never ran?",
    "optimizer holds another network",
    "optimizer holds this network",
    needs=("training",),
)
def foreign_parameters(seen: Observed, policy: Policy) -> Answer:
    foreign = seen.facts.get("foreign_in_optimizer_count")
    if foreign is None:
        return silent("an optimizer that steps")
    return Answer(foreign > 0, f"{foreign} tensors")


@check("Is no parameter trainable?", "every parameter frozen", "parameters trainable", needs=("training",))
def all_frozen(seen: Observed, policy: Policy) -> Answer:
    trainable, parameters = seen.facts.get("trainable"), seen.facts.get("parameters")
    if trainable is None or not parameters:
        return silent("the parameters of the model")
    said = f"{trainable} of {parameters} tensors are trainable"
    return Answer(trainable == 0, said, "" if trainable else said)


@check(
    "Did parts of the network run that are not registered in it?",
    "parts not registered",
    "all parts registered",
    needs=("training",),
)
def unregistered_parts(seen: Observed, policy: Policy) -> Answer:
    parts = seen.facts.get("unregistered")
    if parts is None:
        return silent("which modules ran inside the network")
    return Answer(bool(parts), f"not registered: {', '.join(parts)}" if parts else "all are registered")
