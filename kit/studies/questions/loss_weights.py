"""Is a zero loss weight the cause?"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from types import MappingProxyType

from kit.datasets import load_faulty_run, make_faulty_run
from kit.loss import ALL_ZERO, TRAINER_AFTER_FIX
from kit.report import PanelSetting
from kit.studies.probed_batch import one_batch
from kit.studies.setup import Setup
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import losses_text, range_text, reads_zero, shows_symptom
from kit.training import TrainingHistory

AS_REPORTED, NO_COV, ALL_OFF, FIXED = "as_reported", "lam_cov_zero", "all_zero", "lam_cov_one"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        AS_REPORTED: Setup("weights of the report"),
        NO_COV: Setup("lam_cov = 0", weights={"lam_cov": 0.0}),
        ALL_OFF: Setup("all weights 0", weights=ALL_ZERO),
        FIXED: Setup("fix: lam_cov = 1", weights={"lam_cov": TRAINER_AFTER_FIX["lam_cov"]}),
    }
)
_TELLING_NMSE = 0.05  # relative difference of validation NMSE below which a run of a few epochs tells nothing


def _words(results: Results) -> Words:
    """Confirmed if a run without the weight, or without any, shows the symptom."""
    runs = results.runs
    recorded, fixed = results.facts["recorded"], results.facts["fixed"]
    explaining = results.showing_symptom(NO_COV, ALL_OFF)
    answer = [_what_it_reads(results.caption(name), runs[name]) for name in (NO_COV, ALL_OFF)]
    cured = not shows_symptom(fixed)
    answer.append(
        f"The recorded run reads {losses_text(recorded)}; the report's fix, lam_cov = 1.0, {'cures' if cured else 'does not cure'} "
        f"it: then it reads {losses_text(fixed)}."
    )
    if explaining:
        answer.append(
            f"The pair of the symptom, train 0 and an unchanged validation loss above 0, appears under: {', '.join(explaining)}."
        )
    else:
        answer.append("Neither setting gives that pair: train 0 and an unchanged validation loss above 0.")
    return Words(
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        fix=(
            "Set the weights that are 0."
            if explaining or cured
            else "Leave the weights as they are: count the steps taken, and compare the loss of one batch with the number displayed."
        ),
        remains=f"{_what_the_main_term_costs(runs)} Why the recorded run reads 0 is the question of the next notebooks.",
    )


def _what_it_reads(caption: str, history: TrainingHistory) -> str:
    return f"With {caption} train reads {range_text(history.train_loss)} and validation {range_text(history.val_loss)}."


def _what_the_main_term_costs(runs: Mapping[str, TrainingHistory]) -> str:
    without, with_it = (runs[name].epoch_records[-1]["val_loss_nmse"] for name in (NO_COV, AS_REPORTED))
    numbers = f"the validation NMSE ends at {without:.3f} without lam_cov and at {with_it:.3f} with it"
    if abs(without - with_it) < _TELLING_NMSE * with_it:
        return (
            f"In these few epochs {numbers}: too little to tell them apart, and other terms act on the same factors. What the "
            "main term is worth needs a longer run."
        )
    return f"A zero weight has a price of its own: {numbers}."


_ASKED = Asked(
    "With lam_cov = 0, what does the train loss read after the first epoch?",
    MappingProxyType(
        {
            "exactly 0": lambda results: reads_zero(results.runs[NO_COV].train_loss[:1]),
            "less than before, but not 0": lambda results: (
                0 < results.runs[NO_COV].train_loss[0] < results.runs[AS_REPORTED].train_loss[0]
            ),
            "NaN": lambda results: isnan(results.runs[NO_COV].train_loss[0]),
        }
    ),
    lambda results: (
        f"{results.runs[NO_COV].train_loss[0]:.4f}, and {results.runs[AS_REPORTED].train_loss[0]:.4f} with the weights of the report."
    ),
)


STUDY = Study(
    key="loss_weights",
    question="Is a zero loss weight the cause?",
    claim="All loss weights are set to 0, or lam_cov is 0, or the loss components cancel out. Probability: 90%.",
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    before=MappingProxyType(
        {
            "step": one_batch,
            "recorded": lambda system: load_faulty_run(),
            "fixed": lambda system: make_faulty_run(
                lam_cov=1.0
            ),  # the same run, with its faults, under the report's fix
        }
    ),
    evidence=(PANEL, "about_the_panel", "curves", "symptoms"),
    shown=MappingProxyType(
        {
            "about_the_panel": lambda results: (
                "The panel re-weights one recorded step. What training does under other weights has to be trained:"
            )
        }
    ),
    panel_title="What happens when a weight goes to zero?",
    setting=PanelSetting("as it is", {"lam_cov": 0.0}),
)
