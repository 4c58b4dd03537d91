"""Which fault of the loop shows the report's symptom?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import ClassVar

import pandas as pd

from kit import datasets
from kit.diagnosis.speech import sure_of
from kit.faults import Fault, LossCountedOnStepsOnly, LossOutsideLoop, NanLossReadAsZero, WarmUpAtZero
from kit.plots import displayed_evidence
from kit.report import Table
from kit.studies.setup import Setup, WatchedRun
from kit.studies.study import Asked, Results, Study, Words
from kit.studies.symptom import losses_text, range_text, symptom_shown
from kit.training import RunningLoss, System, TrainingHistory, TrainingLoop

EPOCHS, SCENES, BATCH = 3, 16, 4


class _NeverAdded(RunningLoss):
    def add(self, loss: float, stepped: bool) -> None:
        super().add(0.0, stepped)


@dataclass(frozen=True)
class LossNeverAdded(Fault):
    """The line that adds the loss to the running sum is missing: 0 divided by the number of batches."""

    key: ClassVar[str] = "loss_never_added"
    title: ClassVar[str] = "The loss is never added to the running sum"
    hypothesis: ClassVar[str] = "wrong_number"

    def _apply(self, loop: TrainingLoop) -> None:
        loop.new_running_loss = _NeverAdded


SKIPPED, READ_AS_ZERO, STILL_AND_UNADDED = "nan_and_steps_only", "nan_loss_read_as_zero", "zero_lr_never_added"
STILL, UNADDED, ON_STEPS, AFTER_LOOP = "zero_lr", "never_added", "steps_only", "after_the_loop"
HEALTHY = "no_fault"
# the three that show both numbers come first, then those that show one of them or none
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        SKIPPED: Setup("NaN gradients, loss added on taken steps only", datasets.FAULTY_RUN_FAULTS),
        READ_AS_ZERO: Setup("a NaN loss displayed as 0", (NanLossReadAsZero(),)),
        STILL_AND_UNADDED: Setup("learning rate 0, loss never added", (WarmUpAtZero(), LossNeverAdded())),
        STILL: Setup("learning rate 0", (WarmUpAtZero(),)),
        UNADDED: Setup("loss never added", (LossNeverAdded(),)),
        ON_STEPS: Setup("loss added on taken steps only", (LossCountedOnStepsOnly(),)),
        AFTER_LOOP: Setup("loss and step after the batch loop", (LossOutsideLoop(),)),
        HEALTHY: Setup("no fault"),
    }
)
_AVERAGED = 0.999  # validation looks at averaged weights, as in the report's trainer


def few_scenes_system() -> System:
    """The system of the recorded run on a quarter of its scenes, still four batches an epoch; validation looks at averaged weights."""
    whole = datasets.reference_system()
    config = replace(whole.config, epochs=EPOCHS, batch_size=BATCH, ema_decay=_AVERAGED)
    return replace(whole, train=whole.train[:SCENES], validation=whole.validation[: SCENES // 2], config=config)


def counts(results: Results) -> pd.DataFrame:
    """The four counts of the last epoch beside the losses: what was displayed, and the mean of what was computed."""
    return pd.DataFrame([_row(name, run) for name, run in results.watched.items()]).set_index("fault")


def _row(name: str, run: WatchedRun) -> dict[str, object]:
    last, seen = run.history.epoch_records[-1], run.trace.epochs.iloc[-1]
    return {
        "fault": name,
        "batches": last["batches"],
        "forward": last["forward_passes"],
        "loss": last["loss_calls"],
        "backward": int(seen["backwards"]),
        "steps": int(seen["steps"]),
        "train_computed": seen["loss_mean"],
        "train_displayed": last["train_loss"],
        "val_first": run.history.val_loss[0],
        "val_last": run.history.val_loss[-1],
        "symptom": symptom_shown(run.history),
    }


_CAPTIONS = {
    "train_computed": "train, computed",
    "train_displayed": "train, displayed",
    "val_first": "validation, first",
    "val_last": "validation, last",
    "symptom": "number of the symptom",
}


def _captioned(results: Results) -> pd.DataFrame:
    return counts(results).rename(index=results.caption)


def counts_table(results: Results) -> Table:
    rows = _captioned(results).rename(columns=_CAPTIONS).reset_index()
    for name in rows.columns[rows.columns.str.startswith(("train", "validation"))]:
        rows[name] = [f"{loss:.6f}" if isfinite(loss) else "not finite" for loss in rows[name]]  # as loops display it
    return Table(
        rows,
        "Are the four counts of an epoch the same, and is the displayed train loss the one that was computed? Counts of the last epoch.",
        answer="number of the symptom",
    )


def diagnoses_table(results: Results) -> Table:
    """What each diagnosis names, how sure it is, and what the fixes did, each applied alone."""
    rows = []
    for name, run in results.watched.items():
        tried = [f"{c.plain}: {i.word}" for c in run.diagnosis.causes if (i := c.intervention) is not None]
        named = run.diagnosis.named
        rows.append(
            {
                "fault": results.caption(name),
                "verdict": run.diagnosis.verdict.replace("_", " "),
                "named": "; ".join(c.plain for c in named) or "none",
                "how sure": "; ".join(sure_of(run.diagnosis, c) for c in named),
                "fixes tried, each alone": "; ".join(tried) or "none",
            }
        )
    return Table(
        pd.DataFrame(rows),
        "What does each run's own record speak for, and is the symptom gone with that cause's fix alone?",
    )


def one_by_one(results: Results) -> dict[str, TrainingHistory]:
    """The run with a learning rate of 0 and a loss that is never added, and what is left when one of them, or both, are mended."""
    still, unadded = (fault.title for fault in SETUPS[STILL_AND_UNADDED].faults)
    left = {
        "both faults": STILL_AND_UNADDED,
        f"without: {still}": UNADDED,
        f"without: {unadded}": STILL,
        "without both": HEALTHY,
    }
    return {what: results.runs[name] for what, name in left.items()}


def one_by_one_table(results: Results) -> Table:
    rows = [
        {
            "run": what,
            "train": range_text(history.train_loss),
            "validation": range_text(history.val_loss),
            "number of the symptom left": symptom_shown(history),
        }
        for what, history in one_by_one(results).items()
    ]
    return Table(
        pd.DataFrame(rows),
        "Two faults at once: which number does each of them make?",
        answer="number of the symptom left",
    )


def _words(results: Results) -> Words:
    """Confirmed if any fault of the loop shows both numbers."""
    both = results.showing_symptom()
    train, level, neither = (
        [results.caption(name) for name, run in results.runs.items() if name != HEALTHY and symptom_shown(run) == word]
        for word in ("train only", "validation only", "neither")
    )
    after = counts(results).loc[AFTER_LOOP]
    answer = [f"Both numbers, exactly: {'; '.join(both) or 'none'}."]
    answer += [f"Only a train loss of 0: {'; '.join(train)}."] if train else []
    answer += [f"Only an unchanged validation loss: {'; '.join(level)}."] if level else []
    answer += [f"Neither: {'; '.join(neither)}."] if neither else []
    answer.append(
        f"With loss and step after the batch loop an epoch of {after['batches']} batches has {after['loss']} loss and {after['steps']} "
        f"step; the run reads {losses_text(results.runs[AFTER_LOOP])}."
    )
    return Words(
        verdict="confirmed" if both else "refuted",
        answer=" ".join(answer),
        fix=(
            "Count forward passes, losses, backward passes and steps of one epoch, and compare the displayed mean with the losses themselves. "
            "Add every batch's loss to the sum, stepped or not; keep loss, backward and step inside the loop; start a warm-up above 0."
        ),
        remains=REMAINS,
    )


REMAINS = (
    "The faults are caused on purpose. The project that the report belongs to (TahmidZee/ris-localization-mvdr, first public commit 86c2feb) "
    "noted on Oct 24, 2025 that lam_cov = 1.0 did not cure the run, on Oct 27 that the sum stood in the branch of a taken step and that "
    "the warm-up began at a learning rate of 0, and later a step gate that skipped in silence: faults of the loop, one after the other. Which of "
    "them acted at the time of the report cannot be seen any more."
)


def _after_the_loop(results: Results) -> tuple[float, float]:
    """Displayed and computed train loss of the last epoch, where loss and step stand after the batch loop."""
    row = counts(results).to_dict("index")[AFTER_LOOP]
    return row["train_displayed"], row["train_computed"]


_ASKED = Asked(
    "Loss, backward and step stand one indentation too far left, after the loop over the batches. What does train read?",
    MappingProxyType(
        {
            "0": lambda results: _after_the_loop(results)[0] == 0,
            "too little": lambda results: 0 < _after_the_loop(results)[0] < 0.99 * _after_the_loop(results)[1],
            "the loss that was computed": lambda results: (
                abs(_after_the_loop(results)[0] - _after_the_loop(results)[1]) <= 0.01 * _after_the_loop(results)[1]
            ),
        }
    ),
    lambda results: "{:.4f} displayed, {:.4f} computed.".format(*_after_the_loop(results)),
)


STUDY = Study(
    key="faults_of_the_loop",
    question="Which fault of the loop shows the report's symptom?",
    claim="Faults of the loop show a train loss of 0 and an unchanged validation loss. (The report names none of them.)",
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    watched=True,
    system=few_scenes_system,
    evidence=("counts", "displayed", "diagnoses", "one_by_one"),
    shown=MappingProxyType(
        {
            "counts": counts_table,
            "displayed": lambda results: displayed_evidence(_captioned(results)),
            "diagnoses": diagnoses_table,
            "one_by_one": one_by_one_table,
        }
    ),
)
