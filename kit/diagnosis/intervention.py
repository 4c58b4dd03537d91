"""Is a suspected cause the cause? Apply its fix alone, run again, and see whether the symptom is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kit.hypotheses import Hypothesis, Observed, Policy, RepeatableRun
from kit.hypotheses.checks.symptoms import loss_zero, spoken, train_reads_zero, validation_level, validation_losses


@dataclass(frozen=True)
class Shown:
    """What a run shows at first sight; ``None`` was not observed."""

    train_zero: bool | None
    validation_level: bool | None
    loss_zero: bool | None
    train: str
    validation: str

    @classmethod
    def by(cls, evidence: Any, policy: Policy) -> Shown:
        seen = Observed.of(evidence)
        return cls(
            train_reads_zero(seen, policy).yes,
            validation_level(seen, policy).yes,
            loss_zero(seen, policy).yes,
            spoken(seen.over_epochs("train_loss")),
            spoken(validation_losses(seen)),
        )

    @property
    def symptoms(self) -> frozenset[str]:
        return frozenset(name for name in ("train_zero", "validation_level", "loss_zero") if getattr(self, name))


@dataclass(frozen=True)
class Intervention:
    """One fix, applied alone: confirmed if every symptom shown before is gone after it; None if there was no symptom to remove."""

    key: str
    before: Shown
    after: Shown
    confirmed: bool | None

    @classmethod
    def of(cls, key: str, before: Shown, after: Shown) -> Intervention:
        return cls(key, before, after, not before.symptoms & after.symptoms if before.symptoms else None)

    @property
    def word(self) -> str:
        if self.confirmed is None:
            return "no symptom to remove"
        return "confirmed by its fix" if self.confirmed else "not confirmed: its fix leaves the symptom"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def intervene(training: RepeatableRun, hypotheses: Iterable[Hypothesis], policy: Policy) -> Mapping[str, Intervention]:
    """Key -> what its fix alone did; hypotheses for which the training knows no fix are left out."""
    before = Shown.by(training.run(), policy)
    found = {}
    for hypothesis in hypotheses:
        try:
            evidence = training.run(fix=hypothesis.key)
        except KeyError:
            continue
        found[hypothesis.key] = Intervention.of(hypothesis.key, before, Shown.by(evidence, policy))
    return found
