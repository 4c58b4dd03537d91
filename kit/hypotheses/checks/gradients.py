"""What the backward pass left, and what the optimizer was handed."""

from __future__ import annotations

import numpy as np

from kit.hypotheses.checking import Answer, check, counted, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check(
    "Does a backward pass leave NaN or infinity in a gradient?",
    "gradients NaN",
    "gradients finite",
    needs=("training",),
    link="gradients",
    state="not finite",
)
def gradient_nonfinite(seen: Observed, policy: Policy) -> Answer:
    # hooks on the parameters may have cleaned what arrived there; what came back to the outputs is seen before them
    table = seen.steps.reindex(columns=["grad_nonfinite", "flow_nonfinite", "scale"])
    # under a gradient scaler an overflow is how it finds its scale; the check of the scaler looks at those steps
    values = table.loc[table["scale"].isna(), ["grad_nonfinite", "flow_nonfinite"]].dropna(how="all").astype(float)
    if not len(values):
        return silent("raw gradients (outside a gradient scaler)")
    share = float((values.max(axis=1) > 0).mean())
    fact = f"{counted(len(values))} had NaN or infinity in its gradient" if share == 1 else ""
    return Answer(share >= policy.sometimes, f"in {share:.0%} of {len(values)} measured steps", fact)


@check(
    "Is the raw gradient exactly 0 everywhere?",
    "gradients 0",
    "gradients not 0",
    needs=("steps",),
    link="gradients",
    state="zero",
)
def gradient_zero(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("grad_zero", "grad_none", "grad_tensors")
    table = table[table["grad_tensors"] > table["grad_none"]]
    if len(table) < policy.enough_steps:
        return silent("raw gradients of enough steps")
    share = float((table["grad_zero"] + table["grad_none"] == table["grad_tensors"]).mean())
    return Answer(share >= policy.nearly_always, f"in {share:.0%} of the measured steps")


@check(
    "Is the raw gradient exactly 0 in a part of the network, in every step?",
    "gradients 0 in a part",
    "no part with gradients 0",
    needs=("steps",),
    link="gradients",
)
def gradient_partly_zero(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("grad_zero", "grad_none", "grad_tensors")
    table = table[table["grad_tensors"] > table["grad_none"]]
    if len(table) < policy.enough_steps:
        return silent("raw gradients of enough steps")
    part = (table["grad_zero"] > 0) & (table["grad_zero"] + table["grad_none"] < table["grad_tensors"])
    return Answer(
        bool(part.mean() >= policy.nearly_always),
        f"{table['grad_zero'].median():.0f} of {table['grad_tensors'].median():.0f} tensors (median)",
    )


@check(
    "Is there a trainable parameter that never gets a gradient?",
    "a parameter without gradient",
    "every parameter has a gradient",
    needs=("training",),
    link="gradients",
)
def gradient_missing_in_part(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("grad_none", "grad_tensors")
    table = table[table["grad_tensors"] > 0]
    if table.empty:
        return silent("raw gradients")
    part = (table["grad_none"] > 0) & (table["grad_none"] < table["grad_tensors"])
    return Answer(
        bool(part.mean() >= policy.nearly_always),
        f"{table['grad_none'].min():.0f} of {table['grad_tensors'].max():.0f} tensors had none",
    )


@check(
    "Does the differentiated loss reach no parameter?",
    "loss reaches no parameter",
    "loss reaches the parameters",
    needs=("training",),
    link="total",
    state="detached",
)
def loss_without_graph(seen: Observed, policy: Policy) -> Answer:
    reach, graph = seen.over_steps("loss_graph"), seen.over_steps("loss_returned_graph")
    if not reach.size and not graph.size:
        return silent("whether the loss has a graph")
    values = reach if reach.size else graph
    share = float((values == 0).mean())
    fact = f"the loss reached no parameter in {counted(values.size)}" if share == 1 else ""
    return Answer(share >= policy.nearly_always, f"in {share:.0%} of {values.size} steps", fact)


@check(
    "Has a term of the loss no path to any parameter?",
    "a term reaches no parameter",
    "every term reaches a parameter",
    needs=("loss",),
    link="term",
    state="detached",
)
def term_without_graph(seen: Observed, policy: Policy) -> Answer:
    terms = seen.facts.get("terms_without_graph")
    if terms is None:
        return silent("the terms of the loss with their graphs")
    return Answer(bool(terms), f"without a path: {', '.join(terms)}" if terms else "every term has one", part=True)


@check(
    "Has a weighted term of the total lost its graph?",
    "a term without its graph",
    "no term lost its graph",
    link="term",
    state="detached",
)
def term_cut(seen: Observed, policy: Policy) -> Answer:
    if "terms_read" not in seen.facts:
        return silent("the terms of the total, read from its graph")
    cut = seen.facts.get("terms_cut") or []
    fact = f"a term of the total reaches no parameter: {'; '.join(cut)}" if cut else ""
    return Answer(bool(cut), fact or "none", fact, part=True)


@check(
    "Does a part of the network lie before a cut, and never get a gradient?",
    "a part of the network cut off",
    "no part cut off",
    needs=("steps",),
    link="forward",
    state="detached",
)
def part_cut_off(seen: Observed, policy: Policy) -> Answer:
    parts = seen.facts.get("cut_off")
    if parts is None:
        return silent("the tensors that the parts of the network hand on")
    said = f"what {', '.join(parts)} made was handed on without its graph"
    return Answer(bool(parts), said if parts else "no part that is to be trained was cut off", part=True)


@check(
    "Does the loss stay at one number while its gradient is not 0?",
    "loss constant, gradient not 0",
    "loss not constant beside its gradient",
    needs=("steps",),
    link="total",
)
def constant_loss_live_gradient(seen: Observed, policy: Policy) -> Answer:
    table = seen.together("loss", "grad_norm")
    table = table.loc[np.isfinite(table.to_numpy()).all(axis=1)]
    if len(table) < policy.enough_steps:
        return silent("losses and gradients of the same steps")
    live = table["grad_norm"] > np.sqrt(policy.level)
    away = (table["loss"] - table["loss"].median()).abs()
    near = away <= policy.level * np.maximum(table["grad_norm"], table["loss"].abs())
    return Answer(
        bool((live & near).mean() >= policy.nearly_always),
        f"loss {table['loss'].median():.6g}, gradient norm {table['grad_norm'].median():.3g} (medians)",
    )


@check(
    "Are the gradients gone when the optimizer steps?",
    "gradients gone at the step",
    "gradients there at the step",
    needs=("training",),
    link="gradients",
    state="missing",
)
def gradients_cleared(seen: Observed, policy: Policy) -> Answer:
    fed = ["seen_fed"] if "seen_fed" in seen.steps else []
    table = seen.together("grad_norm", "seen_zero", "seen_none", "seen_tensors", *fed)
    table = table[(table["grad_norm"] > 0) & (table["seen_tensors"] > 0)]
    if fed:  # an optimizer whose tensors got no gradient has nothing cleared
        table = table[table["seen_fed"] > 0]
    if table.empty:
        return silent("gradients after the backward pass and before the step of the same step")
    gone = table["seen_zero"] + table["seen_none"] == table["seen_tensors"]
    enough = policy.alternating if seen.evaluated_stands_still else policy.nearly_always
    fact = f"no gradient was left at {counted(len(gone))}{_between(seen)}" if gone.all() else ""
    return Answer(bool(gone.mean() >= enough), f"in {gone.mean():.0%} of the measured steps", fact)


def _between(seen: Observed) -> str:
    lines = (seen.facts.get("lines") or {}).get("gradients")
    if not lines:
        return ""
    return f"; {' and '.join(lines)} {'stands' if len(lines) == 1 else 'stand'} between backward() and step()"


@check(
    "Is a part of what the optimizer holds cut off from every term?",
    "parameters cut off",
    "no parameter cut off",
    needs=("training",),
    link="forward",
    state="detached",
)
def parameters_cut(seen: Observed, policy: Policy) -> Answer:
    unreached = seen.facts.get("unreached_parameters")
    if unreached is None:
        return silent("which parameters the terms reach")
    cut = [entry for entry in unreached if ": cut by " in entry or ": used under no_grad" in entry]
    fact = f"no term reaches {cut[0]}" + (f", and {len(cut) - 1} more" if len(cut) > 1 else "") if cut else ""
    # a head that nothing asks for is common; a network of which most runs for nothing is not
    ran, trainable = [entry for entry in unreached if ": " not in entry], seen.facts.get("trainable") or 0
    if not cut and ran and len(ran) >= policy.mostly_unreached * trainable:
        cut = ran
        fact = f"{len(ran)} of {trainable} trained tensors were used in each step and no term reaches them ({', '.join(ran[:2])}, ...)"
    return Answer(bool(cut), "; ".join(cut[:3]) or "none of those that a term misses was cut off", fact, part=True)


@check(
    "Does an optimizer step whose parameters no backward pass ever gave a gradient?",
    "an optimizer beside the graph",
    "backward passes reach each optimizer",
    needs=("training",),
    link="optimizer",
    state="detached",
)
def optimizer_never_fed(seen: Observed, policy: Policy) -> Answer:
    rows = seen.optimizers(policy.enough_steps)
    if len(rows) < 2:
        return silent("several optimizers that step")
    found = [row for row in rows if row["without_gradient"] == row["looked"] and not row["fed"]]
    if not 0 < len(found) < len(rows):
        return Answer(False, "each of them is reached by some backward pass" if not found else "none of them is")
    said = f"no backward pass ever gave a gradient to what {found[0]['kind']} holds ({found[0]['source']})"
    return Answer(True, said, said, part=True)


@check(
    "Are the gradients of a step still there when the next backward pass adds to them?",
    "gradients never cleared",
    "gradients cleared between steps",
    needs=("training",),
    link="gradients",
    state="replaced",
)
def gradients_left(seen: Observed, policy: Policy) -> Answer:
    if never := seen.facts.get("never_cleared"):  # of several optimizers
        said = f"the gradients of the step before were still there, and were added to, before {'; '.join(never)}"
        return Answer(True, said, said, part=True)
    left = seen.over_steps("grad_left")
    if left.size < policy.enough_steps - 1:
        return silent("gradients between a step and the next backward pass")
    always = bool(left.all())
    fact = f"the gradients of the step before were still there in each of {left.size} steps that were looked at"
    return Answer(always, f"in {left.mean():.0%} of {left.size} steps", fact if always else "")
