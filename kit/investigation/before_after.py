"""The overfit test, the last step of the report's plan: before the fix and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from kit.faults import FaultySystem
from kit.investigation.fault_runs import FaultRuns
from kit.loss import COVARIANCE_ONLY, TRAINER_AFTER_FIX
from kit.plots import Evidence, compare_runs, evidence
from kit.training import OverfitResult, TrainingConfig, TrainingHistory, overfit_test

BEFORE, AFTER, SEVEN = "before: lam_cov = 1.0, faulty", "after: lam_cov = 1.0, no NaN", "after, all seven weights"


@dataclass(frozen=True)
class OverfitBeforeAfter:
    """The overfit test of one system three times; validation is on the training scenes.

    Attributes:
        before: with the faults, and with lam_cov = 1.0, the only weight of the protocol.
        after: the same without the faults.
        seven: without the faults, under the seven weights of the report's option 1.
    """

    before: TrainingHistory
    after: OverfitResult
    seven: OverfitResult
    seed: int | None = None

    @property
    def runs(self) -> FaultRuns:
        runs = {BEFORE: self.before, AFTER: self.after.history, SEVEN: self.seven.history}
        return FaultRuns(MappingProxyType(runs), self.seed)


def overfit_before_and_after(
    faulty_system: FaultySystem, *, samples: int = 8, epochs: int = 30, batch_size: int = 4
) -> OverfitBeforeAfter:
    """The report's last step, on the first scenes of the system."""
    system = replace(faulty_system.system, train=faulty_system.system.train[:samples])

    def tested(weights: Mapping[str, float]) -> OverfitResult:
        healthy = replace(system, weights=weights)
        model, loss = healthy.new_model(), healthy.new_loss()
        return overfit_test(model, loss, healthy.train, epochs=epochs, batch_size=batch_size)

    after = tested(COVARIANCE_ONLY)
    config = TrainingConfig(**after.history.settings["config"])  # the protocol's own, whatever it is
    faulty = replace(system, validation=system.train, weights=COVARIANCE_ONLY, config=config)
    before = replace(faulty_system, system=faulty, epochs=epochs).run()
    return OverfitBeforeAfter(before, after, tested(TRAINER_AFTER_FIX), system.seed)


def overfit_overlay_evidence(tests: OverfitBeforeAfter) -> Evidence:
    """Train left, validation right, the three tests over one another."""
    runs = tests.runs.runs
    axes = compare_runs(runs)
    axes[0].set_ylabel("displayed loss")
    alt = "; ".join(f"{name}: {spoken_ends(history)}" for name, history in runs.items())
    caption = (
        "Does the network learn the scenes by heart? Healthy: train and validation fall together. Faulty: train lies on 0, validation is "
        "level. Two of the lines weigh the covariance error alone, the third all seven terms."
    )
    columns = {
        f"{name}: {what}": list(values)
        for name, history in runs.items()
        for what, values in (("train loss", history.train_loss), ("validation loss", history.val_loss))
    }
    epochs = list(range(1, len(tests.before.train_loss) + 1))
    alt = f"Two line charts over {len(epochs)} epochs of the overfit test. {alt}."
    return evidence(axes[0], alt, caption, {"epoch": epochs, **columns})


def spoken_ends(history: TrainingHistory) -> str:
    """ "train 3.7884 to 3.4623, validation 4.2146 to 4.2195": first and last epoch."""
    (a, *_, b), (c, *_, d) = history.train_loss, history.val_loss
    return f"train {a:.4f} to {b:.4f}, validation {c:.4f} to {d:.4f}"
