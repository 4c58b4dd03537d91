"""The running diagnosis, in two sentences."""

from __future__ import annotations

from types import MappingProxyType

from kit.diagnosis import Cause, Diagnosis, diagnose
from kit.hypotheses.likelihoods import Likelihoods, shipped_likelihoods
from kit.investigation.live.record import Evidence

_REASONS, _SILENT = 2, 3


def known_likelihoods() -> Likelihoods:
    """The shipped counts; where none are shipped, every sign weighs as if it had been seen once."""
    try:
        return shipped_likelihoods()
    except FileNotFoundError:
        return Likelihoods(MappingProxyType({}))


def diagnosis_line(evidence: Evidence, since: int, likelihoods: Likelihoods | None = None) -> str:
    """What explains best what was recorded after batch `since`, why, and what is still silent."""
    if evidence.steps.empty:
        return f"Nothing was seen yet after the change at batch {since}." if since else "Nothing was seen yet."
    found = diagnose(evidence, likelihoods=likelihoods or known_likelihoods())
    if found.top is not None:
        said = f"most likely so far: {_cause(found, found.top)}"
    elif found.verdict == "healthy":
        said = "no sign of any known cause so far."
    else:
        said = "most likely so far: none of the known causes, though something is wrong."
    said = f"After batch {since}, {said}" if since else said[0].upper() + said[1:]
    return f"{said} {_silence(found)}"


def _cause(found: Diagnosis, top: Cause) -> str:
    own = [sign.key for sign in top.hypothesis.signs]
    told = [
        finding for finding in map(found.finding, dict.fromkeys((*own, *top.speaks_for))) if finding.yes is not None
    ]
    # what speaks for this cause by itself says most, and a yes says more than a no that fits
    told = sorted((f for f in told if f.yes or f.key in top.speaks_for), key=lambda f: (not f.yes, f.key not in own))
    reasons = "; ".join(f"{f.check.question} {f.word.capitalize()}: {f.answer.because}" for f in told[:_REASONS])
    return f"{top.title} ({top.posterior:.0%}), because: {reasons}."


def _silence(found: Diagnosis) -> str:
    """The causes about which nothing was measured that could speak for them."""
    hidden = [cause.title for cause in found.causes if len(cause.silent) == len(cause.hypothesis.signs)]
    if not hidden:
        return "Nothing is silent: every cause could have shown itself."
    more = len(hidden) - _SILENT
    return f"Still silent: {'; '.join(hidden[:_SILENT])}{f'; and {more} more' if more > 0 else ''}."
