"""What a diagnosis is: causes with their probabilities, findings with their answers, a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kit.diagnosis.intervention import Intervention, intervene
from kit.diagnosis.speech import diagnosis_html, explain
from kit.hypotheses import POLICY, Answer, Check, Hypothesis, Laboratory, Policy


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


@dataclass(frozen=True)
class Cause:
    """One hypothesis, judged.

    Attributes:
        hypothesis: the claim.
        prior, posterior: probabilities; over all causes and "none of these" each sums to 1.
        speaks_for, speaks_against: keys of checks whose answers are telling, the most telling first.
        silent: keys of the hypothesis's own signs that were not measured.
        has_sign: one of its signs was answered yes.
        intervention: what its fix alone did, if that was tried.
    """

    hypothesis: Hypothesis
    prior: float
    posterior: float
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    silent: tuple[str, ...]
    has_sign: bool
    intervention: Intervention | None = None

    @property
    def key(self) -> str:
        return self.hypothesis.key

    @property
    def title(self) -> str:
        return self.hypothesis.title


@dataclass(frozen=True)
class Diagnosis:
    """What a recorded run says about its cause.

    Attributes:
        verdict: "fault", "healthy", "not_a_fault", "wrong_number" or "unexplained".
        causes: every hypothesis, the most probable first.
        findings: every check with its answer.
        nothing_probability: the posterior of "none of these".
    """

    verdict: str
    causes: tuple[Cause, ...]
    findings: tuple[Finding, ...]
    nothing_probability: float
    policy: Policy = POLICY

    @property
    def top(self) -> Cause | None:
        """The most probable cause that has a sign of its own; None when the run is healthy or unexplained."""
        if self.verdict in ("healthy", "unexplained"):
            return None
        return next(cause for cause in self.causes if cause.has_sign)

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
        """ "most likely", "possible", "unlikely" or "no sign", and what the intervention showed."""
        if self.top is not None and cause.key == self.top.key:
            word = "most likely"
        elif not cause.has_sign:
            word = "no sign"
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

    def explain(self) -> str:
        """The diagnosis in plain sentences: what, how sure, why, what speaks against it, what was not seen, what to do."""
        return explain(self)

    def guard(self) -> str:
        """Lines for the user's own tests, without this package, that would have caught the cause; empty when there is none."""
        return "" if self.top is None else self.top.hypothesis.guard

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "verdict": self.verdict,
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
        return f"Diagnosis({self.verdict}" + (f": {self.top.key}, {self.top.posterior:.1%})" if self.top else ")")

    def _repr_html_(self) -> str:
        return diagnosis_html(self)
