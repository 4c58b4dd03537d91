"""What the loop did: forward, loss, backward and step, counted; and whether anything moved."""

from __future__ import annotations

import numpy as np

from kit.hypotheses.checking import Answer, check, counted, silent
from kit.hypotheses.checks.symptoms import validation_level
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check(
    "Did no training batch pass through the network?",
    "no training batch",
    "training batches seen",
    needs=("training",),
    link="data",
    state="missing",
)
def no_batches(seen: Observed, policy: Policy) -> Answer:
    batches, evaluated = seen.total("batches"), seen.total("eval_forwards")
    if batches is None or not (batches or evaluated or seen.over_epochs("train_loss").size):
        return silent("any forward pass")
    none, shown = not batches and not seen.total("backwards"), seen.over_epochs("train_loss")
    if none and not evaluated and shown.size > 1 and np.ptp(shown) > policy.level * np.abs(shown).max():
        return silent("a module or a backward pass, though the displayed train loss moves")
    # that the loop ran inside the block is known by its evaluations, and that it is the loop by what it displayed
    fact = f"0 batches were drawn for training, and {evaluated:.0f} evaluation passes ran" if none and evaluated else ""
    given = shown.size or "train_loss" in seen.facts.get("displayed", ())  # NaN is displayed as well
    displayed = given and not (np.abs(shown) > policy.reads_zero).any()
    return Answer(none, f"{batches:.0f} training batches", fact if displayed else "")


@check(
    "Did the optimizer take no step, though batches passed?",
    "no step taken",
    "steps taken",
    needs=("training",),
    link="optimizer",
    state="missing",
)
def no_steps(seen: Observed, policy: Policy) -> Answer:
    steps, batches, backwards = seen.total("steps"), seen.total("batches"), seen.total("backwards")
    if steps is None or not (batches or backwards):
        return silent("a training batch")
    said = f"{steps:.0f} steps after {batches or 0:.0f} batches and {backwards or 0:.0f} backward passes"
    drift = seen.over_epochs("drift")
    if steps == 0 and drift.any():  # by hand, or by an optimizer that is none of torch.optim
        return Answer(False, f"{said}; yet the parameters moved by {drift.max():.3g}")
    known = drift.size or "drift" not in seen.epochs  # a training history counts its steps itself
    none = f"no optimizer step was taken after {backwards or 0:.0f} backward passes"
    if seen.facts.get("optimizers") == []:  # an optimizer of another package may step unseen, at a rate of 0
        none = f"no step of torch.optim was taken after {backwards or 0:.0f} backward passes"
    fact = none if steps == 0 and known else ""
    return Answer(steps == 0, said, fact)


@check(
    "Does the optimizer step though no backward pass ever ran?",
    "steps without a backward pass",
    "backward passes before the steps",
    needs=("training",),
    link="backward",
    state="missing",
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
    link="optimizer",
    state="missing",
)
def optimizer_idle(seen: Observed, policy: Policy) -> Answer:
    idle = seen.facts.get("idle_optimizers")
    if idle is None:
        return silent("the optimizers that exist")
    said = f"never stepped: {', '.join(idle)}" if idle else "each of them stepped"
    return Answer(
        bool(idle),
        said,
        f"{', '.join(idle)} never stepped, and no other optimizer holds its parameters" if idle else "",
        part=True,
    )


@check(
    "Did the gradient scaler skip most steps?",
    "gradient scaler skips most steps",
    "gradient scaler skips few steps",
    link="optimizer",
    state="missing",
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
    link="backward",
    state="missing",
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
    link="optimizer",
)
def one_step_an_epoch(seen: Observed, policy: Policy) -> Answer:
    steps, batches = seen.over_epochs("steps"), seen.over_epochs("batches")
    if not steps.size or not batches.size or not steps.any():
        return silent("an optimizer step")
    if batches.mean() < policy.enough_steps:
        return silent("epochs of several batches")
    return Answer(bool(steps.mean() <= 1), f"{steps.mean():.3g} steps and {batches.mean():.3g} batches an epoch")


@check(
    "Is the learning rate 0 when the optimizer steps?",
    "learning rate 0",
    "learning rate above 0",
    needs=("training",),
    link="optimizer",
    state="zero",
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
    "Did no parameter move, though steps were taken?",
    "no parameter changed",
    "parameters changed",
    needs=("training",),
    link="parameters",
    state="constant",
)
def parameters_unmoved(seen: Observed, policy: Policy) -> Answer:
    steps, drift = seen.total("steps"), seen.over_epochs("drift")
    moves = np.concatenate([drift, seen.over_steps("update_norm")])
    if not steps or not moves.size:
        return silent("the movement of the parameters over a step")
    fact = "" if moves.any() else f"no parameter changed in {steps:.0f} steps"
    return Answer(not moves.any(), f"the parameters moved by {moves.max():.3g} at most", fact)


