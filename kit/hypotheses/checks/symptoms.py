"""What one sees first: the displayed losses, and whether they are the ones that were computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from kit.hypotheses.checking import Answer, check, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check(
    "Does the displayed train loss read 0 in every epoch?",
    "train reads 0",
    "train does not read 0",
    needs=("train_loss",),
    link="display",
    state="zero",
)
def train_reads_zero(seen: Observed, policy: Policy) -> Answer:
    shown = seen.over_epochs("train_loss")
    if not shown.size:
        return silent("the displayed train loss (run.log(train_loss=...))")
    zero = bool((np.abs(shown) <= policy.reads_zero).all())
    return Answer(zero and not _tiny(shown, policy), f"it reads {spoken(shown)}")


@check(
    "Is the validation loss the same in every epoch?",
    "validation does not change",
    "validation changes",
    needs=("val_loss",),
    link="evaluation",
    state="constant",
)
def validation_level(seen: Observed, policy: Policy) -> Answer:
    values = validation_losses(seen)
    if values.size < 2:
        return silent("a validation loss of at least two epochs")
    values = values[np.isfinite(values)]
    if values.size < 2:
        return silent("a finite validation loss of at least two epochs")
    spread, size = np.ptp(values), np.abs(values).max()
    return Answer(bool(spread <= policy.level * size), f"it reads {spoken(values)}")


@check(
    "Is the displayed train loss another number than the batch losses make?",
    "displayed differs from computed",
    "displayed agrees with computed",
    needs=("train_loss", "training"),
    link="display",
    state="replaced",
)
def display_differs(seen: Observed, policy: Policy) -> Answer:
    shown, bounds = seen.over_epochs("train_loss"), _bounds(seen)
    if not shown.size or bounds is None:
        return silent("the displayed train loss and the losses of the batches, both")
    low, high, sums = bounds
    if np.isnan(low).all():
        if np.isfinite(shown).all():
            return Answer(True, f"no loss of a batch was finite, and {spoken(shown)} was displayed")
        return Answer(False, "neither is finite")
    if low.size != shown.size:  # epochs that are not told apart: the range of the whole run
        low, high, sums = np.full(shown.size, np.nanmin(low)), np.full(shown.size, np.nanmax(high)), []
    known = np.isfinite(shown) & np.isfinite(low)
    if not shown.any() and known.all() and (np.minimum(np.abs(low), np.abs(high)) > policy.exact_zero).all():
        said = f"the batch losses were {spoken(seen.losses)}"
        large = (np.minimum(np.abs(low), np.abs(high)) > policy.display_rounding).all()  # a small one may print as 0
        fact = f"0 was displayed in every epoch, and {said}" if large else ""
        return Answer(True, f"0 was displayed in every epoch; {said}", fact)
    factor = seen.facts.get("total_factor") or 1.0
    if factor != 1 and any(_alike(shown, means / factor, policy) for means in _means(seen)):
        return Answer(False, f"displayed is the loss before it was multiplied by {factor:.3g}")
    for name, of in _SHOWN_AS.items():
        with np.errstate(all="ignore"):
            if any(np.isfinite(of(means)).all() and _alike(shown, of(means), policy) for means in _means(seen)):
                return Answer(False, f"displayed is the {name} of the loss")
    share = _constant_share(seen, shown, policy)
    if share is not None:
        return Answer(True, f"displayed is the mean of the batch losses divided by {1 / share:.3g} in every epoch")
    slack = policy.display_slack * np.maximum(np.abs(low), np.abs(shown)) + policy.display_rounding
    upper = policy.display_slack * np.abs(high) + policy.display_rounding
    wrong = (shown < low - slack) | (shown > high + upper)
    for (
        other
    ) in sums:  # a sum over the batches or the samples, or a sum loss per sample, is another unit and no mistake
        wrong &= ~np.isclose(shown, other, rtol=policy.display_slack)
    return Answer(
        bool(known.any() and wrong[known].mean() >= policy.often_outside),
        f"displayed {spoken(shown[known])}; the batch losses were {spoken(seen.losses)}",
    )


def _bounds(seen: Observed) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]] | None:
    """Per epoch: the smallest and the largest loss of a batch; a display may be smoothed, so the mean of the epoch before counts as
    one more batch; and sums."""
    pairs = [("backwards", "loss"), ("loss_calls", "loss_returned")]
    parts = [
        seen.steps.loc[seen.steps[counted] > 0, ["epoch", value]].set_axis(["epoch", "loss"], axis=1)
        for counted, value in pairs
        if {"epoch", counted, value} <= set(seen.steps)
    ]
    if not parts or not sum(map(len, parts)):
        if not seen.losses.size:
            return None
        losses = seen.losses[np.isfinite(seen.losses)]
        least, most = (losses.min(), losses.max()) if losses.size else (np.nan, np.nan)
        return np.array([least]), np.array([most]), []
    every = pd.concat(parts).astype(float)
    every["loss"] = every["loss"].where(np.isfinite(every["loss"]))
    edges = every.groupby("epoch")["loss"].agg(["min", "max", "mean"])
    before = edges["mean"].shift(1)
    low, high = (
        edges["min"].where(~(before < edges["min"]), before),
        edges["max"].where(~(before > edges["max"]), before),
    )
    return low.to_numpy(), high.to_numpy(), _sums(seen, len(edges))


def _sums(seen: Observed, epochs: int) -> list[np.ndarray]:
    """Of the losses of each epoch: over the batches, a step's batches, and the samples where the size of a batch is known."""
    found, steps = [], []
    for mean, count in (("loss_mean", "backwards"), ("loss_returned_mean", "loss_calls")):
        if {mean, count} <= set(seen.epochs) and len(seen.epochs) == epochs:
            found.append((seen.epochs[mean] * seen.epochs[count]).to_numpy(dtype=float))
            # a trainer that accumulates may display a mean over its steps; where none was taken there is no such number
            if "steps" in seen.epochs:
                taken = seen.epochs["steps"].where(seen.epochs["steps"] > 0)
                steps.append(found[-1] / taken.to_numpy(dtype=float))
    size = seen.over_steps("batch")
    if not size.size:
        return found + steps
    one = float(np.median(size))
    each = [total * one for total in found]
    every = [means for means in _means(seen) if len(means) == epochs]
    if seen.facts.get("loss_reduction") != "mean":
        each += [means / one for means in every]
    return found + steps + each


