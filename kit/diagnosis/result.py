"""What a diagnosis is: causes with their probabilities, findings with their answers, a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kit.diagnosis.intervention import Intervention, intervene
from kit.diagnosis.missing import Addition, Notice
from kit.diagnosis.speech import diagnosis_html, explain, summary, sure_of
from kit.hypotheses import POLICY, Answer, Check, Hypothesis, Laboratory, Policy

NO_CAUSE = ("healthy", "nothing_found", "unexplained")


@dataclass(frozen=True)
class Finding:
    """What one check found: ``word`` is yes, no or silent."""

    check: Check
    answer: Answer

    @property
    def key(self) -> str:
        return self.check.key

    @property
    def yes(self) -> bool | None:
        return self.answer.yes

    @property
    def word(self) -> str:
        return self.answer.word

    @property
    def label(self) -> str:
        """The answer in a few words, as "gradients NaN"."""
        return self.check.label(self.yes)


@dataclass(frozen=True)
class Cause:
    """One hypothesis, judged.

    Attributes:
        hypothesis: the claim.
        prior, posterior: probabilities; over all causes and "none of these" each sums to 1.
        speaks_for, speaks_against: keys of checks whose answers are telling, the most telling first.
        silent: keys of the hypothesis's own signs that were not measured.
        has_sign: one of its signs was answered yes.
        facts: what holds of its signs without exception, in clauses.
        decided: one of these facts establishes the cause by itself.
        intervention: what its fix alone did, if that was tried.
    """

    hypothesis: Hypothesis
    prior: float
    posterior: float
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    silent: tuple[str, ...]
    has_sign: bool
    facts: tuple[str, ...] = ()
    decided: bool = False
    intervention: Intervention | None = None

    @property
    def key(self) -> str:
        return self.hypothesis.key

    @property
    def title(self) -> str:
        return self.hypothesis.title

    @property
    def plain(self) -> str:
        """The title for anyone's run."""
        return self.hypothesis.plain or self.hypothesis.title

    @property
    def percent(self) -> str:
        """The posterior as text: "99.2%"; what would read "0.0%" without being 0 is "below 0.1%"."""
        return "below 0.1%" if 0 < self.posterior < 0.001 else f"{self.posterior:.1%}"


def leading(causes: Sequence[Cause]) -> Cause | None:
    """The most probable cause with a sign; a fault that a fact establishes comes before one that is only weighed.

    Nothing is called no fault while a fact speaks for one.
    """
    signed = [cause for cause in causes if cause.has_sign]
    if not signed or signed[0].decided:
        return signed[0] if signed else None
    faults = [cause for cause in signed if cause.hypothesis.verdict == "fault"]
    established = [cause for cause in faults if cause.decided]
    if signed[0].hypothesis.verdict == "not_a_fault":
        established = established or [cause for cause in faults if cause.facts]
    return next((c for c in established if c.key not in signed[0].hypothesis.explains), signed[0])


