"""What a diagnosis is: causes that were weighed, in numbers and in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kit.diagnosis.intervention import Intervention, Shown, intervene
from kit.diagnosis.judged import CheckResult, Judged
from kit.diagnosis.markdown import to_markdown
from kit.diagnosis.own_run import MENDS, OF_THE_LOOP, OwnRun
from kit.diagnosis.record import to_record
from kit.diagnosis.sarif import to_sarif
from kit.diagnosis.speech import diagnosis_html, explain, summary, sure_of
from kit.hypotheses import RepeatableRun
from kit.renamed import warn_renamed

_PLAIN_LOOP = (
    "A cause of the loop was mended by a plain loop on one batch: that shows that model, loss and optimizer can move both numbers, "
    "not that your loop has no other fault."
)


@dataclass(frozen=True)
class Diagnosis(Judged):
    """What a recorded run says about its cause. ``print`` it for the first lines, ``explain()`` it for all."""

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

    def confirmed_by(self, training: RepeatableRun, *, keys: Iterable[str] | None = None) -> Diagnosis:
        """The same diagnosis with interventions: the run is made again as it was, and with one cause's fix applied alone.

        Args:
            training: makes the runs.
            keys: which causes to try; those with a sign unless given. Those without a known fix are left as they are.
        """
        wanted = {cause.key for cause in self.causes if cause.has_sign} if keys is None else set(map(self._known, keys))
        tried = intervene(training, [cause.hypothesis for cause in self.causes if cause.key in wanted], self.policy)
        causes = tuple(replace(cause, intervention=tried.get(cause.key, cause.intervention)) for cause in self.causes)
        return replace(self, causes=causes)

    def confirm(
        self, model: Any, loss: Any, batch: Any, optimizer: Any, *, steps: int = 20, keys: Iterable[str] | None = None
    ) -> Diagnosis:
        """The same diagnosis, with what each suspected cause's fix alone does to the reader's own parts.

        Copies of model, loss and optimizer take a few plain steps on one batch, as they are and mended; the parts themselves are
        left as they are. A cause of the loop (no step, cleared gradients, a wrong display) is mended by the plain loop: before it
        is what was recorded.

        Args:
            model, loss, batch: as for ``kit.probe``.
            optimizer: the optimizer as it is configured.
            steps: optimizer steps of each of these runs, at least five.
            keys: which causes to try; those with a sign unless given.
        Raises:
            TypeError, ValueError: parts of another kind.
            KeyError: a key that was not among the hypotheses.
        """
        own = OwnRun(model, loss, batch, optimizer, steps)
        wanted = {cause.key for cause in self.causes if cause.has_sign} if keys is None else set(map(self._known, keys))
        found = self.confirmed_by(own, keys=wanted & {*MENDS}) if wanted & {*MENDS} else self
        if self.shown is None or not wanted & OF_THE_LOOP:
            return found
        after = Shown.by(own.run(), self.policy)
        tried = {key: Intervention.of(key, self.shown, after) for key in wanted & OF_THE_LOOP}
        causes = tuple(replace(c, intervention=tried.get(c.key, c.intervention)) for c in found.causes)
        return replace(found, causes=causes, notes=(*found.notes, _PLAIN_LOOP))

    def _known(self, key: str) -> str:
        return self.cause(key).key

    def explain(self, *, verbose: bool = False) -> str:
        """The diagnosis in plain sentences: what is missing, what it is, what happens, the facts, what to do; then the details.

        verbose: with every check that had nothing to look at, one a line.
        """
        return explain(self, verbose=verbose)

    @property
    def findings(self) -> tuple[CheckResult, ...]:
        """The name of ``results`` in version 0.1."""
        warn_renamed("Diagnosis.findings", "Diagnosis.results")
        return self.results

    def guard(self) -> str:
        """Lines for the user's own tests, without this package, that would have caught the cause; empty when there is none."""
        return "" if self.top is None else self.top.hypothesis.guard

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, as ``kit/diagnosis/diagnosis.schema.json`` describes them; NaN and infinity are None."""
        return to_record(self, self.table)

    def to_sarif(self) -> dict[str, Any]:
        """SARIF 2.1.0, ready for JSON: a result for each cause and link that it breaks, at its line if its file lies in the working folder."""
        return to_sarif(self)

    def to_markdown(self) -> str:
        """A ticket: verdict, what happens, facts, the chain, what to do, a guard, what was not seen. Recorded names are escaped."""
        return to_markdown(self)

    def __repr__(self) -> str:
        top = f", top={self.top.plain!r}, sure={sure_of(self, self.top)!r}" if self.top else ""
        return f"Diagnosis(verdict={self.verdict!r}{top})"

    def __str__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        return diagnosis_html(self)
