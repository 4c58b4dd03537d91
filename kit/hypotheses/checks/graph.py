"""What the graph of a step shows: terms, weights, branches, and operations that are rarely meant."""

from __future__ import annotations

import math

import numpy as np

from kit.hypotheses.checking import Answer, check, silent
from kit.hypotheses.checks.gradients import gradient_zero, loss_without_graph
from kit.hypotheses.checks.outputs import (
    an_output_stays_zero,
    batch_of_one,
    one_class,
    outputs_all_zero,
    prediction_missing,
)
from kit.hypotheses.checks.symptoms import loss_zero, spoken
from kit.hypotheses.checks.weights import (
    all_weights_zero,
    main_weight_zero,
    term_unreached,
    terms_cancel,
    weight_without_term,
)
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy

_NAMED = 4


@check(
    "Is a term of the total 0 in every step, whose weight is not?",
    "a term always 0",
    "no term always 0",
    link="term",
    state="zero",
)
def term_always_zero(seen: Observed, policy: Policy) -> Answer:
    terms, zero = seen.facts.get("terms_read"), seen.facts.get("terms_always_zero")
    if not terms or zero is None:
        return silent("the terms of the total, read from its graph")
    if len(zero) == len(terms):
        return Answer(False, "every term is: the total itself is 0")
    fact = f"{_list(zero)} was 0 in every step that was read" if zero and _enough(seen, policy) else ""
    return Answer(
        bool(zero), f"0 in every step: {_list(zero)}" if zero else f"each of {len(terms)} was not", fact, part=True
    )


@check(
    "Is the weight of every term of the total 0?",
    "every weight in the total 0",
    "a weight in the total is not 0",
    link="weight",
    state="zero",
)
def graph_weights_zero(seen: Observed, policy: Policy) -> Answer:
    terms, zero = seen.facts.get("terms_read"), seen.facts.get("terms_weighed_zero")
    if not terms or zero is None:
        return silent("the weights of the total, read from its graph")
    every = len(zero) == len(terms)
    fact = f"the weight of {_list(zero)} was 0 in every step that was read" if every else ""
    return Answer(every, f"weighed with 0: {_list(zero)}" if zero else "no term was weighed with 0", fact)


@check(
    "Is the gradient of a part of the network exactly 0 in every step?",
    "a branch with gradient 0",
    "no branch with gradient 0",
    link="gradients",
    state="zero",
)
def branch_gradient_zero(seen: Observed, policy: Policy) -> Answer:
    zero, trainable = seen.facts.get("zero_gradients") or [], seen.facts.get("trainable")
    if "terms_read" not in seen.facts or not trainable:
        return silent("gradients by name")
    part = 0 < len(zero) < trainable
    if len(zero) == trainable:
        return _every_gradient_zero(seen, policy, trainable)
    fact = (
        f"the gradient of {_list(zero)} was exactly 0 in every step that was read"
        if part and _enough(seen, policy)
        else ""
    )
    return Answer(part, f"{len(zero)} of {trainable} tensors", fact, part=True)


def _every_gradient_zero(seen: Observed, policy: Policy, trainable: int) -> Answer:
    """Of a loss that is not 0, from outputs that are not: what leads to the parameters multiplies by 0."""
    losses = seen.losses
    flat = not losses.any() or np.ptp(losses) <= policy.level * np.abs(losses).max()
    if flat or gradient_zero(seen, policy).yes is not True or any(other(seen, policy).yes for other in _ZERO_BY):
        return Answer(False, f"all of {trainable} tensors, and the loss says why")
    said = f"the gradient of each of {trainable} trained tensors was exactly 0 in every step that was read, though the loss was not"
    return Answer(True, f"all of {trainable} tensors", said)


@check(
    "Is a prediction [n, 1] compared with a target [n]?",
    "silent broadcasting",
    "no silent broadcasting",
    link="term",
    state="replaced",
)
def broadcasts(seen: Observed, policy: Policy) -> Answer:
    return _operation(seen, "broadcast", "no loss that pairs every sample with every other")


@check(
    "Is an activation applied that the loss applies itself?",
    "activation applied twice",
    "no activation applied twice",
    link="outputs",
    state="replaced",
)
def activation_twice(seen: Observed, policy: Policy) -> Answer:
    return _operation(seen, "double_activation", "no activation before one of its kind")


@check(
    "Is an infinite loss turned to 0?",
    "an infinite loss turned to 0",
    "no infinite loss turned to 0",
    link="term",
    state="replaced",
)
def infinity_zeroed(seen: Observed, policy: Policy) -> Answer:
    return _operation(seen, "infinity_zeroed", "none was seen")


@check(
    "Is NaN or infinity replaced in what is differentiated?",
    "NaN replaced in the loss",
    "no NaN replaced in the loss",
    link="term",
    state="replaced",
)
def nan_replaced(seen: Observed, policy: Policy) -> Answer:
    found = seen.operations("nan_replaced")
    if found and found[0].get("steps", 1) < policy.nearly_always * found[0].get("of", 1):  # a batch without labels, say
        return Answer(False, f"in {found[0]['steps']} of {found[0]['of']} steps that were read")
    return _operation(seen, "nan_replaced", "none was seen")