def _means(seen: Observed) -> list[np.ndarray]:
    """Per epoch, of what was differentiated and of what the loss returned."""
    names = [name for name in ("loss_mean", "loss_returned_mean") if seen.over_epochs(name).size == len(seen.epochs)]
    return [seen.over_epochs(name) for name in names]


_SHOWN_AS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "square root": np.sqrt, "exponential": np.exp, "logarithm": np.log, "logarithm to base 10": np.log10,
}  # fmt: skip


def _alike(shown: np.ndarray, other: np.ndarray, policy: Policy) -> bool:
    return shown.shape == other.shape and np.allclose(shown, other, rtol=policy.display_slack, atol=0)


def _constant_share(seen: Observed, shown: np.ndarray, policy: Policy) -> float | None:
    """A mean over the batch, divided once more by the samples or the batches: the same small share in every epoch."""
    size, batches = seen.over_steps("batch"), seen.over_epochs("batches")
    if (
        seen.facts.get("loss_reduction") != "mean"
        or not size.size
        or not batches.size
        or shown.size < policy.enough_steps
    ):
        return None
    if any(_alike(shown, means, policy) for means in _means(seen)):  # several losses may be called for each total
        return None
    for means in _means(seen):
        if len(means) != len(shown) or not (
            np.isfinite(means).all() and np.isfinite(shown).all() and (means > 0).all()
        ):
            continue
        for count in (float(np.median(size)), float(np.median(batches))):
            if count >= policy.enough_steps and np.allclose(shown * count, means, rtol=policy.display_slack, atol=0):
                return 1 / count
    return None


@check(
    "Is the displayed validation loss another number than was computed in evaluation?",
    "displayed validation differs from computed",
    "displayed validation agrees with computed",
    needs=("val_loss", "evaluation", "loss"),
    link="display",
    state="replaced",
)
def validation_display_differs(seen: Observed, policy: Policy) -> Answer:
    if not {"val_loss", "eval_loss_mean"} <= set(seen.epochs):
        return silent("the displayed validation loss and the losses computed in evaluation, both")
    both = seen.epochs[["val_loss", "eval_loss_mean"]].dropna().to_numpy(dtype=float)
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return silent("the displayed validation loss and the losses computed in evaluation, both")
    shown, computed = both.T
    if not shown.any() and computed.all():
        return silent("whether a loss is displayed: 0 in every epoch may be a score, as an accuracy")
    if (seen.total("loss_calls") or 0) >= 2 * (seen.total("backwards") or np.inf) and np.ptp(shown):
        return silent("the value of the whole loss in evaluation: several losses are called for each total")
    if seen.facts.get("loss_reduction") == "sum" and (shown != 0).all():  # a sum may be shown per sample
        ratio = computed / shown
        if np.ptp(ratio) <= policy.display_slack * np.abs(ratio).max():
            return Answer(False, f"displayed {spoken(shown)}; computed {np.median(ratio):.4g} times as much, a sum")
    slack = policy.display_slack * np.abs(computed).max() + policy.display_rounding
    wrong = (shown < computed.min() - slack) | (shown > computed.max() + slack)
    # one number in every epoch, beside losses that moved, is no other measure of the same
    stuck = (
        wrong.all()
        and not np.ptp(shown)
        and len(shown) > 1
        and np.ptp(computed) > policy.level * np.abs(computed).max()
    )
    fact = f"{shown[0]:.6g} was displayed in every epoch, and {spoken(computed)} was computed" if stuck else ""
    said = f"displayed {spoken(shown)}; computed {spoken(computed)}"
    return Answer(bool(wrong.mean() >= policy.nearly_always), said, fact)


