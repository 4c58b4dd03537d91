"""The weights of the sum: what was asked for, what was in force, and whether the total is their sum."""

from __future__ import annotations

import numpy as np

from kit.hypotheses.checking import Answer, check, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy

_NAMED = 3
NO_WEIGHTS = "weights of the loss (attributes lam_*)"


@check(
    "Are all weights of the loss 0?", "all weights 0", "not all weights 0", needs=("loss",), link="weight", state="zero"
)
def all_weights_zero(seen: Observed, policy: Policy) -> Answer:
    values = _in_force(seen)
    if not values:
        return silent(NO_WEIGHTS)
    zero = [name for name, value in values.items() if not value.any()]
    said = f"{len(zero)} of {len(values)} weights were 0 throughout"
    # where the loss is not 0 another part of it has no weight, and these need not be the cause
    decides = len(zero) == len(values) and seen.losses.size and not seen.losses.any()
    return Answer(len(zero) == len(values), said, said if decides else "")


@check(
    "Is the main weight 0, the first that the loss's constructor names?",
    "main weight 0",
    "main weight not 0",
    needs=("loss",),
    link="weight",
    state="zero",
)
def main_weight_zero(seen: Observed, policy: Policy) -> Answer:
    values = _in_force(seen)
    main = next(iter(seen.facts.get("weights_default") or values), None)
    if main not in values:
        return silent(NO_WEIGHTS)
    value = values[main]
    return Answer(not value.any(), f"{main} was {_spoken(value)}", part=True)


@check(
    "Was a weight that was not 0 set to 0 after the loss was built?",
    "weight set to 0 later",
    "no weight set to 0 later",
    needs=("loss",),
    link="weight",
    state="zero",
)
def weight_overwritten_with_zero(seen: Observed, policy: Policy) -> Answer:
    at_entry, values = seen.facts.get("weights_at_entry") or {}, _in_force(seen)
    known = [name for name in at_entry if name in values]
    if not known:
        return silent("the weights before the training started, and in it")
    found = [name for name in known if at_entry[name] != 0 and not values[name].any()]
    said = ", ".join(f"{name} from {at_entry[name]:g}" for name in found)
    return Answer(bool(found), f"set to 0: {said}" if found else "no weight was", part=True)


@check(
    "Is a weight other than the one asked for, and the constructor's default?",
    "weight left at its default",
    "no weight left at its default",
    needs=("loss", "weights"),
    link="weight",
    state="replaced",
)
def weight_left_at_default(seen: Observed, policy: Policy) -> Answer:
    asked, default, values = _asked(seen), seen.facts.get("weights_default") or {}, _in_force(seen)
    if not asked:
        return silent("the weights that were asked for (kit.watch(..., weights=...))")
    known = [name for name in asked if name in values and default.get(name) is not None]
    if not known:
        return silent("the defaults of the loss's constructor")
    found = [name for name in known if asked[name] != default[name] and (values[name] == default[name]).all()]
    said = ", ".join(f"{name} is {default[name]:g}, asked for {asked[name]:g}" for name in found)
    return Answer(bool(found), said or "every weight asked for was in force, or changed on the way", part=True)


@check(
    "Was a weight asked for that is not 0, and 0 in force?",
    "weight 0 against what was asked for",
    "no weight 0 against what was asked for",
    needs=("loss", "weights"),
    link="weight",
    state="zero",
)
def weight_asked_but_zero(seen: Observed, policy: Policy) -> Answer:
    asked, values = _asked(seen), _in_force(seen)
    if not asked:
        return silent("the weights that were asked for (kit.watch(..., weights=...))")
    found = [name for name in asked if asked[name] != 0 and name in values and not values[name].any()]
    return Answer(bool(found), f"0 in force: {', '.join(found)}" if found else "no weight was", part=True)


