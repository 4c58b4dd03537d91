"""What the loop did: forward, loss, backward and step, counted; and whether anything moved."""

from __future__ import annotations

from kit.hypotheses.check import Answer, check, silent
from kit.hypotheses.checks.symptoms import validation_level
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check("Did no training batch pass through the network?")
def no_batches(seen: Observed, policy: Policy) -> Answer:
    batches, evaluated = seen.total("batches"), seen.total("eval_forwards")
    if batches is None or not (batches or evaluated or seen.over_epochs("train_loss").size):
        return silent("any forward pass")
    return Answer(not batches and not seen.total("backwards"), f"{batches:.0f} training batches")


@check("Did the optimizer take no step, though batches passed?")
def no_steps(seen: Observed, policy: Policy) -> Answer:
    steps, batches, backwards = seen.total("steps"), seen.total("batches"), seen.total("backwards")
    if steps is None or not (batches or backwards):
        return silent("a training batch")
    counted = f"{steps:.0f} steps after {batches or 0:.0f} batches and {backwards or 0:.0f} backward passes"
    drift = seen.over_epochs("drift")
    if steps == 0 and drift.any():  # by hand, or by an optimizer that is none of torch.optim
        return Answer(False, f"{counted}; yet the parameters moved by {drift.max():.3g}")
    return Answer(steps == 0, counted)


@check("Does the optimizer step though no backward pass ever ran?")
def no_backward(seen: Observed, policy: Policy) -> Answer:
    steps, batches, backwards = seen.total("steps"), seen.total("batches"), seen.total("backwards")
    if not steps or not batches or backwards is None:
        return silent("a step after a training batch")
    unmoved, graphs = parameters_unmoved(seen, policy), seen.turns("loss_returned_graph")
    because = f"{backwards:.0f} backward passes before {steps:.0f} steps; {unmoved.because}"
    # torch.autograd.grad runs no backward pass and moves the parameters; a loss that has no graph can have none
    return Answer(not backwards and unmoved.yes is True and (not graphs.size or bool(graphs.any())), because)


@check("Is there an optimizer that never steps, though it alone holds what runs?")
def optimizer_idle(seen: Observed, policy: Policy) -> Answer:
    idle = seen.facts.get("idle_optimizers")
    if idle is None:
        return silent("the optimizers that are alive")
    return Answer(bool(idle), f"never stepped: {', '.join(idle)}" if idle else "each of them stepped")


@check("Did the gradient scaler skip most steps?")
def scaler_skips_most(seen: Observed, policy: Policy) -> Answer:
    skips, steps = seen.total("scaler_skips"), seen.total("steps")
    tried = (skips or 0) + (steps or 0)
    if not seen.turns("scale").size or tried < policy.enough_turns:
        return silent("a gradient scaler")
    return Answer(skips / tried >= policy.overflow_share, f"{skips:.0f} of {tried:.0f} steps were skipped")


@check("Do backward passes reach only a few of the forward passes?")
def forwards_unreached(seen: Observed, policy: Policy) -> Answer:
    batches, reached, backwards = seen.total("batches"), seen.total("reached"), seen.total("backwards")
    if backwards and seen.total("loss_calls") is not None and reached is None:
        reached = seen.total("loss_calls")
    if not batches or reached is None or not backwards:
        return silent("which forward passes the loss was computed from")
    return Answer(reached / batches <= policy.reached_share, f"{reached:.0f} of {batches:.0f} forward passes")


@check("Is there at most one step an epoch, in epochs of several batches?")
def one_step_an_epoch(seen: Observed, policy: Policy) -> Answer:
    steps, batches = seen.over_epochs("steps"), seen.over_epochs("batches")
    if not steps.size or not batches.size or not steps.any():
        return silent("an optimizer step")
    if batches.mean() < policy.enough_turns:
        return silent("epochs of several batches")
    return Answer(bool(steps.mean() <= 1), f"{steps.mean():.3g} steps and {batches.mean():.3g} batches an epoch")


@check("Is the learning rate 0 when the optimizer steps?")
def learning_rate_zero(seen: Observed, policy: Policy) -> Answer:
    rates = seen.turns("lr")
    if not rates.size:
        return silent("the learning rate of a step")
    share = float((rates == 0).mean())
    enough = policy.in_turns if seen.evaluated_stands_still else policy.nearly_always
    if 0 < rates.max() <= policy.level and validation_level(seen, policy).yes:
        return Answer(True, f"at most {rates.max():.3g} in {rates.size} steps, and the validation loss stands still")
    return Answer(share >= enough, f"in {share:.0%} of {rates.size} steps; largest {rates.max():.3g}")


@check("Did no parameter move, though steps were taken?")
def parameters_unmoved(seen: Observed, policy: Policy) -> Answer:
    steps, drift = seen.total("steps"), seen.over_epochs("drift")
    moves = drift if drift.size else seen.turns("update_norm")
    if not steps or not moves.size:
        return silent("the movement of the parameters over a step")
    return Answer(not moves.any(), f"the parameters moved by {moves.max():.3g} at most")


@check("Is a good part of the trainable parameters in no optimizer?")
def parameters_outside_optimizer(seen: Observed, policy: Policy) -> Answer:
    outside, trainable = seen.facts.get("not_in_optimizer_count"), seen.facts.get("trainable")
    if outside is None or not trainable:
        return silent("an optimizer that steps, and the parameters of the model")
    names = ", ".join(list(seen.facts.get("not_in_optimizer") or ())[:3])
    return Answer(
        outside / trainable >= policy.outside_optimizer,
        f"{outside} of {trainable} tensors" + (f" ({names}, ...)" if outside else ""),
    )


@check("Does the optimizer hold parameters of a network that never ran?")
def foreign_parameters(seen: Observed, policy: Policy) -> Answer:
    foreign = seen.facts.get("foreign_in_optimizer_count")
    if foreign is None:
        return silent("an optimizer that steps")
    return Answer(foreign > 0, f"{foreign} tensors")


@check("Is no parameter trainable?")
def all_frozen(seen: Observed, policy: Policy) -> Answer:
    trainable, parameters = seen.facts.get("trainable"), seen.facts.get("parameters")
    if trainable is None or not parameters:
        return silent("the parameters of the model")
    return Answer(trainable == 0, f"{trainable} of {parameters} tensors are trainable")


@check("Did parts of the network run that are not registered in it?")
def unregistered_parts(seen: Observed, policy: Policy) -> Answer:
    parts = seen.facts.get("unregistered")
    if parts is None:
        return silent("which modules ran inside the network")
    return Answer(bool(parts), f"not registered: {', '.join(parts)}" if parts else "all are registered")