@check(
    "Is every computed train loss exactly 0?",
    "every loss 0",
    "losses not 0",
    needs=("training",),
    link="total",
    state="zero",
)
def loss_zero(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if not losses.size:
        return silent("the value of a training loss")
    zero = bool((np.abs(losses) <= policy.exact_zero).all()) and not _tiny(losses, policy)
    return Answer(zero, f"the losses were {spoken(losses)}", f"each of {losses.size} losses was 0" if zero else "")


@check(
    "Is a computed train loss not finite?",
    "losses NaN",
    "losses finite",
    needs=("training",),
    link="total",
    state="not finite",
)
def loss_nonfinite(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if not losses.size:
        return silent("the value of a training loss")
    share = float((~np.isfinite(losses)).mean())
    fact = f"each of {losses.size} losses was NaN or infinite" if share == 1 else ""
    return Answer(share >= policy.sometimes, f"{share:.0%} of {losses.size} losses were NaN or infinite", fact)


def _tiny(losses: np.ndarray, policy: Policy) -> bool:
    """Small numbers that are none of rounding: a loss in other units, as of micrometres in metres."""
    return bool((losses > 0).all() and np.ptp(losses) > policy.sum_slack * losses.max())


def validation_losses(seen: Observed) -> np.ndarray:
    """As displayed; as computed in evaluation where nothing was displayed."""
    shown = seen.over_epochs("val_loss")
    return shown if shown.size else seen.over_epochs("eval_loss_mean")


def spoken(values: np.ndarray) -> str:
    """ "0.000000 throughout", or "3.51 to 3.87"."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "not a finite number"
    low, high = finite.min(), finite.max()
    rest = "" if finite.size == values.size else " (and values that are not finite)"
    return (f"{low:.6g} throughout" if low == high else f"{low:.6g} to {high:.6g}") + rest


@check(
    "Is the computed train loss the same number in every step?",
    "loss constant",
    "loss changes",
    needs=("steps",),
    link="total",
    state="constant",
)
def loss_constant(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if losses.size < policy.enough_steps:
        return silent("the losses of enough steps")
    same = np.isfinite(losses).all() and np.ptp(losses) <= policy.level * np.abs(losses).max()
    return Answer(bool(same), f"the losses were {spoken(losses)}")


@check(
    "Is the loss divided by as many passes as are made for each step?",
    "gradients accumulated on purpose",
    "no accumulation declared",
    link="backward",
)
def accumulates(seen: Observed, policy: Policy) -> Answer:
    factor, backwards, steps = seen.facts.get("total_factor"), seen.total("backwards"), seen.total("steps")
    if factor is None or not backwards or not steps:
        return silent("what the total is divided by")
    often = backwards / steps
    yes = often > 1 and abs(factor * often - 1) <= policy.display_slack
    return Answer(
        bool(yes), f"{often:.3g} backward passes for each step, of a total that is multiplied by {factor:.3g}"
    )


@check(
    "Is a loss displayed that was divided for accumulation?",
    "displayed loss is divided for accumulation",
    "displayed loss is undivided",
    needs=("train_loss",),
    link="display",
    state="replaced",
)
def display_divided(seen: Observed, policy: Policy) -> Answer:
    shown, means = seen.over_epochs("train_loss"), seen.over_epochs("loss_mean")
    divided = accumulates(seen, policy)
    if divided.yes is None or shown.size != means.size or not shown.size:
        return silent("the displayed train loss, and what the total is divided by")
    same = np.isfinite(shown).all() and _alike(shown, means, policy)
    said = f"what is displayed is what was differentiated, and that is multiplied by {seen.facts['total_factor']:.3g} for accumulation"
    yes = bool(divided.yes and same and shown.any())
    return Answer(yes, said if yes else "no", said if yes else "")


@check(
    "Do the losses grow beyond all bounds?",
    "losses diverge",
    "losses stay in bounds",
    needs=("training",),
    link="total",
)
def losses_diverge(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses if seen.losses.size else seen.over_epochs("train_loss")
    if losses.size < policy.enough_steps:
        return silent("the losses of enough steps")
    first, last = np.abs(losses[0]), np.abs(losses[-1])
    beyond = np.isfinite(first) and (not np.isfinite(last) or last > policy.beyond_bounds * max(first, 1.0))
    return Answer(bool(beyond), f"from {losses[0]:.6g} to {losses[-1]:.6g}")
