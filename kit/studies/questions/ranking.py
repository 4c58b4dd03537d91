"""Which of the report's five causes makes the train loss 0?"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

from kit.datasets import load_faulty_run
from kit.diagnosis import Diagnosis, diagnose
from kit.hypotheses import REPORT
from kit.plots import layer_heatmap_evidence, symptom_evidence
from kit.report import Table
from kit.studies.causes import ranked_table
from kit.studies.probed_batch import one_batch
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.training import TrainingHistory


def _words(results: Results) -> Words:
    """Confirmed if a reading makes the loss 0 and the recorded validation loss is 0 as well."""
    run: TrainingHistory = results.facts["recorded"]
    diagnosis: Diagnosis = results.facts["diagnosis"]
    healthy, *readings = results.step.results
    zeros = [trial for trial in readings if trial.loss == 0]
    named = ", ".join(f"“{trial.title}”" for trial in zeros) or "none of them"
    level = run.val_loss[-1]
    explained = bool(zeros) and level == 0
    answer = (
        f"On one batch of the recorded run's data, with its initial network, the loss is {healthy.loss:.4f}. Of the "
        f"{len(readings)} readings of the report's five causes, the loss is exactly 0 under: {named}. "
    )
    if explained:
        answer += "The recorded validation loss is 0 too, so that reading gives both numbers."
    elif zeros:
        answer += (
            f"Validation would then read 0 as well, and the recorded one reads {level:.4f}, so no reading gives both "
            "numbers."
        )
    else:
        answer += "So no reading gives a train loss of 0."
    if diagnosis.top is not None:
        top, first = diagnosis.top, REPORT[0]
        answer += (
            f" Weighed with everything the run recorded, “{top.title}” has a posterior of {top.percent}, and "
            f"“{first.title}”, which the report gives {first.prior:.0%}, has {diagnosis.cause(first.key).percent}."
        )
    return Words(
        verdict="confirmed" if explained else "refuted",
        answer=answer,
        fix="Before changing a weight, compare the loss of one batch with the number displayed, and count the steps taken.",
        remains=_what_the_run_counted(run),
        sure=(
            f"One batch and one recorded run of {len(run.epochs)} epochs. The loss of each reading is exact for this batch; a posterior "
            "is an estimate; `make report` counts how often it is right."
        ),
    )


def _what_the_run_counted(run: TrainingHistory) -> str:
    epochs, losses = run.epochs, [step["loss"] for step in run.step_records]
    counted = (
        f"The recorded run made {int(epochs['loss_calls'].sum())} loss evaluations in {len(epochs)} epochs, with values of "
        f"{min(losses):.2f} to {max(losses):.2f}, took {int(epochs['steps_taken'].sum())} optimizer steps and replaced "
        f"{int(epochs['nan_replaced'].sum())} NaN entries of its gradients."
    )
    if min(losses) > 0 and run.train_loss[-1] == 0:
        counted += (
            " Losses above 0 were computed and 0 was displayed: look at the loop's bookkeeping next, not at the loss."
        )
    if epochs["steps_taken"].sum() == 0:
        counted += " No step was taken, which explains an unchanged validation loss."
    return counted


# column of the record -> heading
_COUNTS = {
    "forward_passes": "forward",
    "loss_calls": "loss",
    "backward_calls": "backward",
    "steps_taken": "step",
    "nan_replaced": "NaN entries set to 0",
}


def counts_table(run: TrainingHistory) -> Table:
    """What each epoch of a recorded run counted."""
    counts = run.epochs[list(_COUNTS)].astype(int).rename(columns=_COUNTS)
    return Table(
        counts,
        "How many forward passes, losses, backward passes and steps does each epoch have? Healthy: four times the same.",
    )


_ELSE = "something else"


def _names(results: Results, key: str) -> bool:
    """Whether the diagnosis of the recorded run names this cause."""
    return any(cause.key == key for cause in results.facts["diagnosis"].named)


def _names_another(results: Results) -> bool:
    """Whether it names a cause that the report does not."""
    return any(cause.key not in {h.key for h in REPORT} for cause in results.facts["diagnosis"].named)


_ASKED = Asked(
    "Which cause would you look for first?",
    MappingProxyType({**{h.title: partial(_names, key=h.key) for h in REPORT}, _ELSE: _names_another}),
    lambda results: f"{'; '.join(cause.plain for cause in results.facts['diagnosis'].named) or 'none'}.",
)


STUDY = Study(
    key="ranking",
    question="Why does the train loss read 0 while the validation loss does not change?",
    claim="Five causes, by opinion: " + "; ".join(f"{h.title} ({h.prior:.0%})" for h in REPORT) + ".",
    asked=_ASKED,
    words=_words,
    before=MappingProxyType(
        {
            "step": one_batch,
            "recorded": lambda system: load_faulty_run(),
            "diagnosis": lambda system: diagnose(load_faulty_run()),
        }
    ),
    panel_title="Which weight can make this loss read 0?",
    evidence=("recorded", "readings", "posterior", "layers", PANEL),
    shown=MappingProxyType(
        {
            "recorded": lambda results: symptom_evidence(results.facts["recorded"]),
            "counts": lambda results: counts_table(results.facts["recorded"]),
            "posterior": lambda results: ranked_table(results.facts["diagnosis"]),
            "layers": lambda results: layer_heatmap_evidence(results.step.reports["as it is"]),
        }
    ),
)
