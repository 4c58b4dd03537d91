"""What the network hands to the loss, and what the loss is asked to compare it with."""

from __future__ import annotations

import numpy as np

from kit.hypotheses.checking import Answer, check, counted, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check(
    "Is a prediction missing that the loss reads?",
    "prediction missing",
    "no prediction missing",
    link="outputs",
    state="missing",
)
def prediction_missing(seen: Observed, policy: Policy) -> Answer:
    if "missing_keys" not in seen.steps:
        return silent("which predictions the loss reads (its attribute `expects`)")
    keys = seen.steps["missing_keys"].dropna()
    if keys.empty:
        return silent("which predictions the loss reads (its attribute `expects`)")
    share = float((keys != "").mean())
    names = ", ".join(sorted(set(",".join(keys).split(",")) - {""}))
    return Answer(share >= policy.nearly_always, f"missing: {names}" if names else "all were there")


@check("Are all outputs 0?", "all outputs 0", "outputs not all 0", needs=("training",), link="outputs", state="zero")
def outputs_all_zero(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("outputs", "outputs_zero")
    table = table[table["outputs"] > 0]
    if table.empty:
        return silent("the outputs of the network")
    share = float((table["outputs_zero"] == table["outputs"]).mean())
    fact = f"every output was 0 in {counted(len(table))}" if share == 1 else ""
    return Answer(share >= policy.nearly_always, f"every output was 0 in {share:.0%} of the measured steps", fact)


@check(
    "Is an output exactly 0 in every step, while others are not?",
    "one output stays 0",
    "no single output stays 0",
    needs=("training",),
    link="outputs",
)
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


@check(
    "Are the outputs the same for every sample of a batch?",
    "outputs the same for every sample",
    "outputs differ between samples",
    needs=("training",),
    link="outputs",
    state="constant",
)
def outputs_constant(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("outputs", "outputs_constant")
    table = table[table["outputs"] > 0]
    if table.empty:
        return silent("outputs of a batch of two or more")
    share = float((table["outputs_constant"] == table["outputs"]).mean())
    return Answer(share >= policy.nearly_always, f"in {share:.0%} of the measured steps")


@check(
    "Is an output not finite?", "outputs NaN", "outputs finite", needs=("training",), link="outputs", state="not finite"
)
def outputs_nonfinite(seen: Observed, policy: Policy) -> Answer:
    values = seen.over_steps("outputs_nonfinite")
    if not values.size:
        return silent("the outputs of the network")
    share = float((values > 0).mean())
    return Answer(share >= policy.sometimes, f"in {share:.0%} of the measured steps")


@check(
    "Has no target a supervised element?",
    "no target supervised",
    "targets supervised",
    needs=("loss",),
    link="data",
    state="missing",
)
def nothing_supervised(seen: Observed, policy: Policy) -> Answer:
    values = seen.over_steps("supervised")
    if not values.size:
        return silent("the targets")
    share = float((values == 0).mean())
    fact = f"the targets had no supervised element in {counted(values.size)}" if share == 1 else ""
    return Answer(share >= policy.nearly_always, f"{share:.0%} of the measured steps had no supervised element", fact)


@check("Is there only one class to choose from?", "one class only", "several classes", link="data", state="constant")
def one_class(seen: Observed, policy: Policy) -> Answer:
    if single := seen.operations("one_choice"):
        return Answer(True, f"{single[0]['found']} ({single[0]['source'] or 'no source'})")
    configured, classes = seen.facts.get("classes_configured"), seen.over_steps("classes")
    if configured is None and not classes.size:
        return silent("class labels or logits")
    if configured == 1:
        return Answer(True, "the loss is given one logit a sample")
    if not classes.size:
        return Answer(False, f"{configured} logits a sample")
    batch = seen.together("classes", "batch")
    wide = batch[batch["batch"] > 1]
    share = float((wide["classes"] == 1).mean()) if len(wide) >= policy.enough_steps else 0.0
    return Answer(share == 1, f"{share:.0%} of the batches held a single class")


@check(
    "Is every batch a single sample?",
    "batches of one sample",
    "batches of several samples",
    needs=("training",),
    link="data",
)
def batch_of_one(seen: Observed, policy: Policy) -> Answer:
    values = seen.over_steps("batch")
    if not values.size:
        return silent("the size of a batch")
    shown = seen.over_epochs("train_loss")
    if not seen.losses.size and shown.size > 1 and np.ptp(shown) > policy.level * np.abs(shown).max():
        return silent(
            "a loss: what runs on one sample at a time may be mapped over a batch, and the displayed loss moves"
        )
    return Answer(bool((values == 1).all()), f"batches of {values.min():.0f} to {values.max():.0f}")
