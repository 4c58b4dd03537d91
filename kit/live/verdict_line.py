"""The running diagnosis, in a few sentences."""

from __future__ import annotations

from types import MappingProxyType

from kit.diagnosis import Cause, Diagnosis, diagnose
from kit.diagnosis.speech import lower
from kit.hypotheses.likelihoods import Likelihoods, shipped_likelihoods
from kit.live.record import Evidence

_REASONS = 2


def known_likelihoods() -> Likelihoods:
    """The shipped counts; where none are shipped, every sign weighs as if it had been seen once."""
    try:
        return shipped_likelihoods()
    except FileNotFoundError:
        return Likelihoods(MappingProxyType({}))


def diagnosis_line(evidence: Evidence, since: int, likelihoods: Likelihoods | None = None) -> str:
    """What explains best what was recorded after batch `since`, why, and how much could not be looked at."""
    if evidence.steps.empty:
        return f"Nothing was seen yet after the change at batch {since}." if since else "Nothing was seen yet."
    found = diagnose(evidence, likelihoods=likelihoods or known_likelihoods())
    if found.top is not None:
        said = _cause(found, found.top)
    elif found.verdict == "unexplained":
        said = "most likely so far: none of the known causes, though something is wrong."
    else:
        said = "no sign of any known cause so far."
    said = f"After batch {since}, {said}" if since else said[0].upper() + said[1:]
    return f"{said} {_silence(found)}".strip()


def _cause(found: Diagnosis, top: Cause) -> str:
    """The cause with its fact, or with its probability and what speaks for it; then what happens in such a run."""
    if top.facts:
        said = f"established so far: {lower(top.plain)}: {top.facts[0]}."
    else:
        said = f"most likely so far: {lower(top.plain)} ({top.posterior:.0%}), because: {_reasons(found, top)}."
    return f"{said} {top.hypothesis.mechanism}".strip()


def _reasons(found: Diagnosis, top: Cause) -> str:
    own = [sign.key for sign in top.hypothesis.signs]
    told = [finding for finding in map(found.result, dict.fromkeys((*own, *top.speaks_for))) if finding.yes is not None]
    # what speaks for this cause by itself says most, and a yes says more than a no that fits
    told = sorted((f for f in told if f.yes or f.key in top.speaks_for), key=lambda f: (not f.yes, f.key not in own))
    return "; ".join(f"{f.label} ({f.answer.because})" for f in told[:_REASONS])


def _silence(found: Diagnosis) -> str:
    """How many causes there are about which nothing was measured that could speak for them."""
    hidden = sum(len(cause.silent) == len(cause.hypothesis.signs) for cause in found.causes)
    return f"{hidden} of {len(found.causes)} causes had nothing to look at." if hidden else ""