@check(
    "Is a good part of the trainable parameters in no optimizer?",
    "parameters in no optimizer",
    "parameters in the optimizer",
    needs=("training",),
    link="parameters",
    state="missing",
)
def parameters_outside_optimizer(seen: Observed, policy: Policy) -> Answer:
    outside, trainable = seen.facts.get("not_in_optimizer_count"), seen.facts.get("trainable")
    if outside is None or not trainable:
        return silent("an optimizer that steps, and the parameters of the model")
    names = ", ".join(list(seen.facts.get("not_in_optimizer") or ())[:3])
    return Answer(
        outside / trainable >= policy.outside_optimizer,
        f"{outside} of {trainable} tensors are in none" + (f" ({names}, ...)" if outside else ""),
        f"none of the {trainable} trainable tensors is in an optimizer" if outside == trainable else "",
    )


@check(
    "Does the optimizer hold parameters of a network that never ran?",
    "optimizer holds another network",
    "optimizer holds this network",
    needs=("training",),
    link="parameters",
    state="replaced",
)
def foreign_parameters(seen: Observed, policy: Policy) -> Answer:
    foreign = seen.facts.get("foreign_in_optimizer_count")
    if foreign is None:
        return silent("an optimizer that steps")
    return Answer(foreign > 0, f"{foreign} tensors")


@check(
    "Is no parameter trainable?",
    "every parameter frozen",
    "parameters trainable",
    needs=("training",),
    link="parameters",
    state="constant",
)
def all_frozen(seen: Observed, policy: Policy) -> Answer:
    trainable, parameters = seen.facts.get("trainable"), seen.facts.get("parameters")
    if trainable is None or not parameters:
        return silent("the parameters of the model")
    said = f"{trainable} of {parameters} tensors are trainable"
    if not trainable and seen.over_epochs("drift").any():  # a trainer may freeze them for as long as it evaluates
        return Answer(False, f"{said} at the end, and they moved before")
    return Answer(trainable == 0, said, "" if trainable else said)


@check(
    "Did parts of the network run that are not registered in it?",
    "parts not registered",
    "all parts registered",
    needs=("training",),
    link="parameters",
    state="missing",
)
def unregistered_parts(seen: Observed, policy: Policy) -> Answer:
    parts = seen.facts.get("unregistered")
    if parts is None:
        return silent("which modules ran inside the network")
    left = ", ".join(seen.facts.get("unregistered_left_out") or ())
    fact = (
        f"{left} ran in the network and got gradients, is registered nowhere in it, and no optimizer holds it"
        if left
        else ""
    )
    return Answer(
        bool(parts), f"not registered: {', '.join(parts)}" if parts else "all are registered", fact, part=True
    )


def _zeros_at_the_end(seen: Observed, policy: Policy) -> str:
    """Of a run whose epochs are known by what was displayed only; "" if its batches did not end."""
    shown, validation = seen.over_epochs("train_loss"), seen.over_epochs("val_loss")
    above = np.flatnonzero(shown)
    if not above.size or len(validation) != len(shown):
        return ""
    zeros, trained = len(shown) - above[-1] - 1, int((seen.over_epochs("backwards") > 0).sum())
    losses = seen.losses
    if above.size == 1 and losses.size and np.isclose(shown[above[0]], losses.mean(), rtol=policy.display_slack):
        trained = 1  # all batches are of the one epoch that displays their mean
    # a network that stays in training mode is evaluated in passes beside the training
    passes = (seen.total("eval_forwards") or 0) + (seen.total("side_forwards") or 0)
    evaluated = passes >= len(shown)
    if zeros < policy.enough_steps - 1 or trained > len(shown) - zeros or np.ptp(validation[-zeros:]) or not evaluated:
        return ""
    return f"train reads 0 and validation stands still in the last {zeros} of {len(shown)} epochs, and {trained} had a batch"


@check(
    "Did the training batches end while epochs went on?",
    "no batch in later epochs",
    "batches in every epoch",
    needs=("training",),
    link="data",
    state="missing",
)
def batches_run_dry(seen: Observed, policy: Policy) -> Answer:
    if said := _zeros_at_the_end(seen, policy):
        return Answer(True, said, said)
    if not {"batches", "eval_forwards", "train_loss"} <= set(seen.epochs):
        return silent("training batches by epoch")
    table = seen.epochs[["batches", "eval_forwards"]].fillna(0.0)
    drawn = np.flatnonzero(table["batches"].to_numpy() > 0)
    if len(table) < policy.enough_steps or not drawn.size:
        return silent("several epochs with training batches")
    later = table.iloc[drawn[-1] + 1 :]
    dry = len(later) >= policy.long_share * len(table) and bool((later["eval_forwards"] > 0).all())
    said = f"the last epoch with a training batch is {drawn[-1] + 1} of {len(table)}"
    fact = f"epochs {drawn[-1] + 2} to {len(table)} were evaluated and had no training batch" if dry else ""
    return Answer(dry, said, fact)


