"""How good is the diagnosis, on loops of a style it has not seen?"""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from kit.diagnosis.scoring import OWN_LOOP, Score, leave_one_style_out, shipped_runs
from kit.hypotheses.likelihoods import NONE
from kit.plots import confusion_evidence, reliability_evidence
from kit.report import Table
from kit.studies.study import Results, Study, Words

TOP1, TOP3, ALARMS = 0.9, 0.98, 0.01


def bench_table(score: Score) -> Table:
    """One row per cause: evaluation runs, how many were named first, and among the first three."""
    runs = score.runs
    rows = [
        {
            "fault caused": "nothing (healthy)" if truth == NONE else truth,
            "runs": len(part),
            "styles": part["style"].nunique(),
            "named first": int((part["top"] == ("healthy" if truth == NONE else truth)).sum()),
            "among the first three": int((part["rank"] <= 3).sum()),
        }
        for truth, part in runs.groupby("truth", sort=False)
    ]
    return Table(
        pd.DataFrame(rows),
        "Which cause is easily mistaken? Runs of the evaluation half; no program of their style was counted.",
        answer="named first",
    )


def _words(results: Results) -> Words:
    """The recorded bench: every fault, in every style, each weighed with the counts of all other styles."""
    found: Score = results.facts["score"]
    good = found.top1 >= TOP1 and found.top3 >= TOP3 and found.false_alarms <= ALARMS * len(found.healthy)
    return Words(
        verdict="confirmed" if good else "partly",
        answer=f"{found}. {_where(found)} Every run was weighed with counts in which no program of its style is.",
        remains="These are faults that were caused on purpose, in loops that were written for the bench. How often each cause occurs in the "
        "world is not known, and the prior stays an opinion.",
        sure=(
            f"{len(found.runs)} runs in {found.runs['style'].nunique()} styles, {len(found.healthy)} of them healthy. "
            f"{round((1 - found.top1) * len(found.faulty))} of {len(found.faulty)} runs with a fault were named wrongly. Of the answers that were "
            f"more than 90% sure, {found.sure_and_wrong:.1%} were wrong."
        ),
    )


def _where(score: Score) -> str:
    """Our own loop, where every fault of the report is caused, and other people's loops apart."""
    said = []
    for where, part in score.faulty.groupby(score.faulty["style"] == OWN_LOOP):
        first, three = (part["top"] == part["truth"]).mean(), (part["rank"] <= 3).mean()
        place = "the report's own loop" if where else "other people's loops"
        said.append(f"In {place}, {len(part)} runs: first in {first:.1%}, among the first three in {three:.1%}.")
    return " ".join(reversed(said))


STUDY = Study(
    key="fault_bench",
    question="How often does the diagnosis name the fault that was caused?",
    claim="In loops of a style that it was not counted on, a diagnosis by measured evidence names the true cause first in at least 90% of the "
    "runs, among the first three in 98%, and raises an alarm on at most 1% of the healthy ones.",
    words=_words,
    system=lambda: None,
    before=MappingProxyType({"bench": lambda _: shipped_runs()}),
    after=MappingProxyType({"score": lambda results: leave_one_style_out(results.facts["bench"])}),
    evidence=("confusion", "reliability", "causes"),
    shown=MappingProxyType(
        {
            "confusion": lambda results: confusion_evidence(results.facts["score"]),
            "reliability": lambda results: reliability_evidence(results.facts["score"]),
            "causes": lambda results: bench_table(results.facts["score"]),
        }
    ),
)
