"""What was not there to be seen: what an answer lacks from the start, and what would be worth adding to the recording."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.hypotheses import POLICY, Check, Observed

PREFIX = "lam_"
ENOUGH = POLICY.enough_steps
_NAMED = 3
LOG = "run.log(train_loss=[...], val_loss=[...])"


@dataclass(frozen=True)
class Notice:
    """Why nothing can be called healthy. ``key``: "nothing_trained", "model_not_called", "not_displayed", "unknown_weights" or "only_a_log"."""

    key: str
    sentence: str


@dataclass(frozen=True)
class Addition:
    """Something that a user may add to a recording: the code that does it, and how many unanswered checks it answers."""

    code: str
    checks: int

    def __str__(self) -> str:
        return f"{self.code} ({self.checks} check{'s' if self.checks > 1 else ''})"


def notices(seen: Observed) -> tuple[Notice, ...]:
    """What is missing so plainly that it has to be said before any answer. A training history lacks none of it."""
    found = [_untrained(seen), _other_model(seen), _not_displayed(seen), _unknown_weights(seen), _only_a_log(seen)]
    said = [Notice(*pair) for pair in zip(_KEYS, found, strict=True) if pair[1]]
    # where nothing was trained, that no loss was logged is no news
    return tuple(n for n in said if not (n.key == "not_displayed" and said[0].key == "nothing_trained"))


_KEYS = ("nothing_trained", "model_not_called", "not_displayed", "unknown_weights", "only_a_log")


def _untrained(seen: Observed) -> str:
    counts = {name: seen.total(name) for name in ("batches", "backwards", "steps")}
    moved, evaluated = seen.over_epochs("drift").any(), seen.total("eval_forwards")
    if counts["backwards"] or counts["steps"] or moved:
        return ""
    if counts["backwards"] is None and (len(seen.steps) or not seen.epochs.empty):
        return ""  # tables that do not count it
    if not seen.facts and seen.epochs.empty and seen.steps.empty:
        return "Nothing was recorded: the tables hold no step and no epoch."
    if counts["batches"]:
        return (
            f"Nothing was trained inside the with block: {counts['batches']:.0f} batches passed through the network, and no "
            "backward pass and no optimizer step came after them."
        )
    shown = seen.over_epochs("train_loss")
    if not evaluated and shown.size > 1 and shown.min() < shown.max():
        return (
            "No module was called and no backward pass ran inside the with block, and the displayed train loss moves: "
            "the training loop is outside of the block, or works with functions and torch.autograd.grad alone, which are not seen."
        )
    also = f" Evaluation passes: {evaluated:.0f}." if evaluated else ""
    return (
        f"Nothing was trained inside the with block: no training batch, no backward pass, no optimizer step.{also} "
        "Either the training loop is outside of the block, or its loader is empty."
    )


def _other_model(seen: Observed) -> str:
    given, ran = seen.facts.get("model_given"), seen.facts.get("model_ran")
    if given is None or ran is None or seen.facts.get("model_given_ran", True):
        return ""
    other = f"another {ran}" if ran == given else f"a {ran}"
    return (
        f"The model you passed ({given}) was never called; {other} was. All that follows is about that one. "
        "Pass the object that is trained: kit.watch(model), or let it be found: kit.watch()."
    )


def _not_displayed(seen: Observed) -> str:
    if seen.over_epochs("train_loss").size or "train_loss" in seen.facts.get("displayed", ()):
        return ""
    if "version" not in seen.facts and "train_loss" in seen.epochs:
        return ""  # of a training history: NaN was displayed
    return f"I have not seen the displayed losses. Log them after the with block, one number per epoch: {LOG}."


def _unknown_weights(seen: Observed) -> str:
    unknown, known = seen.facts.get("weights_unknown") or (), seen.facts.get("weights_known") or ()
    if not unknown:
        return ""
    said = []
    for name in unknown:
        near = _nearest(name, known)
        said.append(name + (f" (did you mean {near}?)" if near else ""))
    those = (
        f"its weights are {', '.join(known)}" if known else "no loss with weights was seen; pass loss=, an nn.Module"
    )
    return f"The loss has no weights of these names: {', '.join(said)}; {those}."


def _only_a_log(seen: Observed) -> str:
    """Of what ``kit.read_log`` read."""
    if "log" not in seen.facts:
        return ""
    return f"I have seen a log only ({seen.facts['log']}): displayed numbers, which cannot establish what happens in the loop."


def _nearest(name: str, known: Collection[str]) -> str:
    bare = {entry.removeprefix(PREFIX): entry for entry in known}
    found = difflib.get_close_matches(name.removeprefix(PREFIX), list(bare), n=1, cutoff=0.5)
    return bare[found[0]] if found else ""


def provided(seen: Observed) -> frozenset[str]:
    """What this recording has, of all that a check may need (``Check.needs``)."""
    displayed = seen.facts.get("displayed", ())
    has: Mapping[str, Any] = {
        "training": seen.total("backwards") or seen.total("steps"),
        "steps": (seen.total("backwards") or 0) >= ENOUGH,
        "loss": seen.facts.get("loss_called"),
        "train_loss": seen.over_epochs("train_loss").size or "train_loss" in displayed,
        "val_loss": seen.over_epochs("val_loss").size or "val_loss" in displayed,
        "evaluation": (seen.over_epochs("eval_forwards") > 0).sum() > 1,
        "weights": seen.facts.get("weights_asked"),
    }
    return frozenset(name for name, held in has.items() if held)


def additions(
    seen: Observed, unanswered: Iterable[Check], leading: Collection[Check] = (), most: int = 2
) -> tuple[Addition, ...]:
    """What would answer most: of the leading causes' own checks first, then of all.

    A check counts for an addition if nothing else is missing for it, the additions named before it included. Only a trace of
    ``kit.watch`` can be added to; without a training in it, that comes first.
    """
    if "version" not in seen.facts:
        return ()
    has, left = set(provided(seen)), [c for c in unanswered if c.needs]
    found: list[Addition] = []
    offers = _offers(seen, has)
    while offers and len(found) < most:
        gains = {
            keys: [c for c in left if not set(c.needs) <= has and set(c.needs) <= has | {*keys}] for keys in offers
        }
        keys = max(gains, key=lambda keys: (sum(c in leading for c in gains[keys]), len(gains[keys])))
        if not gains[keys]:
            break
        found.append(Addition(offers.pop(keys), len(gains[keys])))
        has |= {*keys}
    return tuple(found)


def _offers(seen: Observed, has: Collection[str]) -> dict[tuple[str, ...], str]:
    """What is missing together -> the code that adds it."""
    if "training" not in has:
        return {("training", "steps"): "run the training inside the with block"}
    offers: dict[tuple[str, ...], str] = {}
    if "steps" not in has:
        offers["steps",] = f"train for {ENOUGH} steps or more inside the with block"
    if "loss" not in has:
        offers["loss",] = "kit.watch(model, loss=loss), with a loss that is an nn.Module"
    if hidden := [name for name in ("train_loss", "val_loss") if name not in has]:
        offers[(*hidden,)] = f"run.log({', '.join(f'{name}=[...]' for name in hidden)})"
    if "evaluation" not in has:
        offers["evaluation",] = "run the evaluation inside the with block, after every epoch"
    if "weights" not in has and (names := seen.facts.get("weights_known")):
        asked = ", ".join(f'"{name}": ...' for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        offers["weights",] = f"kit.watch(..., weights={{{asked}}}) with those of your configuration"
    return offers
