"""Which of the report's five causes makes the train loss 0?"""

from __future__ import annotations

from functools import partial

from kit.hypotheses import REPORT, OneStep, at_one_step
from kit.panel import Panel
from kit.plots import layer_heatmap_evidence, symptom_evidence
from kit.report import Finding, Table
from kit.training import Patient, TrainingHistory, predict

PROBED_BETA = 0.3  # share of the sample covariance in R_blend, as in the main phase of the report's trainer
QUESTION = "Why does the train loss read 0 while the validation loss does not change?"


def rank_at_one_step(patient: Patient, *, samples: int = 64) -> OneStep:
    """Every reading of the report's hypotheses, tried on one batch of the patient's fresh network."""
    forward = partial(predict, beta=PROBED_BETA)
    return at_one_step(REPORT, patient.new_model(), patient.new_loss(), patient.batch(samples), predict=forward)


def ranking_finding(run: TrainingHistory, step: OneStep, panel: Panel, *, command: str) -> Finding:
    """The finding of notebook 00: the symptom, the readings side by side, the panel."""
    healthy = step.trials[0]
    zeros = [trial for trial in step.trials if trial.loss == 0]
    named = ", ".join(f"“{trial.title}”" for trial in zeros) or "none"
    level = run.val_loss[-1]
    answer = (
        f"On one batch of the same network and data the loss is {healthy.loss:.4f}, not 0. Of the "
        f"{len(step.trials) - 1} readings of the report's five causes, the loss is exactly 0 under: {named}. Validation "
        f"is the same function, so it would read 0 there as well, and the recorded one reads {level:.4f}. No cause of the "
        "report gives both numbers. The fifth comes nearest: with every gradient NaN no step is taken, which explains a "
        "level validation loss, but the train loss keeps its value."
    )
    return Finding(
        question=QUESTION,
        claim=(
            "Five causes, by opinion: "
            + "; ".join(f"{hypothesis.title} ({hypothesis.prior:.0%})" for hypothesis in REPORT)
            + "."
        ),
        verdict="refuted",
        answer=answer,
        evidence=(
            symptom_evidence(run),
            Table(
                step.table,
                "What does each reading do to the loss of one batch? The symptom needs 0 here, and a validation loss above 0.",
            ),
            layer_heatmap_evidence(step.reports[healthy.case]),
            panel,
        ),
        fix="Before changing a weight, compare the loss of one batch with the number displayed, and count the steps taken per epoch.",
        remains=(
            f"What displays a 0 that was not computed. The recorded run took {int(run.epochs['steps_taken'].sum())} "
            f"optimiser steps in {len(run.epochs)} epochs of {int(run.epochs['batches'].iloc[0])} batches, and replaced "
            f"{int(run.epochs['nan_replaced'].sum())} NaN entries of its gradients; its batches computed losses of "
            f"{min(s['loss'] for s in run.step_records):.2f} to {max(s['loss'] for s in run.step_records):.2f}. So it is "
            "the loop's bookkeeping, not the loss, where to look next."
        ),
        seed=run.settings.get("seed"),
        command=command,
    )
