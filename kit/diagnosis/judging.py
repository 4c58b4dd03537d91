"""Weighing: from answered checks to a posterior and a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kit.diagnosis.chain import chain_of
from kit.diagnosis.intervention import Shown
from kit.diagnosis.judged import Cause, CheckResult, leading
from kit.diagnosis.missing import Notice, additions, notices
from kit.diagnosis.result import Diagnosis
from kit.hypotheses import ALL, POLICY, Answer, Check, Hypothesis, Observed, Policy, all_checks
from kit.hypotheses.base_rates import base_rates
from kit.hypotheses.likelihoods import NONE, Likelihoods, shipped_likelihoods
from kit.recording import Trace
from kit.recording.watching import Watch

# any of these answered yes means that something is to be explained
SYMPTOMS = (
    *("train_reads_zero", "validation_level", "loss_zero", "loss_nonfinite", "losses_diverge", "parameters_unmoved"),
)
# one of these answered no: the parameters were seen to be trained
MOVED = ("parameters_unmoved", "no_steps")
# weights that the report's loss has, and hardly another
_REPORT_WEIGHTS = frozenset({"lam_cov", "lam_cov_pred", "lam_ortho"})
_LEADING = 5  # causes whose unanswered signs decide what is worth adding to the recording


def diagnose(
    evidence: Any,
    *,
    hypotheses: Iterable[Hypothesis] = ALL,
    likelihoods: Likelihoods | None = None,
    policy: Policy = POLICY,
) -> Diagnosis:
    """Weigh every hypothesis with what was recorded of a run.

        posterior ~ prior * P(answers | cause)

    Checks that were not measured are silent and move nothing. The prior of a run of the report's loss is the report's; of any other,
    how often each cause was found in public threads (``data/public_cases.csv``).

    Args:
        evidence: a watched run or its trace, the path of a saved trace, a ``TrainingHistory``, or anything with the
            tables ``.steps`` and ``.epochs``.
        hypotheses: the causes to weigh.
        likelihoods: counted answers; the shipped table unless given.
        policy: thresholds.
    Raises:
        TypeError: evidence without these tables.
    """
    if isinstance(evidence, Watch):
        evidence = evidence.trace
    elif isinstance(evidence, str | os.PathLike):
        evidence = Trace.load(evidence)
    hypotheses = tuple(hypotheses)
    observed = Observed.of(evidence)
    answers = {entry: entry(observed, policy) for entry in all_checks(hypotheses)}
    rates = None if _of_the_report(observed) else base_rates()
    found = judge(
        answers, hypotheses=hypotheses, likelihoods=likelihoods, policy=policy, lacks=notices(observed), rates=rates
    )
    if (
        found.top is not None and found.top.key == "no_batches" and found.top.decided
    ):  # a loop whose loader is empty was seen, and trained nothing
        found = replace(found, lacks=tuple(notice for notice in found.lacks if notice.key != "nothing_trained"))
    if observed.facts.get("epochs_displayed") is not None:
        found = _unsure(found, policy)
    if found.verdict == "nothing_found" and observed.facts.get("log_symptoms"):  # as a loss that died on the way
        found = replace(found, verdict="unexplained")
    unanswered = [result.check for result in found.results if result.yes is None]
    first = [sign for cause in found.causes[:_LEADING] for sign in cause.hypothesis.signs]
    chain = chain_of(observed, answers, policy)
    more, shown = additions(observed, unanswered, first), Shown.by(observed, policy)
    return replace(found, additions=more, chain=chain, shown=shown)


def judge(
    answers: Mapping[Check, Answer],
    *,
    hypotheses: Iterable[Hypothesis] = ALL,
    likelihoods: Likelihoods | None = None,
    policy: Policy = POLICY,
    lacks: Iterable[Notice] = (),
    rates: Mapping[str, int] | None = None,
) -> Diagnosis:
    """The same from answers that are already there.

    Args:
        answers: every check with its answer.
        hypotheses, likelihoods, policy: as in ``diagnose``.
        lacks: what was missing; with any of it nothing is called healthy.
        rates: how often each cause was found elsewhere; the author's priors unless given.
    """
    hypotheses = tuple(hypotheses)
    if not hypotheses:
        raise ValueError("hypotheses should hold at least one hypothesis. Found none.")
    counted = shipped_likelihoods() if likelihoods is None else likelihoods
    results = tuple(CheckResult(entry, answer) for entry, answer in answers.items())
    told = {result.key: result.yes for result in results if result.yes is not None}
    priors = prior_of(
        hypotheses, policy, [h.key for h in hypotheses if h.key in counted.ways or not _by_fact_alone(h)], rates
    )
    by_key = {result.key: result.answer for result in results}
    excluded = {h.key: _excluding(h, by_key) for h in hypotheses}
    posteriors = _posterior(priors, [h for h in hypotheses if not excluded[h.key]], told, counted)
    causes = tuple(
        _cause(h, priors[h.key], posteriors.get(h.key, 0.0), by_key, excluded[h.key], counted, policy)
        for h in hypotheses
    )
    causes, nothing = _established_first(causes, posteriors[NONE], policy)
    lacks = tuple(lacks)
    verdict = _verdict(_named(causes, nothing, counted, rates, policy), nothing, told, lacks)
    return Diagnosis(verdict, causes, results, nothing, policy, lacks)


def _established_first(causes: tuple[Cause, ...], nothing: float, policy: Policy) -> tuple[tuple[Cause, ...], float]:
    """The most probable first. A cause that leads by its fact is as probable as such causes are, at least; all others share the rest."""
    causes = tuple(sorted(causes, key=lambda cause: -cause.posterior))
    top = leading(causes, policy)
    if top is None or not top.decided or top.posterior >= policy.established:
        return causes, nothing
    return _given(top, policy.established, causes, nothing)


def _given(top: Cause, posterior: float, causes: Iterable[Cause], nothing: float) -> tuple[tuple[Cause, ...], float]:
    """One posterior set, the others scaled to share the rest."""
    rest = (1 - posterior) / (1 - top.posterior)
    shared = [replace(c, posterior=posterior if c is top else c.posterior * rest) for c in causes]
    return tuple(sorted(shared, key=lambda cause: -cause.posterior)), nothing * rest


def _unsure(found: Diagnosis, policy: Policy) -> Diagnosis:
    """Where display and recording disagree about what an epoch is, nothing that is only weighed is nearly certain."""
    top = found.top
    if top is None or top.facts or not policy.unsure < top.posterior < 1:
        return found
    causes, nothing = _given(top, policy.unsure, found.causes, found.nothing_probability)
    return replace(found, causes=causes, nothing_probability=nothing)


def _of_the_report(seen: Observed) -> bool:
    """Whether the loss is the report's: its weights were in force."""
    return {*seen.weights} >= _REPORT_WEIGHTS


