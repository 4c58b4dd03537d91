"""What was recorded of a run, in one form: per-step and per-epoch tables in which a missing column means "not observed"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

# the words of a training history for what a trace calls differently; its gradient norm is taken after sanitising
_HISTORY_EPOCHS = {"forward_passes": "batches", "backward_calls": "backwards", "steps_taken": "steps"}
_HISTORY_STEPS = {"grad_norm": "seen_norm", "nan_replaced": "grad_nonfinite", "stepped": "steps"}


@dataclass(frozen=True)
class Observed:
    """One recorded run.

    Attributes:
        steps: one row per step of the loop (a batch, in a plain loop), columns as in ``kit.watch``.
        epochs: one row per epoch.
        facts: what holds for the whole run.
        terms: one row a term of the total and backward pass that was read, columns as in ``Trace.terms``; empty if none was.
    """

    steps: pd.DataFrame
    epochs: pd.DataFrame
    facts: Mapping[str, Any]
    terms: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, evidence: Any) -> Observed:
        """From a trace of ``kit.watch``, a training history, or anything with the tables ``.steps`` and ``.epochs``.

        Raises:
            TypeError: neither.
        """
        if isinstance(evidence, Observed):
            return evidence
        steps, epochs = getattr(evidence, "steps", None), getattr(evidence, "epochs", None)
        if not isinstance(steps, pd.DataFrame) or not isinstance(epochs, pd.DataFrame):
            raise TypeError(
                f"evidence should have the tables .steps and .epochs, as a Trace and a TrainingHistory have. Found {type(evidence).__name__}; "
                "record the run with `with kit.watch(model, loss=loss) as run: ...` and pass run.trace."
            )
        if hasattr(evidence, "facts"):
            return cls(steps, epochs, evidence.facts, getattr(evidence, "terms", pd.DataFrame()))
        # its "batch" is a number in the epoch, and its "batches" counts what the display divides by
        steps = steps.drop(columns="batch", errors="ignore").rename(columns=_HISTORY_STEPS)
        if "forward_passes" in epochs:
            epochs = epochs.drop(columns="batches", errors="ignore")
        epochs = epochs.rename(columns=_HISTORY_EPOCHS)
        # a history knows for every batch what a trace knows at the step, and made one backward pass for each
        if "lr" in steps and "steps" in steps:
            steps["lr"] = steps["lr"].where(steps["steps"].astype(bool))
        return cls(steps.assign(backwards=1), epochs, MappingProxyType({}))

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights of the loss that were read while it trained."""
        return tuple(name for table in (self.steps, self.epochs) for name in map(str, table) if name.startswith("lam"))

    def over_steps(self, name: str) -> np.ndarray:
        """The values of a column over the steps, those not measured left out; empty if there are none."""
        return _numbers(self.steps, name)

    def over_epochs(self, name: str) -> np.ndarray:
        return _numbers(self.epochs, name)

    def total(self, name: str) -> float | None:
        """Sum over the epochs, which count every step; None if not observed."""
        values = self.over_epochs(name)
        return float(values.sum()) if values.size else None

    def together(self, *names: str) -> pd.DataFrame:
        """The steps at which all of these were measured."""
        if not set(names) <= set(self.steps):
            return pd.DataFrame(columns=list(names), dtype=float)
        return self.steps[list(names)].dropna().astype(float)

    def weight(self, name: str) -> np.ndarray:
        """A weight of the loss, as it was in force."""
        return _numbers(self.steps if name in self.steps else self.epochs, name)

    def optimizers(self, looked: int) -> list[Mapping[str, Any]]:
        """The records of those that were looked at in at least so many steps."""
        return [row for row in self.facts.get("optimizer_records") or () if row["looked"] >= looked]

    def operations(self, kind: str) -> list[Mapping[str, Any]]:
        """Those that are rarely meant, of one kind; see ``kit.stepgraph.suspicious``."""
        return [row for row in self.facts.get("suspicious_operations") or () if row["kind"] == kind]

    @property
    def evaluated_stands_still(self) -> bool:
        """The network that is evaluated is trained and does not move, while another one does (a generator and its critic, say)."""
        own, drift = self.over_epochs("eval_own_drift"), self.over_epochs("drift")
        return bool(own.size and not own.any() and drift.any())

    @property
    def losses(self) -> np.ndarray:
        """Every training loss that was differentiated or returned, NaN among them: a NaN there was measured, not missing."""
        found = []
        for counted, value in (("backwards", "loss"), ("loss_calls", "loss_returned")):
            if counted in self.steps and value in self.steps:
                measured = self.steps[counted] > 0
                if f"{value}_graph" in self.steps:  # without it the loss had no value to be seen: parts without a total
                    measured &= self.steps[f"{value}_graph"].notna()
                found.append(self.steps.loc[measured, value].to_numpy(dtype=float))
        return np.concatenate(found) if found else np.empty(0)


def _numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].dropna().to_numpy(dtype=float) if name in table else np.empty(0)
