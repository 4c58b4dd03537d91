"""Do NaN gradients, replaced by 0, make the train loss 0?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from kit.faults import LossCountedOnStepsOnly, NanGradients, NanLossReadAsZero
from kit.hypotheses import OneStep
from kit.hypotheses import Preset as HypothesisPreset
from kit.hypotheses.nan_gradients import HYPOTHESIS, with_nan_gradient
from kit.investigation.claims import Claim, claims_table
from kit.investigation.fault_runs import (
    FaultRuns,
    Setup,
    is_level,
    reads_zero,
    shows_symptom,
    spoken_range,
    spoken_run,
    spoken_steps,
    symptom_table,
    total,
)
from kit.investigation.ranking import rank_at_one_step
from kit.panel import Panel, Preset, presets_of
from kit.plots import Evidence, compare_runs_evidence, layer_heatmap_evidence
from kit.report import Finding, PanelSetting
from kit.training import System

QUESTION = "Do NaN gradients make the train loss 0?"

ALL, PART = "every gradient NaN", "NaN in one head"
NAN_LOSS, RECORDED = "a NaN loss displayed as 0", "every gradient NaN, loss counted on steps only"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        ALL: Setup((NanGradients(),)),
        PART: Setup((NanGradients(prefix="heads.k_logits"),)),
        NAN_LOSS: Setup((NanLossReadAsZero(),)),
        RECORDED: Setup((NanGradients(), LossCountedOnStepsOnly())),
    }
)

ALL_CASE, ONE_CASE = "every gradient is NaN", "the gradient of k_logits is NaN"

_ONE_OUTPUT = HypothesisPreset(
    "count_gradient_nan",
    ONE_CASE,
    alter=partial(with_nan_gradient, only=("k_logits",)),
    condition="the backward pass turns the gradient of one output into NaN",
)


def nan_gradients_step(system: System, *, samples: int = 64) -> OneStep:
    """One batch as it is, with every gradient NaN, and with NaN in the gradient of one output alone."""
    wider = replace(HYPOTHESIS, presets=(*HYPOTHESIS.presets, _ONE_OUTPUT))
    return rank_at_one_step(system, hypotheses=(wider,), samples=samples)


def nan_gradients_presets(step: OneStep) -> list[Preset]:
    """One preset a reading, and one that switches off the term that carries the NaN of one output."""
    off = Preset(
        "loss_K_off", "switch loss_K off", {"lam_K": 0.0}, HYPOTHESIS.title, ONE_CASE, "the gradient is finite"
    )
    return [*presets_of(step), off]


def nan_gradients_panel(step: OneStep) -> Panel:
    """The panel of this hypothesis, set to NaN in one output."""
    panel = Panel(step.reports, presets=nan_gradients_presets(step), title="Which term carries the NaN?")
    panel.case = ONE_CASE
    return panel


def nan_heatmap_evidence(step: OneStep) -> Evidence:
    """The layer heat map of NaN in one output, which also says in words where the NaN stands."""
    seen = step.reports[ONE_CASE]
    shown = layer_heatmap_evidence(seen)
    reached = {
        name: [group for group, entries in zip(seen.groups, seen.nonfinite[:, i], strict=True) if entries]
        for i, name in enumerate(seen.names)
    }
    parts = "; ".join(f"{name}: {', '.join(groups)}" for name, groups in reached.items() if groups) or "none"
    return replace(
        shown,
        alt=f"{shown.alt} Layers with entries that are not finite: {parts}.",
        caption=f"{shown.caption} nan: the gradient of that term is not a number there and neither is the sum over the terms.",
    )


def nan_gradients_claims(runs: FaultRuns) -> tuple[Claim, ...]:
    every, part, nan_loss, both = (runs.runs[name] for name in SETUPS)
    return (
        Claim(
            "NaN gradients set to 0 make the train loss 0",
            "the loss is computed before its gradient and keeps its value",
            f"train {spoken_range(every.train_loss)}",
            reads_zero(every.train_loss),
        ),
        Claim(
            "NaN gradients set to 0 keep the validation loss level",
            "all gradients 0: the gate lets no step pass",
            f"validation {spoken_range(every.val_loss)}; {spoken_steps(every)}",
            is_level(every.val_loss),
        ),
        Claim(
            "NaN in a part of the gradients is enough for the symptom",
            "the other parts go on learning",
            f"{spoken_run(part)}; {spoken_steps(part)}",
            shows_symptom(part),
        ),
        Claim(
            "A NaN loss displayed as 0 gives the symptom",
            "0 is displayed, no step is taken: both numbers",
            f"{spoken_run(nan_loss)}; {spoken_steps(nan_loss)}",
            shows_symptom(nan_loss),
        ),
        Claim(
            "NaN gradients, with the loss added on taken steps only, give the symptom",
            "nothing is added, no step is taken: both numbers",
            f"{spoken_run(both)}; {spoken_steps(both)}",
            shows_symptom(both),
        ),
    )


def nan_gradients_finding(runs: FaultRuns, step: OneStep, panel: Panel | PanelSetting, *, command: str) -> Finding:
    """The finding of notebook 05, worded by what the runs show.

    Confirmed if NaN gradients alone show the symptom; partly if it takes a display that turns NaN, or a skipped step, into 0.
    """
    every, both = runs.runs[ALL], runs.runs[RECORDED]
    alone = [name for name in (ALL, PART) if shows_symptom(runs.runs[name])]
    wider = [name for name in (NAN_LOSS, RECORDED) if shows_symptom(runs.runs[name])]
    answer = [f"With every gradient NaN the epoch lines read {spoken_run(every)}, with {spoken_steps(every)}."]
    if alone:
        answer.append(f"The symptom appears with NaN gradients alone: {', '.join(alone)}.")
    elif is_level(every.val_loss):
        answer.append("That explains a validation loss that does not change, and not a train loss of 0.")
    else:
        answer.append("That explains neither number.")
    if wider:
        answer.append(f"Both numbers appear under: {'; '.join(wider)}. There the 0 is made in what is displayed.")
    else:
        answer.append("Neither a NaN loss displayed as 0 nor a loss counted on steps only adds the other number.")
    lowest = min(record["loss"] for record in both.step_records)
    return Finding(
        question=QUESTION,
        claim="If gradients are NaN and being sanitised to 0, this could cause zero loss. Probability: 1%.",
        verdict="confirmed" if alone else ("partly" if wider else "refuted"),
        answer=" ".join(answer),
        evidence=(
            claims_table(nan_gradients_claims(runs)),
            compare_runs_evidence(runs.runs),
            symptom_table(runs),
            "One output's gradient as NaN reaches every layer that its term shares with the others:",
            nan_heatmap_evidence(step),
            panel,
        ),
        fix=(
            "Count the NaN entries before replacing them and stop when there are any; find the operation with "
            "torch.autograd.detect_anomaly; add every batch's loss to the displayed mean, stepped or not, and display NaN as NaN."
        ),
        remains=(
            f"In the run “{RECORDED}” the smallest loss of a batch was {lowest:.4f}, and {total(both, 'nan_replaced')} NaN "
            "entries were replaced. Where the NaN of a real run comes from has to be found there: here it is put in on purpose."
        ),
        seed=runs.seed,
        command=command,
        sure=runs.how_sure,
    )
