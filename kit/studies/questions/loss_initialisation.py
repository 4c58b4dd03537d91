"""Does a lam_cov that is not passed, or is overwritten later, make the train loss 0?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from kit import whatif
from kit.faults import SearchSetsLamCovZero, WeightNotPassed
from kit.hypotheses.loss_initialisation import HYPOTHESIS
from kit.loss import CLASS_DEFAULT, TRAINER_AFTER_FIX
from kit.plots import Evidence, evidence, look, new_axes
from kit.report import PanelSetting
from kit.stepgraph import ProbeReport
from kit.studies.probed_batch import one_batch
from kit.studies.setup import Setup
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import column, losses_text, range_text, reads_zero, shows_symptom
from kit.studies.tables import Claim

PASSED, NOT_PASSED = "passed", "not_passed"
SEARCH_ZERO, SEARCH_SILENT = "search_sets_zero", "search_leaves_out"
_LAM_K = TRAINER_AFTER_FIX["lam_K"]
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        PASSED: Setup("lam_cov = 1.0 passed", weights=TRAINER_AFTER_FIX),
        NOT_PASSED: Setup("lam_cov not passed", (WeightNotPassed("lam_cov"),), weights=TRAINER_AFTER_FIX),
        SEARCH_ZERO: Setup("search sets lam_cov = 0", (SearchSetsLamCovZero(),), weights=TRAINER_AFTER_FIX),
        # begins at the default, so that the 1.0 it ends with is the guard's doing; lam_K is set to what it is
        SEARCH_SILENT: Setup(
            "search leaves lam_cov out",
            config=MappingProxyType({"search_weights": MappingProxyType({"lam_K": _LAM_K})}),
        ),
    }
)


def lam_cov_evidence(seen: ProbeReport, values: tuple[float, ...] = (0.0, 0.3, 1.0)) -> Evidence:
    """Total and gradient norm of one step against lam_cov, from the Gram matrix; the values of the hypothesis are marked."""
    lam = np.linspace(0.0, 1.2, 61)
    axes = new_axes(2)
    readings = {"total of the step": whatif.total, "gradient norm of the step": whatif.grad_norm}
    said = []
    for ax, (title, read) in zip(axes, readings.items(), strict=True):
        ax.plot(lam, [read(seen, {"lam_cov": x}) for x in lam], color=look(0)["color"])
        marked = [float(read(seen, {"lam_cov": x})) for x in values]
        ax.plot(values, marked, "o", color=look(5)["color"])
        ax.set_title(title, fontsize=10, loc="left")
        ax.set_xlabel("lam_cov")
        ax.set_ylim(bottom=0)
        ax.spines[["top", "right"]].set_visible(False)
        said.append(f"{title}: " + ", ".join(f"{y:.4f} at {x:g}" for x, y in zip(values, marked, strict=True)))
    caption = (
        "Is there a value of lam_cov that makes the loss of this step 0? It would have to be where the left line meets the axis. Marked: "
        "0, the default 0.3, and 1.0 of the report's fix."
    )
    return evidence(axes[0], f"Two line charts against lam_cov. {'; '.join(said)}.", caption)


def _claims(results: Results) -> tuple[Claim, ...]:
    _, not_passed, search_zero, search_silent = (results.runs[name] for name in SETUPS)
    default, overwritten, guarded = (column(run, "lam_cov") for run in (not_passed, search_zero, search_silent))
    return (
        Claim(
            "lam_cov is not passed: the default of __init__ applies",
            f"lam_cov = {CLASS_DEFAULT['lam_cov']:g} in every epoch",
            f"lam_cov {range_text(default)}",
            all(value == CLASS_DEFAULT["lam_cov"] for value in default),
        ),
        Claim(
            "lam_cov is not passed: that gives the symptom",
            "seven terms with positive weights: train above 0, and it learns",
            losses_text(not_passed),
            shows_symptom(not_passed),
        ),
        Claim(
            "Search weights applied later might set lam_cov = 0",
            "possible: 0 is a legal weight, and the search value replaces",
            f"lam_cov {range_text(overwritten)}",
            reads_zero(overwritten),
        ),
        Claim(
            "Search weights that set lam_cov = 0 give the symptom",
            "six terms remain: train above 0, and it learns",
            losses_text(search_zero),
            shows_symptom(search_zero),
        ),
        Claim(
            "With the guard, search weights without lam_cov leave it at 1.0",
            "lam_cov = 1 in every epoch",
            f"lam_cov {range_text(guarded)}",
            all(value == TRAINER_AFTER_FIX["lam_cov"] for value in guarded),
        ),
    )


def _words(results: Results) -> Words:
    """Confirmed if a run whose lam_cov is not passed, or is overwritten, shows the symptom."""
    passed, not_passed, search_zero, search_silent = (results.runs[name] for name in SETUPS)
    explaining = results.showing_symptom(NOT_PASSED, SEARCH_ZERO)
    answer = [
        f"With lam_cov not passed it is {range_text(column(not_passed, 'lam_cov'))}, and the epoch lines read {losses_text(not_passed)}.",
        f"With search weights that overwrite it, it is {range_text(column(search_zero, 'lam_cov'))}, and they read {losses_text(search_zero)}.",
    ]
    if explaining:
        answer.append(f"The symptom appears under: {', '.join(explaining)}.")
    else:
        answer.append("Neither gives train 0 with an unchanged validation loss above 0.")
    same = passed.epoch_records == search_silent.epoch_records
    healthy = not (shows_symptom(passed) or shows_symptom(search_silent))
    guard = "epoch by epoch the same run as" if same else "another run than"
    return Words(
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        fix="Pass lam_cov, let search weights that leave it out mean 1.0, and refuse a search key that is not known.",
        why=(
            f"With the guard, search weights that leave lam_cov out give {guard} passing 1.0, and "
            f"{'neither shows' if healthy else 'at least one of the two shows'} the symptom."
        ),
        remains=(
            "Which weight is best is another question: a larger lam_cov raises the displayed loss, so totals under different weights cannot "
            "be compared; the validation NMSE can."
        ),
    )


_ASKED = Asked(
    "Nobody passes lam_cov. What does the loss do with its main term?",
    MappingProxyType(
        {
            "it is off": lambda results: reads_zero(column(results.runs[NOT_PASSED], "lam_cov")),
            "it is on, with the default weight": lambda results: all(
                value == CLASS_DEFAULT["lam_cov"] for value in column(results.runs[NOT_PASSED], "lam_cov")
            ),
            "the training stops with an error": lambda results: not results.runs[NOT_PASSED].epoch_records,
        }
    ),
    lambda results: f"lam_cov {range_text(column(results.runs[NOT_PASSED], 'lam_cov'))}.",
)


STUDY = Study(
    key="loss_initialisation",
    question="Does a lam_cov that nobody passes make the train loss 0?",
    claim=(
        "lam_cov is NOT passed during initialization; the default 0.3 applies. If HPO loss weights are applied later, they might "
        "set lam_cov = 0. Probability: 5%."
    ),
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    before=MappingProxyType({"step": lambda system: one_batch(system, HYPOTHESIS)}),
    claims=_claims,
    evidence=("claims", "curves", "symptoms", "lam_cov", PANEL),
    shown=MappingProxyType({"lam_cov": lambda results: lam_cov_evidence(results.step.reports["as it is"])}),
    panel_title="What does lam_cov hold up?",
    setting=PanelSetting("as it is", {"lam_cov": 0.0}),
)