def _by_fact_alone(hypothesis: Hypothesis) -> bool:
    return bool(hypothesis.signs) and {*hypothesis.signs} <= {*hypothesis.decisive}


def prior_of(
    hypotheses: Iterable[Hypothesis],
    policy: Policy = POLICY,
    weighed: Iterable[str] | None = None,
    rates: Mapping[str, int] | None = None,
) -> Mapping[str, float]:
    """Before anything was measured; scaled to sum to 1.

    Args:
        hypotheses: the causes; "none of these" is added.
        policy: what a cause has that the report does not name.
        weighed: keys of those that counts can weigh, all unless given; the others are established by a fact or hardly possible.
        rates: how often each cause was found elsewhere, one more for each; the report's percentages unless given.
    """
    hypotheses = tuple(hypotheses)
    known = {h.key for h in hypotheses} if weighed is None else {*weighed}
    named = {h.key: policy.prior_outside if h.prior is None else h.prior for h in hypotheses}
    named[NONE] = policy.prior_outside
    if rates is not None:
        named = {key: rates.get(key, 0) + 1.0 for key in named}
    by_fact = {h.key for h in hypotheses if h.key not in known and (h.prior is None or rates is not None)}
    raw = {key: policy.prior_by_fact if key in by_fact else prior for key, prior in named.items()}
    total = math.fsum(raw.values())
    return MappingProxyType({key: value / total for key, value in raw.items()})


