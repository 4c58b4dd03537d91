"""What the network hands to the loss, and what the loss is asked to compare it with."""

from __future__ import annotations

from kit.hypotheses.check import Answer, check, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check("Is a prediction missing that the loss reads?")
def prediction_missing(seen: Observed, policy: Policy) -> Answer:
    if "missing_keys" not in seen.steps:
        return silent("which predictions the loss reads (its attribute `expects`)")
    keys = seen.steps["missing_keys"].dropna()
    if keys.empty:
        return silent("which predictions the loss reads (its attribute `expects`)")
    share = float((keys != "").mean())
    names = ", ".join(sorted(set(",".join(keys).split(",")) - {""}))
    return Answer(share >= policy.nearly_always, f"missing: {names}" if names else "all were there")


@check("Are all outputs 0?")
def outputs_all_zero(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("outputs", "outputs_zero")
    table = table[table["outputs"] > 0]
    if table.empty:
        return silent("the outputs of the network")
    share = float((table["outputs_zero"] == table["outputs"]).mean())
    return Answer(share >= policy.nearly_always, f"every output was 0 in {share:.0%} of the measured turns")


@check("Is an output exactly 0 in every turn, while others are not?")
def an_output_stays_zero(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("outputs", "outputs_zero")
    table = table[table["outputs"] > 0]
    if table.empty:
        return silent("the outputs of the network")
    some = (table["outputs_zero"] > 0) & (table["outputs_zero"] < table["outputs"])
    return Answer(
        bool(some.mean() >= policy.nearly_always),
        f"{table['outputs_zero'].iloc[-1]:.0f} of {table['outputs'].iloc[-1]:.0f} outputs were 0 at the end",
    )


@check("Are the outputs the same for every sample of a batch?")
def outputs_constant(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("outputs", "outputs_constant")
    table = table[table["outputs"] > 0]
    if table.empty:
        return silent("outputs of a batch of two or more")
    share = float((table["outputs_constant"] == table["outputs"]).mean())
    return Answer(share >= policy.nearly_always, f"in {share:.0%} of the measured turns")


@check("Is an output not finite?")
def outputs_nonfinite(seen: Observed, policy: Policy) -> Answer:
    values = seen.turns("outputs_nonfinite")
    if not values.size:
        return silent("the outputs of the network")
    share = float((values > 0).mean())
    return Answer(share >= policy.sometimes, f"in {share:.0%} of the measured turns")


@check("Has no target a supervised element?")
def nothing_supervised(seen: Observed, policy: Policy) -> Answer:
    values = seen.turns("supervised")
    if not values.size:
        return silent("the targets")
    share = float((values == 0).mean())
    return Answer(share >= policy.nearly_always, f"{share:.0%} of the measured turns had no supervised element")


@check("Is there only one class to choose from?")
def one_class(seen: Observed, policy: Policy) -> Answer:
    configured, classes = seen.facts.get("classes_configured"), seen.turns("classes")
    if configured is None and not classes.size:
        return silent("class labels or logits")
    if configured == 1:
        return Answer(True, "the loss is given one logit a sample")
    if not classes.size:
        return Answer(False, f"{configured} logits a sample")
    batch = seen.together("classes", "batch")
    wide = batch[batch["batch"] > 1]
    share = float((wide["classes"] == 1).mean()) if len(wide) >= policy.enough_turns else 0.0
    return Answer(share == 1, f"{share:.0%} of the batches held a single class")


@check("Is every batch a single sample?")
def batch_of_one(seen: Observed, policy: Policy) -> Answer:
    values = seen.turns("batch")
    if not values.size:
        return silent("the size of a batch")
    return Answer(bool((values == 1).all()), f"batches of {values.min():.0f} to {values.max():.0f}")
