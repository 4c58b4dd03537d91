"""A diagnosis as tables: which cause do the recorded facts speak for?"""

from __future__ import annotations

import pandas as pd

from kit.diagnosis import Cause, Diagnosis
from kit.diagnosis.speech import sentence, sure_of
from kit.report import Table

_SHOWN = 0.0005  # a posterior below this reads 0.0% and is left out of the table of the report's run


def ranked_table(diagnosis: Diagnosis) -> Table:
    """For a run of the report: its prior beside the measured posterior; causes without a share in either are left out."""
    rows = [
        {
            "cause": cause.title,
            "report's prior": "not named" if cause.hypothesis.prior is None else f"{cause.hypothesis.prior:.0%}",
            # causes share their probability; a second one that a fact establishes is no less certain for that
            "posterior": cause.percent if cause is diagnosis.top else sure_of(diagnosis, cause),
            "for": diagnosis.labels(cause.speaks_for),
            "against": diagnosis.labels(cause.speaks_against),
            "verdict": diagnosis.verdict_of(cause),
        }
        for cause in diagnosis.causes
        if cause.hypothesis.prior is not None or cause.has_sign or cause.posterior >= _SHOWN
    ]
    return Table(
        pd.DataFrame(rows),
        "What was believed, and what the recorded facts say. The posterior weighs every answered check with how often the fault bench "
        "gave that answer under each cause; a check that was not answered moves nothing.",
    )


def causes_table(diagnosis: Diagnosis, *, named: bool = True) -> Table:
    """For anyone's run: every cause that could be looked at, and what was seen of it; those that are named first.

    named: with the causes that the diagnosis names.
    """
    first = {cause.key for cause in diagnosis.named}
    rest = [cause for cause in diagnosis.causes if cause.key not in first]
    shown = [*(diagnosis.named if named else ()), *sorted(rest, key=lambda cause: not cause.has_sign)]
    rows = [
        {"cause": cause.plain, "judgement": _judged(diagnosis, cause), "what was seen": _seen(diagnosis, cause)}
        for cause in shown
        if len(cause.silent) < len(cause.hypothesis.signs)
    ]
    left = sum(len(cause.silent) == len(cause.hypothesis.signs) for cause in shown)
    return Table(
        pd.DataFrame(rows, columns=["cause", "judgement", "what was seen"]),
        (
            "Which causes were looked at, and what was seen of each?"
            if named
            else "Other causes considered: what was seen of each?"
        )
        + (f" Left out, as there was nothing to look at: {left} more." if left else ""),
    )


def _judged(diagnosis: Diagnosis, cause: Cause) -> str:
    if not cause.has_sign:
        return "no sign"
    sure, word = sure_of(diagnosis, cause), diagnosis.verdict_of(cause)
    return word if cause.facts else f"{word} ({sure})"


def _seen(diagnosis: Diagnosis, cause: Cause) -> str:
    """Of its own checks: what was found of each where one was answered yes, else that none was."""
    answered = [f for f in map(diagnosis.result, (sign.key for sign in cause.hypothesis.signs)) if f.yes is not None]
    if cause.has_sign:
        return sentence("; ".join(f"{f.label}, {f.answer.because}" for f in answered if f.yes))
    return sentence(", ".join(f.label for f in answered))


def findings_table(diagnosis: Diagnosis) -> Table:
    """Every check that was answered yes, and what was measured."""
    rows = [(f.check.question, f.answer.because) for f in diagnosis.results if f.yes]
    return Table(
        pd.DataFrame(rows, columns=["question, answered yes", "measured"]),
        f"{len(rows)} of {len(diagnosis.results)} checks were answered yes, "
        f"{sum(f.yes is None for f in diagnosis.results)} could not be answered.",
    )
