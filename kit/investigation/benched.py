"""How good is the diagnosis, on runs it has not seen?"""

from __future__ import annotations

import pandas as pd

from kit.diagnosis.scoring import COMMAND, OWN_LOOP, BenchRun, Score
from kit.hypotheses.likelihoods import NONE
from kit.plots import confusion_evidence, reliability_evidence
from kit.report import Finding, Table

QUESTION = "How often does the diagnosis name the cause that was put in?"
TOP1, TOP3 = 0.95, 1.0


def bench_table(score: Score) -> Table:
    """One row per cause: evaluation runs, how many were named first, and among the first three."""
    runs = score.runs
    rows = [
        {
            "what was put in": "nothing (healthy)" if truth == NONE else truth,
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


def bench_finding(runs: list[BenchRun], score: Score) -> Finding:
    """The recorded bench: every fault, in every style, under settings and seeds that the likelihoods were not counted on."""
    counted = sum(run.split == "calibration" for run in runs)
    good = score.top1 >= TOP1 and score.top3 >= TOP3 and score.false_alarms == 0
    return Finding(
        question=QUESTION,
        claim="A diagnosis by measured evidence names the true cause first in at least 95% of the runs, among the first three always, and "
        "raises no alarm on a healthy run.",
        verdict="confirmed" if good else "partly",
        answer=f"{score}. {_where(score)} The likelihoods were counted on {counted} other runs.",
        evidence=(confusion_evidence(score), reliability_evidence(score), bench_table(score)),
        remains="These are faults that were put in, in loops that were written for the bench. How often each cause occurs in the world is not known, "
        "and the prior stays an opinion.",
        command=COMMAND,
        sure=(
            f"{len(score.runs)} runs that the likelihoods were not counted on, {len(score.healthy)} of them healthy. "
            f"{round((1 - score.top1) * len(score.faulty))} of {len(score.faulty)} runs with a fault were named wrongly."
        ),
    )


def _where(score: Score) -> str:
    """Our own loop, where every fault of the report is put in, and other people's loops apart."""
    said = []
    for where, part in score.faulty.groupby(score.faulty["style"] == OWN_LOOP):
        first, three = (part["top"] == part["truth"]).mean(), (part["rank"] <= 3).mean()
        place = "the report's own loop" if where else "other people's loops"
        said.append(f"In {place}, {len(part)} runs: first in {first:.1%}, among the first three in {three:.1%}.")
    return " ".join(reversed(said))
