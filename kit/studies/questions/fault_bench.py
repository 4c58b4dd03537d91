"""How good is the diagnosis, on runs it has not seen?"""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from kit.diagnosis.scoring import OWN_LOOP, BenchRun, Score, score, shipped_runs
from kit.hypotheses.likelihoods import NONE, shipped_likelihoods
from kit.plots import confusion_evidence, reliability_evidence
from kit.report import Table
from kit.studies.study import Results, Study, Words

TOP1, TOP3 = 0.95, 1.0


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
        "Which cause is easily mistaken? Runs of the evaluation half; seeds and settings that were not counted.",
        answer="named first",
    )


def _words(results: Results) -> Words:
    """The recorded bench: every fault, in every style, under settings and seeds that the likelihoods were not counted on."""
    runs: list[BenchRun] = results.facts["bench"]
    found: Score = results.facts["score"]
    counted = sum(run.split == "calibration" for run in runs)
    good = found.top1 >= TOP1 and found.top3 >= TOP3 and found.false_alarms == 0
    return Words(
        verdict="confirmed" if good else "partly",
        answer=f"{found}. {_where(found)} The likelihoods were counted on {counted} other runs.",
        remains="These are faults that were caused on purpose, in loops that were written for the bench. How often each cause occurs in the "
        "world is not known, and the prior stays an opinion.",
        sure=(
            f"{len(found.runs)} runs that the likelihoods were not counted on, {len(found.healthy)} of them healthy. "
            f"{round((1 - found.top1) * len(found.faulty))} of {len(found.faulty)} runs with a fault were named wrongly."
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
    claim="A diagnosis by measured evidence names the true cause first in at least 95% of the runs, among the first three always, and "
    "raises no alarm on a healthy run.",
    words=_words,
    system=lambda: None,
    before=MappingProxyType({"bench": lambda _: shipped_runs()}),
    after=MappingProxyType({"score": lambda results: score(results.facts["bench"], shipped_likelihoods())}),
    evidence=("confusion", "reliability", "causes"),
    shown=MappingProxyType(
        {
            "confusion": lambda results: confusion_evidence(results.facts["score"]),
            "reliability": lambda results: reliability_evidence(results.facts["score"]),
            "causes": lambda results: bench_table(results.facts["score"]),
        }
    ),
)
