"""The page of one recorded run: what it is, how that is known, what to do; then the run itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kit.diagnosis import Diagnosis
from kit.diagnosis.chain import NOT_OBSERVED
from kit.diagnosis.speech import answer, fixes, lower, reasons, unseen
from kit.hypotheses import Observed
from kit.hypotheses.checks.symptoms import spoken
from kit.plots import Evidence, chain_evidence, compare_runs, evidence
from kit.report import Answer, Finding, Table
from kit.studies.causes import causes_table

# badge -> the verdict whose colour it has
_BADGES: Mapping[str, tuple[str, str]] = {
    "fault": ("found", "refuted"),
    "wrong_number": ("found", "refuted"),
    "partly": ("found", "partly"),
    "not_a_fault": ("not a fault", "partly"),
    "healthy": ("healthy", "confirmed"),
    "nothing_found": ("nothing found", "open"),
    "unexplained": ("unexplained", "open"),
}
_TITLES: Mapping[str, str] = {
    "healthy": "No symptom, and no sign of a known cause",
    "nothing_found": "No sign of trouble in the loop itself",
    "unexplained": "There is a symptom, and no known cause explains it",
    "nothing_trained": "Nothing was trained inside the with block",
    "model_not_called": "The model that was passed was never called",
    "not_displayed": "The displayed losses were not logged",
    "only_a_log": "A log of displayed numbers, without a sign of trouble",
    "unknown_weights": "The loss has no weights of the names that were asked for",
}
_COUNTS: Mapping[str, str] = {
    "batches": "batches", "backwards": "backward passes", "steps": "steps", "scaler_skips": "skipped by the scaler",
    "eval_forwards": "evaluation passes", "lr": "learning rate",
}  # fmt: skip
_ROWS = 12  # epochs in the table; of a longer run the first and the last


@dataclass(frozen=True)
class Curves:
    """Train and validation loss by epoch; NaN where there was none."""

    train_loss: list[float]
    val_loss: list[float]


def diagnosis_finding(diagnosis: Diagnosis, run: Any, *, command: str = "", seed: int | None = None) -> Finding:
    """The diagnosis as a page about this run: the cause as its title, curves, counts, what decides, and what else was considered.

    Args:
        run: what was diagnosed: a trace, a training history, or anything else that ``diagnose`` takes.
        command: how to see it again.
    """
    seen, top = Observed.of(run), diagnosis.top
    badge, colour = _BADGES[diagnosis.verdict]
    lacks = [notice.sentence for notice in diagnosis.lacks]
    return Finding(
        question=title_of(diagnosis),
        claim="",
        verdict=colour,
        badge=badge,
        answer=" ".join([*([*lacks, *answer(diagnosis)] if top is None else ()), what_ran(seen)]),
        evidence=tuple(_evidence(diagnosis, seen)),
        remains=" ".join(unseen(diagnosis)),
        seed=seed,
        command=command,
        sure=_sure(diagnosis),
        summary=None if top is None else _box(diagnosis, seen, lacks),
    )


def _box(diagnosis: Diagnosis, seen: Observed, lacks: list[str]) -> Answer:
    """Below the title, which names the causes: what happens, how that is known, what to do."""
    return Answer(
        wrong="\n".join([*lacks, *(cause.hypothesis.mechanism or cause.plain for cause in diagnosis.named)]),
        evidence=_measured(diagnosis, seen),
        action=" ".join(fixes(diagnosis)),
        code="\n".join(cause.hypothesis.guard for cause in diagnosis.named if cause.hypothesis.guard),
    )


def title_of(diagnosis: Diagnosis) -> str:
    """The cause in a sentence, or that there is none."""
    if diagnosis.top is None:
        lacks = diagnosis.verdict == "nothing_found" and diagnosis.lacks
        return _TITLES[lacks[0].key if lacks else diagnosis.verdict]
    first, *others = diagnosis.named
    return ", and ".join([first.plain, *(lower(cause.plain) for cause in others)])


def what_ran(seen: Observed) -> str:
    """ "Vae, trained with Adam on Loss: 24 batches, 24 backward passes and 24 steps in 3 epochs." """
    facts = seen.facts
    if "log_story" in facts:  # of kit.read_log: what its numbers tell, nothing was counted
        return " ".join(facts["log_story"])
    who = ", trained with ".join(filter(None, [facts.get("model_ran"), ", ".join(facts.get("optimizers") or ())]))
    who += f" on {facts['loss']}" if who and facts.get("loss") else ""
    parts = [(seen.total(name), word) for name, word in list(_COUNTS.items())[:3]]
    counts = [f"{count:.0f} {word}" for count, word in parts if count is not None]
    epochs = max(1, len(seen.epochs))
    said = f"{', '.join(counts) or 'no count'} in {epochs} epoch{'s' if epochs > 1 else ''}"
    ended = facts.get("ended")
    after = "" if ended in (None, "return", "not yet") else f" It ended with {ended}."
    return f"{who}: {said}.{after}" if who else f"{said[:1].upper()}{said[1:]}.{after}"


def _measured(diagnosis: Diagnosis, seen: Observed) -> list[tuple[str, str]]:
    """What decides, what else holds without exception, and the two displayed numbers."""
    own = list(dict.fromkeys(sign.key for cause in diagnosis.named for sign in cause.hypothesis.signs))
    said = [f for f in map(diagnosis.result, own) if f.yes]
    pairs = [(f.label, f.answer.fact or f.answer.because) for f in said]
    pairs += [(f.label, f.answer.because) for f in diagnosis.results if f.answer.fact and f.key not in own]
    shown = {"train, displayed": "train_loss", "validation, displayed": "val_loss"}
    pairs += [(lower(cause.plain), because) for cause, because in diagnosis.also_found]
    return pairs + [
        (what, spoken(seen.over_epochs(name))) for what, name in shown.items() if seen.over_epochs(name).size
    ]


def _sure(diagnosis: Diagnosis) -> str:
    top = diagnosis.top
    if top is None:
        return ""
    said = (
        "Established by what was counted, without weighing."
        if top.facts
        else f"{top.percent}, weighed with every check that was answered."
    )
    return said if top.intervention is None else f"{said} Intervention: {top.intervention.word}."


def _evidence(diagnosis: Diagnosis, seen: Observed) -> Iterator[Evidence | Table | str]:
    if any(link.state != NOT_OBSERVED for link in diagnosis.chain.whole):
        yield chain_evidence(diagnosis.chain)
    curves = curves_evidence(seen)
    if curves is not None:
        yield curves
    if not seen.epochs.empty:
        yield epoch_table(seen)
    yield from reasons(diagnosis)
    if any(len(cause.silent) < len(cause.hypothesis.signs) for cause in diagnosis.causes):
        yield causes_table(diagnosis, named=False)


def curves_of(seen: Observed) -> dict[str, Curves]:
    """ "displayed" and "computed", where there is any of it."""
    rows = seen.epochs
    both = {
        "displayed": (_by_epoch(rows, "train_loss"), _by_epoch(rows, "val_loss")),
        "computed": (_by_epoch(rows, "loss_mean", "loss_returned_mean"), _by_epoch(rows, "eval_loss_mean")),
    }
    if both["computed"][0].isna().all() and {"epoch", "loss"} <= set(seen.steps):  # a training history
        means = seen.steps.groupby("epoch")["loss"].mean()
        if len(means) == len(rows):
            both["computed"] = (means, both["computed"][1])
    found = {name: Curves(*(values.tolist() for values in pair)) for name, pair in both.items()}
    return {name: pair for name, pair in found.items() if _finite([*pair.train_loss, *pair.val_loss])}


def curves_evidence(seen: Observed) -> Evidence | None:
    """The run's own curves: what it displayed, and what it computed; None if there is neither."""
    runs = curves_of(seen)
    if not runs:
        return None
    axes = compare_runs(runs)
    for ax, name in zip(axes, ("train_loss", "val_loss"), strict=True):
        heights = _finite([value for pair in runs.values() for value in getattr(pair, name)])
        if not heights:
            ax.text(0.5, 0.5, "not seen", transform=ax.transAxes, ha="center", color="0.4")
            ax.set_yticks([])
        elif min(heights) < 0:
            room = 0.05 * (max(heights) - min(heights) or abs(min(heights)))
            ax.set_ylim(min(heights) - room, max(heights) + room)
    said = "; ".join(
        f"{what} {name}: {spoken(np.array(values))}"
        for name, pair in runs.items()
        for what, values in (("train", pair.train_loss), ("validation", pair.val_loss))
        if _finite(values)
    )
    numbers: dict[str, list] = {"epoch": [int(epoch) for epoch in seen.epochs.index]}
    for name, pair in runs.items():
        numbers[f"train loss, {name}"], numbers[f"validation loss, {name}"] = (
            [value if np.isfinite(value) else None for value in values] for values in (pair.train_loss, pair.val_loss)
        )
    caption = (
        "Do the two losses of this run move, and is what was displayed what was computed? Healthy: both fall, and the curves lie on "
        "one another."
    )
    return evidence(axes[0], f"Two line charts by epoch, train and validation loss. {said}.", caption, numbers)


