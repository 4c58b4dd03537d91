"""Whether validation ran, and on what."""

from __future__ import annotations

import numpy as np

from kit.hypotheses.checking import Answer, check, silent
from kit.hypotheses.checks.symptoms import validation_losses
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy


@check(
    "Is a validation loss displayed though nothing was evaluated?",
    "evaluation never ran",
    "evaluation ran",
    needs=("val_loss", "evaluation"),
    link="evaluation",
    state="missing",
)
def validation_never_ran(seen: Observed, policy: Policy) -> Answer:
    shown, passes = seen.over_epochs("val_loss"), seen.total("eval_forwards")
    if shown.size < 2 or passes is None:
        return silent("the displayed validation loss, and evaluation passes")
    epochs = max(1, len(seen.over_epochs("eval_forwards")))
    # one evaluation for all displayed epochs is a number that was kept
    ran = int((seen.over_epochs("eval_forwards") > 0).sum())
    if _moves(seen, policy):
        return Answer(False, "the displayed validation loss moves, so something was evaluated")
    if (
        not passes and (seen.total("side_forwards") or 0) >= shown.size
    ):  # of a network that is still in training mode, say
        return silent("which of the passes without gradients were an evaluation")
    fact = "" if passes else f"a validation loss was displayed in {shown.size} epochs, and 0 evaluation passes ran"
    # where epochs are not told apart, as many passes as were displayed are no number that was kept
    return Answer(
        ran <= 1 < shown.size and passes < shown.size,
        f"{passes:.0f} evaluation passes, in {ran} of {epochs} epochs",
        fact,
    )


@check(
    "Was another copy of the weights evaluated, one that never changed while training moved?",
    "another copy evaluated",
    "the trained weights evaluated",
    needs=("evaluation", "training"),
    link="evaluation",
    state="constant",
)
def validation_stale(seen: Observed, policy: Policy) -> Answer:
    evaluated, drift = seen.over_epochs("eval_drift"), seen.over_epochs("drift")
    if not evaluated.size or not drift.size:
        return silent("two evaluations with training in between")
    if not drift.any():
        return Answer(False, "training moved nothing either")
    own = seen.over_epochs("eval_own_drift")
    if own.size and not own.any():
        return Answer(False, "training did not move the network that was evaluated, only another one")
    if not evaluated.any() and {"drift", "eval_drift"} <= set(
        seen.epochs
    ):  # where nothing was trained in between, nothing can have moved
        both = seen.epochs.loc[seen.epochs["drift"] > 0, "eval_drift"].dropna()
        if both.empty:
            return silent("two evaluations with training in between")
    if _moves(seen, policy):
        return Answer(False, "the displayed validation loss moves, so what it is computed from does")
    said = f"evaluated weights moved by {evaluated.max():.3g}, trained ones by {drift.max():.3g}"
    return Answer(not evaluated.any(), said, "" if evaluated.any() else said)


@check(
    "Does the evaluated copy move far less than what is trained?",
    "evaluated copy nearly still",
    "evaluated weights move along",
    needs=("evaluation", "training"),
    link="evaluation",
    state="constant",
)
def evaluated_copy_nearly_still(seen: Observed, policy: Policy) -> Answer:
    evaluated, drift = seen.over_epochs("eval_drift"), seen.over_epochs("drift")
    if len(evaluated) < policy.enough_steps - 1 or not drift.any() or seen.over_epochs("eval_own_drift").any():
        return silent("three evaluations of a copy, with training in between")
    share = evaluated.max() / drift.max()
    if drift[-1] < policy.nearly_still * drift.max():
        return Answer(False, "what is trained stands still as well")
    said = f"moved by {share:.2%} of what was trained, between two evaluations"
    trained, shown = _relative_change(seen.over_epochs("train_loss")), _relative_change(validation_losses(seen))
    still = 0 < share <= policy.nearly_still and trained >= policy.learns and shown <= policy.display_slack * trained
    return Answer(bool(still), f"it {said}", f"the copy that is evaluated {said}" if still else "")


def _moves(seen: Observed, policy: Policy) -> bool:
    """Whether a displayed validation loss changes by more than chance would have it on fixed weights."""
    return bool(_relative_change(seen.over_epochs("val_loss")) > policy.display_slack)


def _relative_change(values: np.ndarray) -> float:
    """nan where it cannot be said."""
    values = values[np.isfinite(values)]
    return float(np.ptp(values) / np.abs(values).max()) if values.size > 1 and values.any() else np.nan