@check(
    "Do weighted terms that are not 0 cancel to a total of 0?",
    "terms cancel",
    "terms do not cancel",
    needs=("loss",),
    link="total",
    state="zero",
)
def terms_cancel(seen: Observed, policy: Policy) -> Answer:
    sums = _weighted(seen)
    if sums is None:
        return silent("the terms of the loss and their weights")
    parts, total = sums
    size = np.abs(parts).sum(axis=1)
    hit = (size > policy.exact_zero) & (np.abs(total) <= policy.sum_slack * policy.sum_slack * size)
    return Answer(
        bool(hit.mean() >= policy.nearly_always), f"weighted terms of size {size.mean():.4g}, total {total.mean():.4g}"
    )


@check(
    "Is the total another number than the sum of its weighted terms?",
    "total is not the sum of its terms",
    "total is the sum of its terms",
    needs=("loss",),
    link="total",
    state="replaced",
)
def sum_disagrees(seen: Observed, policy: Policy) -> Answer:
    sums = _weighted(seen)
    if sums is None:
        return silent("the terms of the loss and their weights")
    parts, total = sums
    size = np.abs(parts).sum(axis=1) + np.abs(total)
    wrong = np.abs(parts.sum(axis=1) - total) > policy.sum_slack * size + policy.exact_zero
    return Answer(
        bool(wrong.mean() >= policy.nearly_always),
        f"weighted terms sum to {parts.sum(axis=1).mean():.6g}, the total is {total.mean():.6g}",
    )


@check(
    "Is there a weight that no term uses, or a term that no weight and no sum reaches?",
    "weight without a term, or term without a weight",
    "each weight has its term",
    needs=("loss",),
    link="weight",
    state="missing",
)
def weight_without_term(seen: Observed, policy: Policy) -> Answer:
    ignored, unweighted = seen.facts.get("ignored_weights"), seen.facts.get("terms_without_weight")
    if unread := seen.facts.get("unread_weights"):
        fact = f"the sum multiplied no term with {', '.join(unread[:_NAMED])}"
        return Answer(True, fact, fact, part=True)
    if ignored is None and unweighted is None:
        return silent("which weight multiplies which term")
    said = [f"weight {name} changes nothing" for name in ignored or ()]
    said += [f"term {name} has no weight" for name in unweighted or ()]
    return Answer(bool(said), "; ".join(said) or "each weight multiplies a term", part=True)


@check(
    "Was a term computed that no backward pass came by?",
    "a term never added to the total",
    "every term in the total",
    link="term",
    state="missing",
)
def term_unreached(seen: Observed, policy: Policy) -> Answer:
    terms = seen.facts.get("terms_unreached")
    if terms is None:
        return silent("terms by name, as a loss or a network returned them")
    said = f"computed with a graph and not in what was differentiated: {', '.join(terms)}"
    return Answer(bool(terms), said if terms else "each is in what was differentiated", part=True)


def _asked(seen: Observed) -> dict[str, float]:
    """The weights that were asked for; a number that is not finite is none, in a trace as in its file."""
    return {name: value for name, value in (seen.facts.get("weights_asked") or {}).items() if value is not None}


def _in_force(seen: Observed) -> dict[str, np.ndarray]:
    values = {name: seen.weight(name) for name in seen.weights}
    return {name: value for name, value in values.items() if value.size}


def _weighted(seen: Observed) -> tuple[np.ndarray, np.ndarray] | None:
    """Weighted terms [steps, terms] and the returned total [steps], where all were measured and finite."""
    pairs = seen.facts.get("term_weights") or {}
    columns = [(f"term:{term}", weight) for term, weight in pairs.items()]
    total = "loss_returned" if "loss_returned" in seen.steps else "loss"
    table = seen.together(total, *(name for pair in columns for name in pair))
    table = table.loc[np.isfinite(table.to_numpy()).all(axis=1)]
    if not columns or table.empty:
        return None
    parts = np.stack([table[term] * table[weight] for term, weight in columns], axis=1)
    return parts, table[total].to_numpy()


def _spoken(values: np.ndarray) -> str:
    return f"{values[0]:g}" if np.ptp(values) == 0 else f"{values.min():g} to {values.max():g}"