def epoch_table(seen: Observed) -> Table:
    """Counts of each epoch; columns that were not observed are left out."""
    rows = seen.epochs
    columns: dict[str, Any] = {}
    for name, word in _COUNTS.items():
        if name in rows and rows[name].notna().any() and (name != "scaler_skips" or rows[name].any()):
            columns[word] = rows[name] if name == "lr" else _cells(rows[name])
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()}, index=rows.index)
    if len(frame) and frame.index.name != "epoch":
        frame.index = pd.RangeIndex(1, len(frame) + 1)
    frame.index.name = "epoch"
    said = "What did each epoch do? In a plain loop there are as many backward passes and steps as batches."
    if len(frame) > _ROWS:
        said += f" The first and the last {_ROWS // 2} of {len(frame)} epochs."
        frame = pd.concat([frame.head(_ROWS // 2), frame.tail(_ROWS // 2)])
    return Table(frame.reset_index(), said)


def _by_epoch(rows: pd.DataFrame, *names: str) -> pd.Series:
    """The first of these columns that holds a number; NaN throughout if none does."""
    for name in names:
        if name in rows and rows[name].notna().any():
            return rows[name].astype(float)
    return pd.Series(np.nan, index=rows.index, dtype=float)


def _finite(values: list[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _cells(values: Iterable[float]) -> list[int] | list[str]:
    """Whole numbers; texts where one is missing, so that it stays empty."""
    values = list(values)
    missing = len(_finite(values)) < len(values)
    return ["" if np.isnan(v) else f"{v:.0f}" for v in values] if missing else [int(v) for v in values]