@dataclass(frozen=True)
class Diagnosis:
    """What a recorded run says about its cause.

    Attributes:
        verdict: "fault", "not_a_fault", "wrong_number", "unexplained" (a symptom and no cause), "healthy", or "nothing_found": no
            symptom and no sign, and something is missing without which nothing can be called healthy.
        causes: every hypothesis, the most probable first.
        findings: every check with its answer.
        nothing_probability: the posterior of "none of these".
        lacks: what was missing from the start, to be said before any answer.
        additions: what would answer most of the open checks, with the code that adds it.
    """

    verdict: str
    causes: tuple[Cause, ...]
    findings: tuple[Finding, ...]
    nothing_probability: float
    policy: Policy = POLICY
    lacks: tuple[Notice, ...] = ()
    additions: tuple[Addition, ...] = ()

    @property
    def top(self) -> Cause | None:
        """The cause that is named first: one that a fact establishes, else the most probable one that has a sign of its own.

        None when there is none: the run is healthy, unexplained, or nothing was found.
        """
        return None if self.verdict in NO_CAUSE else leading(self.causes)

    @property
    def established(self) -> tuple[Cause, ...]:
        """The causes that facts establish, ``top`` first if it is one; none that follows from another of them."""
        if self.top is None:
            return ()
        found = [self.top] if self.top.facts else []
        explained = set(self.top.hypothesis.explains)
        found += [c for c in self.causes if c.decided and c.key != self.top.key and c.key not in explained]
        return tuple(found)

    @property
    def named(self) -> tuple[Cause, ...]:
        """The causes that the answer names: ``top``, and every other that is established."""
        return tuple({c.key: c for c in (self.top, *self.established) if c is not None}.values())

    @property
    def facts(self) -> tuple[str, ...]:
        """What holds without exception, in the order of the checks."""
        return tuple(dict.fromkeys(f.answer.fact for f in self.findings if f.answer.fact))

    @property
    def table(self) -> pd.DataFrame:
        """One row per hypothesis, the most probable first."""
        rows = [
            {
                "key": cause.key,
                "title": cause.title,
                "prior": cause.prior,
                "posterior": cause.posterior,
                "for": ", ".join(cause.speaks_for),
                "against": ", ".join(cause.speaks_against),
                "silent": ", ".join(cause.silent),
                "verdict": self.verdict_of(cause),
            }
            for cause in self.causes
        ]
        return pd.DataFrame(rows)

    def verdict_of(self, cause: Cause) -> str:
        """ "established", "most likely", "also seen", "possible", "unlikely" or "no sign", and what the intervention showed."""
        if any(cause.key == found.key for found in self.established):
            word = "established"
        elif self.top is not None and cause.key == self.top.key:
            word = "most likely"
        elif not cause.has_sign:
            word = "no sign"
        elif cause.facts:
            word = "also seen"
        else:
            word = "possible" if cause.posterior >= self.policy.possible else "unlikely"
        return word if cause.intervention is None else f"{word}, {cause.intervention.word}"

    def cause(self, key: str) -> Cause:
        """Raises KeyError for a key that was not among the hypotheses."""
        found = {cause.key: cause for cause in self.causes}
        if key not in found:
            raise KeyError(f"key should be one of {', '.join(found)}. Found {key!r}.")
        return found[key]

    def finding(self, key: str) -> Finding:
        return next(finding for finding in self.findings if finding.key == key)

    def confirmed_by(self, laboratory: Laboratory, *, keys: Iterable[str] | None = None) -> Diagnosis:
        """The same diagnosis with interventions: the run is made again as it was, and with one cause's fix applied alone.

        Args:
            laboratory: makes the runs.
            keys: which causes to try; those with a sign unless given. Those without a known fix are left as they are.
        """
        wanted = {cause.key for cause in self.causes if cause.has_sign} if keys is None else set(map(self._known, keys))
        tried = intervene(laboratory, [cause.hypothesis for cause in self.causes if cause.key in wanted], self.policy)
        causes = tuple(replace(cause, intervention=tried.get(cause.key, cause.intervention)) for cause in self.causes)
        return replace(self, causes=causes)

    def _known(self, key: str) -> str:
        return self.cause(key).key

    def labels(self, keys: Iterable[str], most: int = 4) -> str:
        """The answers of these checks in a few words each."""
        keys = list(keys)
        said = [self.finding(key).label for key in keys[:most]]
        return " \u00b7 ".join(said + ([f"{len(keys) - most} more"] if len(keys) > most else []))

    def explain(self, *, verbose: bool = False) -> str:
        """The diagnosis in plain sentences: what is missing, what it is, what happens, the facts, what to do; then the details.

        verbose: with every check that had nothing to look at, one a line.
        """
        return explain(self, verbose=verbose)

    def guard(self) -> str:
        """Lines for the user's own tests, without this package, that would have caught the cause; empty when there is none."""
        return "" if self.top is None else self.top.hypothesis.guard

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "verdict": self.verdict,
            "lacks": [notice.sentence for notice in self.lacks],
            "established": [cause.key for cause in self.established],
            "facts": list(self.facts),
            "top": None if self.top is None else self.top.key,
            "nothing_probability": self.nothing_probability,
            "causes": [
                {
                    **row,
                    "intervention": None if cause.intervention is None else cause.intervention.to_dict(),
                }
                for row, cause in zip(self.table.to_dict("records"), self.causes, strict=True)
            ],
            "findings": [
                {"check": f.key, "question": f.check.question, "answer": f.word, "because": f.answer.because}
                for f in self.findings
            ],
        }

    def __repr__(self) -> str:
        return f"Diagnosis({self.verdict}" + (f": {self.top.plain}, {sure_of(self, self.top)})" if self.top else ")")

    def __str__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        return diagnosis_html(self)
