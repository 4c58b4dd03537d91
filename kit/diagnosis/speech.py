"""A diagnosis in sentences and as a table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.diagnosis.result import Diagnosis

_TOLD = 4  # reasons named in a sentence; the table names all


def explain(diagnosis: Diagnosis) -> str:
    return "\n".join(_lines(diagnosis))


def _lines(diagnosis: Diagnosis) -> list[str]:
    top = diagnosis.top
    if diagnosis.verdict == "healthy":
        lines = ["Healthy: no symptom, and no sign of any of the causes that were looked for."]
    elif diagnosis.verdict == "unexplained":
        lines = ["Unexplained: none of the causes that were looked for has a sign in what was recorded."]
    else:
        opening = {"fault": "Most likely", "not_a_fault": "Not a fault", "wrong_number": "The number is wrong"}
        lines = [f"{opening[diagnosis.verdict]}: {top.title} (posterior {top.posterior:.1%}, prior {top.prior:.1%})."]
        lines.append(top.hypothesis.claim)
        lines += _reasons(diagnosis, "Because", top.speaks_for)
        lines += _reasons(diagnosis, "Against it", top.speaks_against)
        if top.intervention is not None:
            i = top.intervention
            lines.append(
                f"Intervention: {i.word}. Before: train {i.before.train}, validation {i.before.validation}. "
                f"With the fix alone: train {i.after.train}, validation {i.after.validation}."
            )
        others = [c for c in diagnosis.causes if c.has_sign and c.key != top.key]
        if others:
            said = "; ".join(f"{c.title} ({c.posterior:.1%})" for c in others)
            lines.append(f"These have a sign too: {said}.")
        unseen = [
            c for c in diagnosis.causes if c.posterior > top.posterior and len(c.silent) == len(c.hypothesis.signs)
        ]
        if unseen:
            said = "; ".join(f"{c.title} ({c.posterior:.1%})" for c in unseen)
            lines.append(f"More probable by prior and symptoms, but none of its own signs was measured: {said}.")
        lines.append(f"What to do: {top.hypothesis.fix}")
    seen = [f for f in diagnosis.findings if f.yes]
    if diagnosis.verdict == "unexplained":
        lines += [f"Observed: {f.check.question} Yes: {f.answer.because}." for f in seen] or [
            "Nothing unusual was observed."
        ]
    hidden = [f.answer.because.removeprefix("not observed: ") for f in diagnosis.findings if f.yes is None]
    if hidden:
        lines.append("Not observed: " + "; ".join(dict.fromkeys(hidden)) + ".")
    return lines


def _reasons(diagnosis: Diagnosis, opening: str, keys: tuple[str, ...]) -> list[str]:
    found = [diagnosis.finding(key) for key in keys[:_TOLD]]
    return [f"{opening}: {f.check.question} {f.word.capitalize()}: {f.answer.because}." for f in found]


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """The sentences, and the table; everything escaped."""
    said = "".join(f"<p>{escape(line)}</p>" for line in _lines(diagnosis))
    table = diagnosis.table.to_html(
        index=False,
        border=0,
        classes="kit-diagnosis",
        formatters={"prior": "{:.1%}".format, "posterior": "{:.1%}".format},
    )
    return f"<div class='kit-diagnosis'>{said}{table}</div>"
