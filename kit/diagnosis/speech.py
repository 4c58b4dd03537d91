"""A diagnosis in sentences and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import pandas as pd

from kit.diagnosis.judged import Cause, Judged

_TOLD = 4  # reasons named in a sentence; the table names all
_ACTIONS = ("What to do", "And", "And")
_SMALL = 0.0005  # reads 0.0%
NO_SIGN = "No sign of trouble in the loop itself"


def summary(diagnosis: Judged) -> str:
    """What is missing, the answer, what happens, the facts, what to do: about five lines."""
    return "\n".join(_first_lines(diagnosis))


def explain(diagnosis: Judged, *, verbose: bool = False) -> str:
    """The summary, then why, what speaks against it, what else has a sign, and what was not seen."""
    return "\n".join([*_first_lines(diagnosis), *details(diagnosis), *unseen(diagnosis, verbose)])


def _first_lines(diagnosis: Judged) -> list[str]:
    lines = [notice.sentence for notice in diagnosis.lacks]
    lines += answer(diagnosis)
    if (facts := other_facts(diagnosis)) and diagnosis.top is not None:
        lines.append(f"Facts: {facts}")
    if diagnosis.chain.broken and diagnosis.top is not None:
        lines.append(diagnosis.chain.ends)
    lines += [f"{word}: {fix}" for word, fix in zip(_ACTIONS, fixes(diagnosis), strict=False)]
    return [*lines, *diagnosis.notes]


def answer(diagnosis: Judged) -> list[str]:
    """The causes that are named, in a sentence each, and what happens in such a run."""
    top = diagnosis.top
    if top is None:
        return [_no_cause(diagnosis)]
    lines = [headline(diagnosis)]
    lines += [f"Also established: {lower(cause.plain)}: {cause.facts[0]}." for cause in diagnosis.named[1:]]
    return lines + ([f"What happens: {top.hypothesis.mechanism}"] if top.hypothesis.mechanism else [])


def headline(diagnosis: Judged) -> str:
    """The first cause: as a fact where a fact establishes it, else with its probability."""
    top = diagnosis.top
    assert top is not None  # only a diagnosis that names a cause has a headline
    if top.facts:
        return f"Established: {lower(top.plain)}: {top.facts[0]}."
    if top.hypothesis.verdict == "not_a_fault":
        return f"Not a fault: {lower(top.plain)} ({top.percent})."
    return f"Most likely: {lower(top.plain)} ({top.percent})."


def sure_of(diagnosis: Judged, cause: Cause) -> str:
    """ "established", or the probability."""
    named = any(cause.key == found.key for found in diagnosis.established)
    return "established" if named else cause.percent


def other_facts(diagnosis: Judged) -> str:
    """What holds without exception and was not said of a cause, in sentences."""
    said = {cause.facts[0] for cause in diagnosis.established}
    return " ".join(sentence(fact) for fact in diagnosis.facts if fact not in said)


def fixes(diagnosis: Judged) -> list[str]:
    """Of the causes that are named."""
    return list(dict.fromkeys(cause.hypothesis.fix for cause in diagnosis.named))


def _no_cause(diagnosis: Judged) -> str:
    if diagnosis.verdict == "unexplained":
        signed = [cause for cause in diagnosis.causes if cause.has_sign]
        none = (
            f"the likeliest with a sign is {_named(signed[:1])}"
            if signed
            else "none of the causes that were looked for has a sign"
        )
        decide = f" This would decide it: {'; '.join(map(str, diagnosis.additions))}." if diagnosis.additions else ""
        return f"Unexplained: there is a symptom, and {none}.{decide}"
    if diagnosis.verdict == "nothing_found":
        lacks, unseen = diagnosis.lacks, diagnosis.chain.not_observed
        untrained = lacks[0].key == "nothing_trained" if lacks else not diagnosis.chain.links
        said = f" Not observed: {', '.join(unseen)}." if unseen else ""
        return "There is no training to judge." if untrained else f"{NO_SIGN}.{said}"
    shown = {f.key: f.answer.because.removeprefix("it reads ") for f in diagnosis.results if f.yes is not None}
    train, validation = shown.get("train_reads_zero"), shown.get("validation_level")
    look = diagnosis.chain.ends.removeprefix("The signal ends at: ") if diagnosis.chain.broken else ""
    look = f" Worth a look, if it is not meant: {look}" if look else ""
    if not train:
        return f"Healthy as far as it was seen: no sign of any of the causes that were looked for. Whether 0 is displayed is not known.{look}"
    said = f" Train reads {train}" + (f", validation {validation}." if validation else "; no validation loss was seen.")
    return f"Healthy: no symptom, and no sign of any of the causes that were looked for.{said}{look}"


def details(diagnosis: Judged) -> list[str]:
    """Why, what speaks against it, what the fix did, and what else has a sign."""
    return reasons(diagnosis) + _others(diagnosis)


def reasons(diagnosis: Judged) -> list[str]:
    """Why, what speaks against it, and what the fix did; of a run without a known cause, what was seen."""
    top = diagnosis.top
    if top is None:
        seen = [f for f in diagnosis.results if f.yes]
        return (
            [f"Observed: {f.label} ({f.answer.because})." for f in seen] if diagnosis.verdict == "unexplained" else []
        )
    lines = _reasons(diagnosis, "Because", top.speaks_for)
    if not top.decided:
        lines += _reasons(diagnosis, "Against it", top.speaks_against)
    if top.intervention is not None:
        i = top.intervention
        lines.append(
            f"Intervention: {i.word}. Before: train {i.before.train}, validation {i.before.validation}. "
            f"With the fix alone: train {i.after.train}, validation {i.after.validation}."
        )
    return lines


def _others(diagnosis: Judged) -> list[str]:
    top = diagnosis.top
    if top is None:
        return []
    lines = []
    named = {cause.key for cause in diagnosis.named}
    also = {cause.key: said for cause, said in diagnosis.also_found}
    lines += [f"Also found: {lower(diagnosis.cause(key).plain)}: {said}." for key, said in also.items()]
    others = [c for c in diagnosis.causes if c.has_sign and c.key not in {*named, *also} and c.posterior >= _SMALL]
    if others:
        lines.append(f"These have a sign too: {_named(others)}.")
    hidden = [c for c in diagnosis.causes if c.posterior > top.posterior and len(c.silent) == len(c.hypothesis.signs)]
    if hidden and not top.facts:
        unseen = "; ".join(cause.plain for cause in hidden)
        lines.append(f"Not ruled out, since none of its own signs was measured: {unseen}.")
    return lines


def _named(causes: Iterable[Cause]) -> str:
    return "; ".join(f"{cause.plain} ({cause.percent})" for cause in causes)


def _reasons(diagnosis: Judged, opening: str, keys: tuple[str, ...]) -> list[str]:
    found = [result for result in map(diagnosis.result, keys) if not result.answer.fact]  # facts were said
    said = "; ".join(f"{f.label} ({f.answer.because})" for f in found[:_TOLD])
    return [f"{opening}: {said}."] if said else []


def unseen(diagnosis: Judged, verbose: bool = False) -> list[str]:
    """One line, or with `verbose` one for each check that had nothing to look at."""
    hidden = [f for f in diagnosis.results if f.yes is None]
    if not hidden:
        return []
    gain = f" Most to gain: {'; '.join(map(str, diagnosis.additions))}." if diagnosis.additions else ""
    lines = [f"{len(hidden)} of {len(diagnosis.results)} checks had nothing to look at.{gain}"]
    return lines + ([f"- {f.check.question} {sentence(f.answer.because)}" for f in hidden] if verbose else [])


def lower(sentence: str) -> str:
    """To stand inside another sentence; "NaN" keeps its letters."""
    first = sentence.split(" ", 1)[0]
    return sentence if first[1:] != first[1:].lower() else sentence[:1].lower() + sentence[1:]


def sentence(clause: str) -> str:
    """With a capital and a full stop."""
    return f"{clause[:1].upper()}{clause[1:]}."


def ranking(diagnosis: Judged) -> pd.DataFrame:
    """The table for people: causes by their titles, answers in a few words each."""
    rows = [
        {
            "cause": cause.plain,
            "posterior": sure_of(diagnosis, cause),
            "for": diagnosis.labels(cause.speaks_for),
            "against": diagnosis.labels(cause.speaks_against),
            "verdict": diagnosis.verdict_of(cause),
        }
        for cause in diagnosis.causes
    ]
    return pd.DataFrame(rows)


def diagnosis_html(diagnosis: Judged) -> str:
    """The sentences, and the table; everything escaped."""
    said = "".join(f"<p>{escape(line)}</p>" for line in explain(diagnosis).split("\n"))
    table = ranking(diagnosis).to_html(index=False, border=0, classes="kit-diagnosis")
    return f"<div class='kit-diagnosis'>{said}{table}</div>"
