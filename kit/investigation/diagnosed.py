"""Which cause do the recorded facts speak for?"""

from __future__ import annotations

from kit.diagnosis import Diagnosis
from kit.report import Finding, Table

QUESTION = "Which cause do the recorded facts speak for?"
_VERDICTS = {"fault": "confirmed", "wrong_number": "confirmed", "not_a_fault": "confirmed", "healthy": "refuted"}
_SHOWN = 0.0005  # a posterior below this reads 0.0% and is left out of the page's table


def ranked_table(diagnosis: Diagnosis) -> Table:
    """The report's prior beside the measured posterior; causes without a share in either are left out."""
    rows = diagnosis.table
    named = {cause.key for cause in diagnosis.causes if cause.hypothesis.prior is not None or cause.has_sign}
    frame = rows[rows["key"].isin(named) | (rows["posterior"] >= _SHOWN)].copy()
    priors = {cause.key: cause.hypothesis.prior for cause in diagnosis.causes}
    frame["report's prior"] = [f"{priors[key]:.0%}" if priors[key] is not None else "not named" for key in frame["key"]]
    frame["posterior"] = [f"{value:.1%}" for value in frame["posterior"]]
    columns = ["title", "report's prior", "posterior", "for", "against", "verdict"]
    return Table(
        frame[columns].rename(columns={"title": "cause"}),
        "What was believed, and what the recorded facts say. The posterior weighs every answered check with how often the fault bench "
        "gave that answer under each cause; a check that was not answered moves nothing.",
    )


def findings_table(diagnosis: Diagnosis) -> Table:
    """Every check that was answered yes, and what was measured."""
    import pandas as pd

    rows = [(f.check.question, f.answer.because) for f in diagnosis.findings if f.yes]
    return Table(
        pd.DataFrame(rows, columns=["question, answered yes", "measured"]),
        f"{len(rows)} of {len(diagnosis.findings)} checks were answered yes, "
        f"{sum(f.yes is None for f in diagnosis.findings)} could not be answered.",
    )


def diagnosis_finding(diagnosis: Diagnosis, *, command: str, seed: int | None = None) -> Finding:
    """The diagnosis as a page: verdict, the ranked table, what was measured, what to do."""
    top = diagnosis.top
    silent = [f.answer.because.removeprefix("not observed: ") for f in diagnosis.findings if f.yes is None]
    sure = "" if top is None else f"posterior {top.posterior:.1%}"
    verdict = _VERDICTS.get(diagnosis.verdict, "open")
    if top is not None and top.intervention is not None:
        sure += f"; {top.intervention.word}"
        verdict = "partly" if top.intervention.confirmed is False else verdict
    return Finding(
        question=QUESTION,
        claim="Something keeps the train loss at 0 or the validation loss level.",
        verdict=verdict,
        answer="\n".join(diagnosis.explain().splitlines()[:3]),
        evidence=(ranked_table(diagnosis), findings_table(diagnosis), *diagnosis.explain().splitlines()[3:]),
        fix="" if top is None else top.hypothesis.fix,
        remains=("Not observed: " + "; ".join(dict.fromkeys(silent)) + ".") if silent else "",
        seed=seed,
        command=command,
        sure=sure,
    )