@check(
    "Are there whole epochs of backward passes without a step?",
    "epochs without a step",
    "steps in every epoch",
    needs=("training",),
    link="optimizer",
    state="missing",
)
def epochs_without_step(seen: Observed, policy: Policy) -> Answer:
    if not {"steps", "backwards", "scaler_skips"} <= set(seen.epochs):
        return silent("steps by epoch")
    table = seen.epochs[["steps", "backwards", "scaler_skips"]].dropna()
    table = table[(table["backwards"] >= policy.enough_steps) & (table["scaler_skips"] == 0)]
    if len(table) < policy.enough_steps or not table["steps"].any():
        return silent("several epochs with backward passes and steps")
    none = int((table["steps"] == 0).sum())
    yes, passes = none >= policy.long_share * len(table), table["backwards"].median()
    fact = f"no step was taken in {none} of {len(table)} epochs of {passes:.0f} backward passes" if yes else ""
    return Answer(yes, f"{none} of {len(table)} epochs had none", fact)


@check(
    "Does an optimizer take many steps without any gradient?",
    "steps without a gradient",
    "a gradient at every step",
    needs=("training",),
    link="gradients",
    state="missing",
)
def steps_without_gradient(seen: Observed, policy: Policy) -> Answer:
    rows = seen.optimizers(policy.enough_steps)
    if not rows:
        return silent("what each optimizer was handed")
    worst = max(rows, key=lambda row: row["without_gradient"] / row["looked"])
    none, looked = worst["without_gradient"], worst["looked"]
    yes = policy.long_share * looked <= none < looked
    said = f"{worst['kind']} ({worst['source']}) had no gradient in {none:.0f} of {looked:.0f} steps"
    return Answer(yes, said, said if yes else "")


@check(
    "Does one of several optimizers step without any gradient, though its parameters are reached?",
    "one optimizer without gradients",
    "each optimizer has gradients",
    needs=("training",),
    link="gradients",
    state="missing",
)
def one_optimizer_without_gradient(seen: Observed, policy: Policy) -> Answer:
    rows = seen.optimizers(policy.enough_steps)
    if len(rows) < 2:
        return silent("several optimizers that step")
    none = [row for row in rows if row["without_gradient"] == row["looked"] and row["fed"]]
    if not 0 < len(none) < len(rows):
        return Answer(False, "each of them had none" if none else "each of them had some")
    said = f"every gradient was gone when {none[0]['kind']} stepped ({none[0]['source']}), in {none[0]['looked']:.0f} steps"
    return Answer(True, said, said, part=True)


@check(
    "Does the learning rate fall to nothing before the run ends?",
    "learning rate falls to nothing",
    "learning rate does not vanish",
    needs=("training",),
    link="optimizer",
    state="zero",
)
def learning_rate_vanishes(seen: Observed, policy: Policy) -> Answer:
    rates = seen.over_steps("lr")
    if rates.size < policy.enough_steps or not rates.max():
        return silent("learning rates above 0 over several steps")
    left = np.flatnonzero(rates > policy.rate_gone * rates.max())[-1] + 1
    gone = rates.size - left
    yes = gone >= max(policy.enough_steps, policy.long_share * rates.size)
    said = f"from {rates.max():.3g} to {rates[-1]:.3g}"
    return Answer(
        bool(yes), said, f"the learning rate fell {said} and was gone after {left} of {rates.size} steps" if yes else ""
    )


@check(
    "Are there gradients in every step, and no optimizer step uses them?",
    "gradients, and no step",
    "gradients are used by steps",
    needs=("training",),
    link="optimizer",
    state="missing",
)
def gradients_without_step(seen: Observed, policy: Policy) -> Answer:
    table, none = seen.together("grad_norm", "grad_nonfinite"), no_steps(seen, policy)
    if len(table) < policy.enough_steps or none.yes is None:
        return silent("gradients of several steps, and steps")
    there = bool(((table["grad_norm"] > 0) & (table["grad_nonfinite"] == 0)).mean() >= policy.nearly_always)
    yes = there and none.yes and bool(none.fact)
    return Answer(yes, none.because, f"{none.fact} that left a gradient" if yes else "")


@check(
    "Do steps with a gradient and a rate above 0 leave the parameters bit for bit as they are?",
    "updates rounded away",
    "updates large enough to be kept",
    needs=("training",),
    link="parameters",
    state="constant",
)
def update_rounded(seen: Observed, policy: Policy) -> Answer:
    lost = seen.facts.get("update_lost")  # measured number by number, before the run
    table = seen.together("steps", "lr", "seen_norm", "update_norm")
    table = table[(table["steps"] > 0) & (table["lr"] > 0) & (table["seen_norm"] > 0) & np.isfinite(table["seen_norm"])]
    if lost is None and len(table) < policy.enough_steps:
        return silent("steps with a gradient and a learning rate above 0")
    if lost is not None:
        yes, said = (
            lost >= policy.lost_share,
            f"{lost:.0%} of the numbers with a gradient were as before the first step",
        )
    else:
        yes = bool((table["update_norm"] == 0).all())
        said = f"gradient norm {table['seen_norm'].median():.3g}, rate {table['lr'].median():.3g}, parameters changed by {table['update_norm'].max():.3g} at most"
    return Answer(yes, said, said if yes else "")
