"""Causes with their probabilities, checks with their answers, a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kit.diagnosis.chain import Chain, Link
from kit.diagnosis.intervention import Intervention, Shown
from kit.diagnosis.missing import Addition, Notice
from kit.hypotheses import POLICY, Answer, Check, Hypothesis, Policy

NO_CAUSE = ("healthy", "nothing_found", "unexplained")


@dataclass(frozen=True)
class CheckResult:
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
        has_sign: one of its signs was answered yes, and nothing rules it out.
        facts: what holds of its signs without exception, in clauses.
        decided: one of these facts establishes the cause by itself.
        part: these facts are all about a part of the loss or of the network.
        ruled_out: what rules it out, in clauses.
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
    part: bool = False
    ruled_out: tuple[str, ...] = ()
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


def leading(causes: Sequence[Cause], policy: Policy = POLICY) -> Cause | None:
    """The most probable cause with a sign; a fault that a fact establishes comes before one that is only weighed.

    What follows from another established cause comes behind it. A fact about a part comes behind what may stop the whole.
    Nothing is called no fault while a fact speaks for one.
    """
    signed = [cause for cause in causes if cause.has_sign]
    if not signed:
        return None
    decided = [cause for cause in signed if cause.decided]
    follows = {key for cause in decided for key in cause.hypothesis.explains}
    first = [cause for cause in decided if cause.key not in follows] or decided
    whole = [cause for cause in first if not cause.part]
    weighed = next((cause for cause in signed if cause.key not in follows), signed[0])
    if weighed.decided and not weighed.part and weighed.key not in follows:
        return weighed
    faults = [cause for cause in whole if cause.hypothesis.verdict == "fault"]
    if weighed.hypothesis.verdict == "not_a_fault":
        faults = faults or [c for c in signed if c.hypothesis.verdict == "fault" and c.facts and not c.part]
    for cause in faults:
        if cause.key not in weighed.hypothesis.explains:
            return cause
    if first and weighed.posterior < policy.leads:
        return first[0]
    return weighed


@dataclass(frozen=True)
class Judged:
    """Causes weighed by the answers of the checks, and a verdict. ``Diagnosis`` adds the words.

    Attributes:
        verdict: "fault", "partly" (a part is broken, and the rest trains), "not_a_fault", "wrong_number", "unexplained" (a symptom and no cause), "healthy", or "nothing_found": no
            symptom and no sign, and something is missing without which nothing can be called healthy.
        causes: every hypothesis, the most probable first.
        results: every check with its answer.
        nothing_probability: the posterior of "none of these".
        lacks: what was missing from the start, to be said before any answer.
        additions: what would answer most of the open checks, with the code that adds it.
        chain: the state of every link of a step; empty where only answers were judged.
        shown: what the run shows at first sight; None where only answers were judged.
        notes: what else was measured, in sentences; they move nothing.
    """

    verdict: str
    causes: tuple[Cause, ...]
    results: tuple[CheckResult, ...]
    nothing_probability: float
    policy: Policy = POLICY
    lacks: tuple[Notice, ...] = ()
    additions: tuple[Addition, ...] = ()
    chain: Chain = field(default_factory=Chain)
    shown: Shown | None = None
    notes: tuple[str, ...] = ()

    @property
    def top(self) -> Cause | None:
        """The cause that is named first: one that a fact establishes, else the most probable one that has a sign of its own.

        None when there is none: the run is healthy, unexplained, or nothing was found.
        """
        return None if self.verdict in NO_CAUSE else leading(self.causes, self.policy)

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
    def also_found(self) -> tuple[tuple[Cause, str], ...]:
        """Further causes with what was seen of them: each breaks a link that nothing before it on its path explains."""
        first = {(link.name, link.state) for link in self.chain.broken}
        named, found = {cause.key for cause in self.named}, []
        taken = {sign.link for cause in self.named for sign in cause.hypothesis.signs if self.result(sign.key).yes}
        follows = {key for cause in self.named for key in cause.hypothesis.explains}
        for cause in self.causes:
            if not cause.has_sign or cause.key in {*named, *follows}:
                continue
            signs = [self.result(sign.key) for sign in cause.hypothesis.signs]
            seen = [s for s in signs if s.yes and (s.check.link, s.check.state) in first and s.check.link not in taken]
            if seen:
                found.append((cause, seen[0].answer.fact or seen[0].answer.because))
                taken |= {s.check.link for s in seen}
        return tuple(found)

    def broken_by(self, cause: Cause) -> tuple[Link, ...]:
        """The broken links that signs of this cause ask about; those that follow from another only if there is no other."""
        said = {sign.key for sign in cause.hypothesis.signs}
        states = {(r.check.link, r.check.state) for r in self.results if r.yes and r.key in said}
        links = tuple(link for link in self.chain.links if link.broken and (link.name, link.state) in states)
        return tuple(link for link in links if not link.behind) or links

    @property
    def facts(self) -> tuple[str, ...]:
        """What holds without exception, in the order of the checks."""
        return tuple(dict.fromkeys(f.answer.fact for f in self.results if f.answer.fact))

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

    def result(self, key: str) -> CheckResult:
        """Raises KeyError for the key of no check."""
        found = {result.key: result for result in self.results}
        if key not in found:
            raise KeyError(f"key should be that of a check: {', '.join(found)}. Found {key!r}.")
        return found[key]

    def labels(self, keys: Iterable[str], most: int = 4) -> str:
        """The answers of these checks in a few words each."""
        keys = list(keys)
        said = [self.result(key).label for key in keys[:most]]
        return " \u00b7 ".join(said + ([f"{len(keys) - most} more"] if len(keys) > most else []))