def _posterior(
    priors: Mapping[str, float], hypotheses: Iterable[Hypothesis], told: Mapping[str, bool], counted: Likelihoods
) -> dict[str, float]:
    signs = {h.key: [sign.key for sign in h.signs] for h in hypotheses} | {NONE: []}
    logs = {key: math.log(priors[key]) + counted.log_likelihood(key, told, own) for key, own in signs.items()}
    largest = max(logs.values())
    weights = {key: math.exp(value - largest) for key, value in logs.items()}
    total = math.fsum(weights.values())
    return {key: value / total for key, value in weights.items()}


def _cause(
    hypothesis: Hypothesis,
    prior: float,
    posterior: float,
    answers: Mapping[str, Answer],
    ruled_out: tuple[str, ...],
    counted: Likelihoods,
    policy: Policy,
) -> Cause:
    told = {key: answer.yes for key, answer in answers.items() if answer.yes is not None}
    bits = {key: counted.bits(hypothesis, key, yes) for key, yes in told.items()}
    order = sorted(bits, key=lambda key: -abs(bits[key]))
    found = [answers[s.key] for s in hypothesis.signs if s.key in answers and answers[s.key].fact]
    return Cause(
        hypothesis,
        prior,
        posterior,
        tuple(key for key in order if bits[key] >= policy.telling_bits),
        tuple(key for key in order if bits[key] <= -policy.telling_bits),
        tuple(sign.key for sign in hypothesis.signs if sign.key not in told),
        not ruled_out and any(told.get(sign.key, False) for sign in hypothesis.signs),
        tuple(answer.fact for answer in found),
        any(sign in answers and bool(answers[sign].fact) for sign in (s.key for s in hypothesis.decisive)),
        bool(found) and all(answer.part for answer in found),
        ruled_out,
    )


def _excluding(hypothesis: Hypothesis, answers: Mapping[str, Answer]) -> tuple[str, ...]:
    keys = [entry.key for entry in hypothesis.excluded_by]
    return tuple(answers[key].because for key in keys if key in answers and answers[key].yes)


def _named(
    causes: tuple[Cause, ...], nothing: float, counted: Likelihoods, rates: Mapping[str, int] | None, policy: Policy
) -> Cause | None:
    """The leading cause, if a fact speaks for it or it is probable enough to be named."""
    top = leading(causes, policy)
    # what was never counted cannot be weighed; and a prior of 90 % for one cause leaves little for any other: under the author's
    # priors it is enough to be likelier than none of them
    if top is None or top.facts or top.key not in counted.ways:
        return top
    return top if top.posterior >= (nothing if rates is None else policy.leads) else None


def _verdict(top: Cause | None, nothing: float, told: Mapping[str, bool], lacks: tuple[Notice, ...]) -> str:
    symptom = any(told.get(key, False) for key in SYMPTOMS)
    if top is not None and (symptom or top.facts or top.posterior > nothing):
        partly = top.part and top.decided and not symptom
        return "partly" if partly and top.hypothesis.verdict == "fault" else top.hypothesis.verdict
    if symptom:
        return "unexplained"
    # a loop that was seen to work is healthy, also if nobody said what it displayed
    works = told.get("loss_zero") is False and any(told.get(key) is False for key in MOVED)
    missing = [notice for notice in lacks if not (works and notice.key == "not_displayed")]
    return "nothing_found" if missing or not works else "healthy"
