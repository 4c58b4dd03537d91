"""Which fault of the loop shows the report's symptom?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from types import MappingProxyType
from typing import ClassVar

import pandas as pd

from kit import datasets
from kit.diagnosis import Diagnosis, diagnose
from kit.diagnosis.speech import sure_of
from kit.faults import (
    Fault,
    FaultySystem,
    LossCountedOnStepsOnly,
    LossOutsideLoop,
    NanGradients,
    NanLossReadAsZero,
    WarmUpAtZero,
    all_applied,
)
from kit.investigation.fault_runs import FaultRuns, is_level, reads_zero, shows_symptom, spoken_range, spoken_run
from kit.plots import displayed_evidence
from kit.recording import Trace, watch
from kit.report import Finding, Table
from kit.training import RunningLoss, System, TrainingHistory, TrainingLoop

QUESTION = "Which fault of the loop shows the report's symptom?"
EPOCHS, TRIED_EPOCHS = 3, 2
SCENES, BATCH = 16, 4


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


HEALTHY = "no fault"
SKIPPED = "NaN gradients, loss added on taken steps only"
READ_AS_ZERO = "a NaN loss displayed as 0"
STILL_AND_UNADDED = "learning rate 0, loss never added"
STILL = "learning rate 0"
UNADDED = "loss never added"
ON_STEPS = "loss added on taken steps only"
AFTER_LOOP = "loss and step after the batch loop"
# name -> what is wrong; the three that show both numbers come first, then those that show one of them or none
FAULTS: Mapping[str, tuple[Fault, ...]] = MappingProxyType(
    {
        SKIPPED: (NanGradients(), LossCountedOnStepsOnly()),
        READ_AS_ZERO: (NanLossReadAsZero(),),
        STILL_AND_UNADDED: (WarmUpAtZero(), LossNeverAdded()),
        STILL: (WarmUpAtZero(),),
        UNADDED: (LossNeverAdded(),),
        ON_STEPS: (LossCountedOnStepsOnly(),),
        AFTER_LOOP: (LossOutsideLoop(),),
        HEALTHY: (),
    }
)
_AVERAGED = 0.999  # validation looks at averaged weights, as in the report's trainer


@dataclass(frozen=True)
class Watched:
    """One run: what its loop recorded of itself, what a watch saw of it from outside, and what that speaks for."""

    history: TrainingHistory
    trace: Trace
    diagnosis: Diagnosis


@dataclass(frozen=True)
class LoopFaults:
    """One watched run per fault; network, data, seed and order of the batches are the same."""

    watched: Mapping[str, Watched]
    seed: int | None = None

    @cached_property
    def runs(self) -> Mapping[str, TrainingHistory]:
        return {name: run.history for name, run in self.watched.items()}

    @property
    def counts(self) -> pd.DataFrame:
        """The four counts of the last epoch beside the losses: what was displayed, and the mean of what was computed."""
        return pd.DataFrame([_row(name, run) for name, run in self.watched.items()]).set_index("fault")

    @property
    def diagnoses(self) -> pd.DataFrame:
        """What each diagnosis names, how sure it is, and what the fixes did, each applied alone."""
        rows = []
        for name, run in self.watched.items():
            tried = [f"{c.plain}: {i.word}" for c in run.diagnosis.causes if (i := c.intervention) is not None]
            named = run.diagnosis.named
            rows.append(
                {
                    "fault": name,
                    "verdict": run.diagnosis.verdict.replace("_", " "),
                    "named": "; ".join(c.plain for c in named) or "none",
                    "how sure": "; ".join(sure_of(run.diagnosis, c) for c in named),
                    "fixes tried, each alone": "; ".join(tried) or "none",
                }
            )
        return pd.DataFrame(rows).set_index("fault")


def few_scenes_system() -> System:
    """The system of the recorded run on a quarter of its scenes, still four batches an epoch; validation looks at averaged weights."""
    whole = datasets.reference_system()
    config = replace(whole.config, epochs=EPOCHS, batch_size=BATCH, ema_decay=_AVERAGED)
    return replace(whole, train=whole.train[:SCENES], validation=whole.validation[: SCENES // 2], config=config)


def run_loop_faults(
    system: System,
    faults: Mapping[str, tuple[Fault, ...]] = FAULTS,
    *,
    progress: Callable[[str], None] = lambda name: None,
) -> LoopFaults:
    """Train the system once per entry under a watch, diagnose each run, and try the fix of every cause that has a sign.

    Args:
        system: what is trained, for the epochs of its config; the fixes are tried for two.
        faults: name -> what is wrong.
        progress: called with a name when its run is there.
    """
    found = {}
    for name, applied in faults.items():
        history, trace = _watched(system, applied)
        faulty_system = FaultySystem(system, applied, epochs=min(system.config.epochs, TRIED_EPOCHS))
        found[name] = Watched(history, trace, diagnose(trace).confirmed_by(faulty_system))
        progress(name)
    return LoopFaults(MappingProxyType(found), system.seed)


def one_by_one(found: LoopFaults) -> Mapping[str, TrainingHistory]:
    """The run with two faults: as it is, with one of them taken out, with the other, with both."""
    still, unadded = (fault.title for fault in FAULTS[STILL_AND_UNADDED])
    left = {
        "both faults": STILL_AND_UNADDED,
        f"without: {still}": UNADDED,
        f"without: {unadded}": STILL,
        "without both": HEALTHY,
    }
    return {what: found.runs[name] for what, name in left.items()}


def which_number(history: TrainingHistory) -> str:
    """ "both", "train only", "validation only" or "neither": exactly 0 in every epoch, and the same above 0 in every epoch."""
    zero, level = reads_zero(history.train_loss), is_level(history.val_loss) and history.val_loss[0] != 0
    return {(True, True): "both", (True, False): "train only", (False, True): "validation only"}.get(
        (zero, level), "neither"
    )


def counts_table(found: LoopFaults) -> Table:
    rows = found.counts.reset_index()
    for name in rows.columns[rows.columns.str.startswith(("train", "validation"))]:
        rows[name] = [f"{loss:.6f}" if isfinite(loss) else "not finite" for loss in rows[name]]  # as loops display it
    return Table(
        rows,
        "Are the four counts of an epoch the same, and is the displayed train loss the one that was computed? Counts of the last epoch.",
        answer="number of the symptom",
    )


def diagnoses_table(found: LoopFaults) -> Table:
    return Table(
        found.diagnoses.reset_index(),
        "What does each run's own record speak for, and is the symptom gone with that cause's fix alone?",
    )


def one_by_one_table(found: LoopFaults) -> Table:
    rows = [
        {
            "run": what,
            "train": spoken_range(history.train_loss),
            "validation": spoken_range(history.val_loss),
            "number of the symptom left": which_number(history),
        }
        for what, history in one_by_one(found).items()
    ]
    return Table(
        pd.DataFrame(rows),
        "Two faults at once: which number does each of them make?",
        answer="number of the symptom left",
    )


def outside_finding(found: LoopFaults, *, command: str) -> Finding:
    """The finding of notebook 07, worded by what the runs show.

    Args:
        found: from ``run_loop_faults``, with every fault of ``FAULTS``.
    """
    both = [name for name, run in found.runs.items() if shows_symptom(run)]
    train, level, neither = (
        [name for name, run in found.runs.items() if name != HEALTHY and which_number(run) == word]
        for word in ("train only", "validation only", "neither")
    )
    after = found.counts.loc[AFTER_LOOP]
    answer = [f"Both numbers, exactly: {'; '.join(both) or 'none'}."]
    answer += [f"Only a train loss of 0: {'; '.join(train)}."] if train else []
    answer += [f"Only a level validation loss: {'; '.join(level)}."] if level else []
    answer += [f"Neither: {'; '.join(neither)}."] if neither else []
    answer.append(
        f"With loss and step after the batch loop an epoch of {after['batches']} batches has {after['loss']} loss and {after['step']} "
        f"step; the run reads {spoken_run(found.runs[AFTER_LOOP])}."
    )
    return Finding(
        question=QUESTION,
        claim="Faults of the loop show a train loss of 0 and a level validation loss. (The report names none of them.)",
        verdict="confirmed" if both else "refuted",
        answer=" ".join(answer),
        evidence=(
            counts_table(found),
            displayed_evidence(found.counts),
            diagnoses_table(found),
            one_by_one_table(found),
        ),
        fix=(
            "Count forward passes, losses, backward passes and steps of one epoch, and compare the displayed mean with the losses themselves. "
            "Add every batch's loss to the sum, stepped or not; keep loss, backward and step inside the loop; start a warm-up above 0."
        ),
        remains=REMAINS,
        seed=found.seed,
        command=command,
        sure=FaultRuns(found.runs, found.seed).how_sure,
    )


REMAINS = (
    "The faults are put in on purpose. The project that the report belongs to (TahmidZee/ris-localization-mvdr, first public commit 86c2feb) "
    "noted on Oct 24, 2025 that lam_cov = 1.0 did not cure the run, on Oct 27 that the sum stood in the branch of a taken step and that "
    "the warm-up began at a learning rate of 0, and later a step gate that skipped in silence: faults of the loop, one after the other. Which of "
    "them acted at the time of the report cannot be seen any more."
)


def _watched(system: System, applied: tuple[Fault, ...]) -> tuple[TrainingHistory, Trace]:
    loop = system.new_loop()
    with all_applied(loop, *applied), watch(loop.model, loss=loop.loss) as run:
        history = loop.run()
    run.log(
        epoch=[record["epoch"] for record in history.epoch_records],
        train_loss=history.train_loss,
        val_loss=history.val_loss,
    )
    return history, run.trace


def _row(name: str, run: Watched) -> dict[str, object]:
    last, seen = run.history.epoch_records[-1], run.trace.epochs.iloc[-1]
    return {
        "fault": name,
        "batches": last["batches"],
        "forward": last["forward_passes"],
        "loss": last["loss_calls"],
        "backward": int(seen["backwards"]),
        "step": int(seen["steps"]),
        "train, computed": seen["loss_mean"],
        "train, displayed": last["train_loss"],
        "validation, first": run.history.val_loss[0],
        "validation, last": run.history.val_loss[-1],
        "number of the symptom": which_number(run.history),
    }
