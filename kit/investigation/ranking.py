"""Which of the report's five causes makes the train loss 0?"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from kit.diagnosis import Diagnosis
from kit.hypotheses import REPORT, Hypothesis, OneStep, at_one_step
from kit.investigation.diagnosed import ranked_table
from kit.panel import Panel
from kit.plots import layer_heatmap_evidence, symptom_evidence
from kit.report import Finding, PanelSetting, Table
from kit.training import System, TrainingHistory, predict

# as in the main phase of the report's trainer: R_blend holds 30 % of the sample covariance
blended_predict = partial(predict, beta=0.3)

QUESTION = "Why does the train loss read 0 while the validation loss does not change?"


def rank_at_one_step(system: System, *, hypotheses: Iterable[Hypothesis] = REPORT, samples: int = 64) -> OneStep:
    """Every reading of the report's hypotheses (or of those given), tried on one batch of the system's fresh network."""
    return at_one_step(
        hypotheses, system.new_model(), system.new_loss(), system.batch(samples), predict=blended_predict
    )


def ranking_finding(
    run: TrainingHistory,
    step: OneStep,
    panel: Panel | PanelSetting,
    *,
    command: str,
    diagnosis: Diagnosis | None = None,
) -> Finding:
    """The finding of notebook 00, worded by what was measured: the symptom, the readings side by side, the panel.

    With a diagnosis of the run: the measured posterior beside the report's prior.
    """
    healthy, *readings = step.results
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
    if diagnosis is not None and diagnosis.top is not None:
        top, first = diagnosis.top, REPORT[0]
        answer += (
            f" Weighed with everything the run recorded, “{top.title}” has a posterior of {top.percent}, and "
            f"“{first.title}”, which the report gives {first.prior:.0%}, has {diagnosis.cause(first.key).percent}."
        )
    return Finding(
        question=QUESTION,
        claim="Five causes, by opinion: " + "; ".join(f"{h.title} ({h.prior:.0%})" for h in REPORT) + ".",
        verdict="confirmed" if explained else "refuted",
        answer=answer,
        evidence=(
            symptom_evidence(run),
            Table(
                step.table,
                "What does each reading do to the loss of one batch? The symptom needs 0 here, and a validation loss "
                "above 0.",
                answer="reads 0?",
            ),
            *(() if diagnosis is None else (ranked_table(diagnosis),)),
            layer_heatmap_evidence(step.reports[healthy.case]),
            panel,
        ),
        fix="Before changing a weight, compare the loss of one batch with the number displayed, and count the steps taken.",
        remains=_what_the_run_counted(run),
        seed=run.settings.get("seed"),
        command=command,
        sure=(
            f"One batch and one recorded run of {len(run.epochs)} epochs. The loss of each reading is exact for this batch; a posterior "
            "is an estimate; `make report` counts how often it is right."
        ),
    )


def _what_the_run_counted(run: TrainingHistory) -> str:
    epochs, losses = run.epochs, [step["loss"] for step in run.step_records]
    counted = (
        f"The recorded run made {int(epochs['loss_calls'].sum())} loss evaluations in {len(epochs)} epochs, with values of "
        f"{min(losses):.2f} to {max(losses):.2f}, took {int(epochs['steps_taken'].sum())} optimiser steps and replaced "
        f"{int(epochs['nan_replaced'].sum())} NaN entries of its gradients."
    )
    if min(losses) > 0 and run.train_loss[-1] == 0:
        counted += (
            " Losses above 0 were computed and 0 was displayed: look at the loop's bookkeeping next, not at the loss."
        )
    if epochs["steps_taken"].sum() == 0:
        counted += " No step was taken, which explains a level validation loss."
    return counted
