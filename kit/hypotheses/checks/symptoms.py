"""What one sees first: the displayed losses, and whether they are the ones that were computed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kit.hypotheses.check import Answer, check, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check("Does the displayed train loss read 0 in every epoch?")
def train_reads_zero(seen: Observed, policy: Policy) -> Answer:
    shown = seen.over_epochs("train_loss")
    if not shown.size:
        return silent("the displayed train loss (run.log(train_loss=...))")
    return Answer(bool((np.abs(shown) <= policy.reads_zero).all()), f"it reads {spoken(shown)}")


@check("Is the validation loss the same in every epoch?")
def validation_level(seen: Observed, policy: Policy) -> Answer:
    values = validation_losses(seen)
    if values.size < 2:
        return silent("a validation loss of at least two epochs")
    values = values[np.isfinite(values)]
    if values.size < 2:
        return silent("a finite validation loss of at least two epochs")
    spread, size = np.ptp(values), np.abs(values).max()
    return Answer(bool(spread <= policy.level * size), f"it reads {spoken(values)}")


@check("Is the displayed train loss another number than the batch losses make?")
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
    slack = policy.display_slack * np.maximum(np.abs(low), np.abs(shown)) + policy.display_rounding
    upper = policy.display_slack * np.abs(high) + policy.display_rounding
    wrong = (shown < low - slack) | (shown > high + upper)
    for other in sums:  # a sum over the batches, or over the samples, is another unit and no mistake
        wrong &= ~np.isclose(shown, other, rtol=policy.display_slack)
    return Answer(
        bool(known.any() and wrong[known].mean() >= policy.nearly_always),
        f"displayed {spoken(shown[known])}; the batch losses were {spoken(seen.losses)}",
    )


def _bounds(seen: Observed) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]] | None:
    """Per epoch: the smallest and the largest loss of a batch, of the epoch before as well, for a display may be smoothed; and sums."""
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
        edges = (losses.min(), losses.max()) if losses.size else (np.nan, np.nan)
        return np.array([edges[0]]), np.array([edges[1]]), []
    every = pd.concat(parts).astype(float)
    every["loss"] = every["loss"].where(np.isfinite(every["loss"]))
    edges = (
        every.groupby("epoch")["loss"].agg(["min", "max"]).rolling(2, min_periods=1).agg({"min": "min", "max": "max"})
    )
    return edges["min"].to_numpy(), edges["max"].to_numpy(), _sums(seen, len(edges))


def _sums(seen: Observed, epochs: int) -> list[np.ndarray]:
    """Of the losses of each epoch: over the batches, and over the samples where the size of a batch is known."""
    found = []
    for mean, count in (("loss_mean", "backwards"), ("loss_returned_mean", "loss_calls")):
        if {mean, count} <= set(seen.epochs) and len(seen.epochs) == epochs:
            found.append((seen.epochs[mean] * seen.epochs[count]).to_numpy(dtype=float))
    size = seen.turns("batch")
    return found + ([total * float(np.median(size)) for total in found] if size.size else [])


@check("Is the displayed validation loss another number than was computed in evaluation?")
def validation_display_differs(seen: Observed, policy: Policy) -> Answer:
    if not {"val_loss", "eval_loss_mean"} <= set(seen.epochs):
        return silent("the displayed validation loss and the losses computed in evaluation, both")
    both = seen.epochs[["val_loss", "eval_loss_mean"]].dropna().to_numpy(dtype=float)
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return silent("the displayed validation loss and the losses computed in evaluation, both")
    shown, computed = both.T
    slack = policy.display_slack * np.abs(computed).max() + policy.display_rounding
    wrong = (shown < computed.min() - slack) | (shown > computed.max() + slack)
    return Answer(bool(wrong.mean() >= policy.nearly_always), f"displayed {spoken(shown)}; computed {spoken(computed)}")


@check("Is every computed train loss exactly 0?")
def loss_zero(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if not losses.size:
        return silent("the value of a training loss")
    return Answer(bool((np.abs(losses) <= policy.exact_zero).all()), f"the losses were {spoken(losses)}")


@check("Is a computed train loss not finite?")
def loss_nonfinite(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if not losses.size:
        return silent("the value of a training loss")
    share = float((~np.isfinite(losses)).mean())
    return Answer(share >= policy.sometimes, f"{share:.0%} of {losses.size} losses were NaN or infinite")


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


@check("Is the computed train loss the same number in every turn?")
def loss_constant(seen: Observed, policy: Policy) -> Answer:
    losses = seen.losses
    if losses.size < policy.enough_turns:
        return silent("the losses of enough turns")
    same = np.isfinite(losses).all() and np.ptp(losses) <= policy.level * np.abs(losses).max()
    return Answer(bool(same), f"the losses were {spoken(losses)}")