@check(
    "Do the samples' outputs draw together until they are the same?",
    "outputs collapse",
    "outputs stay apart",
    needs=("training",),
    link="outputs",
    state="constant",
)
def outputs_collapse(seen: Observed, policy: Policy) -> Answer:
    spread = seen.over_steps("outputs_spread")
    if spread.size < policy.enough_steps:
        return silent("how much the outputs of the samples differ")
    said = f"samples differed by {spread[0]:.2g} of the outputs' size at first and by {spread[-1]:.2g} at the end"
    late = spread[-policy.enough_steps :].max()
    collapsed = 0 < spread[-1] and late <= policy.collapsed_to and late <= policy.collapsed_by * spread.max()
    return Answer(bool(collapsed), said, said if collapsed else "")


@check(
    "Does the loss settle at its margin, never below?",
    "loss settles at its margin",
    "loss falls below its margin",
    needs=("loss",),
    link="outputs",
    state="constant",
)
def loss_at_margin(seen: Observed, policy: Policy) -> Answer:
    margin, losses, spread = seen.facts.get("loss_margin"), seen.losses, seen.over_steps("outputs_spread")
    if not margin or losses.size < policy.enough_steps or spread.size < policy.enough_steps:
        return silent("the margin of a loss of distances, and outputs")
    drawn = spread[-1] <= spread.max() / 2
    near = bool(
        (losses >= (1 - policy.display_slack) * margin).all() and losses[-1] <= (1 + policy.near_margin) * margin
    )
    said = f"the loss came to {losses[-1]:.4g}, its margin is {margin:g}, while the outputs drew together"
    return Answer(
        near and bool(drawn),
        said if near and drawn else f"the losses were {spoken(losses)}",
        said if near and drawn else "",
    )


@check(
    "Does a term compare two that are the same in every step?",
    "a term compares the same",
    "no term compares the same",
    link="term",
    state="zero",
)
def term_of_the_same(seen: Observed, policy: Policy) -> Answer:
    same = seen.facts.get("terms_of_the_same")
    if same is None:
        return silent("the terms of the total, read from its graph")
    said = f"{_list(same)} was 0 in every step that was read: what it compares was equal, number by number"
    return Answer(bool(same), said if same else "none does", said if same and _enough(seen, policy) else "", part=True)


@check(
    "Is the loss ln 2 in every step?",
    "loss ln 2 throughout",
    "loss not ln 2 throughout",
    needs=("steps",),
    link="term",
    state="constant",
)
def loss_ln2(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if losses.size < policy.enough_steps:
        return silent("the losses of enough steps")
    same = bool(abs(losses - math.log(2)).max() <= policy.level)
    moved = seen.over_epochs("drift").any() or seen.over_steps("update_norm").any()
    fact = "the loss was ln 2 = 0.693147 in every step, though the parameters moved" if same and moved else ""
    return Answer(same, f"the losses were {losses.min():.6g} to {losses.max():.6g}", fact)


@check(
    "Is the loss 0 and flat from the first step, though weights and outputs are not 0?",
    "nothing is compared",
    "something is compared",
    needs=("steps",),
    link="term",
    state="zero",
)
def nothing_compared(seen: Observed, policy: Policy) -> Answer:
    zero, flat = loss_zero(seen, policy), gradient_zero(seen, policy)
    if zero.yes is None or flat.yes is None:
        return silent("losses and gradients of enough steps")
    if not (zero.yes and flat.yes):
        return Answer(False, zero.because if not zero.yes else f"the gradient is 0 {flat.because}")
    for other in _ZERO_BY:
        if other(seen, policy).yes:
            return Answer(False, f"the loss is 0 for another reason: {other.if_yes}")
    said = "the loss and its gradient were exactly 0 from the first step on, though weights and outputs were not"
    return Answer(True, said, said)


# what makes a loss 0 and flat without being empty
_ZERO_BY = (
    *(all_weights_zero, main_weight_zero, graph_weights_zero, terms_cancel, loss_without_graph, prediction_missing),
    *(term_unreached, weight_without_term),
    *(outputs_all_zero, an_output_stays_zero, one_class, batch_of_one, infinity_zeroed, nan_replaced),
)


def _operation(seen: Observed, kind: str, otherwise: str) -> Answer:
    if "terms_read" not in seen.facts:
        return silent("the operations of a step")
    found = seen.operations(kind)
    if not found:
        return Answer(False, otherwise)
    said = f"{found[0]['found']} ({found[0]['source'] or 'no source'})"
    return Answer(True, said, said)


def _enough(seen: Observed, policy: Policy) -> bool:
    return (seen.total("backwards") or 0) >= policy.enough_steps


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
