"""Do NaN gradients, replaced by 0, make the train loss 0?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import isfinite, isnan
from types import MappingProxyType

from kit.datasets import FAULTY_RUN_FAULTS
from kit.faults import NanGradients, NanLossReadAsZero
from kit.hypotheses import OneStep
from kit.hypotheses import Preset as HypothesisPreset
from kit.hypotheses.nan_gradients import HYPOTHESIS, with_nan_gradient
from kit.panel import Preset, presets_of
from kit.plots import Evidence, layer_heatmap_evidence
from kit.report import PanelSetting
from kit.studies.probed_batch import one_batch
from kit.studies.setup import Setup
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import is_unchanged, losses_text, range_text, reads_zero, shows_symptom, steps_text, total
from kit.studies.tables import Claim
from kit.training import System

ALL, PART, NAN_LOSS, RECORDED = "every_gradient_nan", "nan_in_one_head", "nan_loss_read_as_zero", "nan_and_steps_only"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        ALL: Setup("every gradient NaN", (NanGradients(),)),
        PART: Setup("NaN in one head", (NanGradients(prefix="heads.k_logits"),)),
        NAN_LOSS: Setup("a NaN loss displayed as 0", (NanLossReadAsZero(),)),
        RECORDED: Setup("every gradient NaN, loss counted on steps only", FAULTY_RUN_FAULTS),
    }
)

ALL_CASE, ONE_CASE = "every gradient is NaN", "the gradient of k_logits is NaN"

_ONE_OUTPUT = HypothesisPreset(
    "count_gradient_nan",
    ONE_CASE,
    alter=partial(with_nan_gradient, only=("k_logits",)),
    condition="the backward pass turns the gradient of one output into NaN",
)


def one_batch_with_nan(system: System) -> OneStep:
    """One batch as it is, with every gradient NaN, and with NaN in the gradient of one output alone."""
    wider = replace(HYPOTHESIS, presets=(*HYPOTHESIS.presets, _ONE_OUTPUT))
    return one_batch(system, wider)


def presets(step: OneStep) -> list[Preset]:
    """One preset a reading, and one that switches off the term that carries the NaN of one output."""
    off = Preset(
        "loss_K_off", "switch loss_K off", {"lam_K": 0.0}, HYPOTHESIS.title, ONE_CASE, "the gradient is finite"
    )
    return [*presets_of(step), off]


def layers_with_nan(step: OneStep) -> Evidence:
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


def _claims(results: Results) -> tuple[Claim, ...]:
    every, part, nan_loss, both = (results.runs[name] for name in SETUPS)
    return (
        Claim(
            "NaN gradients set to 0 make the train loss 0",
            "the loss is computed before its gradient and keeps its value",
            f"train {range_text(every.train_loss)}",
            reads_zero(every.train_loss),
        ),
        Claim(
            "NaN gradients set to 0 keep the validation loss unchanged",
            "all gradients 0: the gate lets no step pass",
            f"validation {range_text(every.val_loss)}; {steps_text(every)}",
            is_unchanged(every.val_loss),
        ),
        Claim(
            "NaN in a part of the gradients is enough for the symptom",
            "the other parts go on learning",
            f"{losses_text(part)}; {steps_text(part)}",
            shows_symptom(part),
        ),
        Claim(
            "A NaN loss displayed as 0 gives the symptom",
            "0 is displayed, no step is taken: both numbers",
            f"{losses_text(nan_loss)}; {steps_text(nan_loss)}",
            shows_symptom(nan_loss),
        ),
        Claim(
            "NaN gradients, with the loss added on taken steps only, give the symptom",
            "nothing is added, no step is taken: both numbers",
            f"{losses_text(both)}; {steps_text(both)}",
            shows_symptom(both),
        ),
    )


def _words(results: Results) -> Words:
    """Confirmed if NaN gradients alone show the symptom; partly if it takes a display that turns NaN, or a skipped step, into 0."""
    runs = results.runs
    every, both = runs[ALL], runs[RECORDED]
    alone = results.showing_symptom(ALL, PART)
    wider = results.showing_symptom(NAN_LOSS, RECORDED)
    answer = [f"With every gradient NaN the epoch lines read {losses_text(every)}, with {steps_text(every)}."]
    if alone:
        answer.append(f"The symptom appears with NaN gradients alone: {', '.join(alone)}.")
    elif is_unchanged(every.val_loss):
        answer.append("That explains a validation loss that does not change, and not a train loss of 0.")
    else:
        answer.append("That explains neither number.")
    if wider:
        answer.append(f"Both numbers appear under: {'; '.join(wider)}. There the 0 is made in what is displayed.")
    else:
        answer.append("Neither a NaN loss displayed as 0 nor a loss counted on steps only adds the other number.")
    lowest = min(record["loss"] for record in both.step_records)
    return Words(
        verdict="confirmed" if alone else ("partly" if wider else "refuted"),
        answer=" ".join(answer),
        fix=(
            "Count the NaN entries before replacing them and stop when there are any; find the operation with "
            "torch.autograd.detect_anomaly; add every batch's loss to the displayed mean, stepped or not, and display NaN as NaN."
        ),
        remains=(
            f"In the run “{results.caption(RECORDED)}” the smallest loss of a batch was {lowest:.4f}, and {total(both, 'nan_replaced')} NaN "
            "entries were replaced. Where the NaN of a real run comes from has to be found there: here it is caused on purpose."
        ),
    )


_ASKED = Asked(
    "Every gradient is NaN and is replaced by 0. What does the train loss read?",
    MappingProxyType(
        {
            "0": lambda results: reads_zero(results.runs[ALL].train_loss),
            "NaN": lambda results: all(isnan(loss) for loss in results.runs[ALL].train_loss),
            "the loss, as computed": lambda results: all(
                isfinite(loss) and loss > 0 for loss in results.runs[ALL].train_loss
            ),
        }
    ),
    lambda results: f"{losses_text(results.runs[ALL])}; {steps_text(results.runs[ALL])}.",
)


STUDY = Study(
    key="nan_gradients",
    question="Do NaN gradients make the train loss 0?",
    claim="If gradients are NaN and being sanitised to 0, this could cause zero loss. Probability: 1%.",
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    before=MappingProxyType({"step": one_batch_with_nan}),
    claims=_claims,
    evidence=("claims", "curves", "symptoms", "about_the_layers", "layers", PANEL),
    shown=MappingProxyType(
        {
            "about_the_layers": lambda results: (
                "One output's gradient as NaN reaches every layer that its term shares with the others:"
            ),
            "layers": lambda results: layers_with_nan(results.step),
        }
    ),
    panel_title="Which term carries the NaN?",
    presets=presets,
    setting=PanelSetting(ONE_CASE),
)
