"""The overfit test, the last step of the report's plan: before the fix and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kit.faults import FaultySystem
from kit.loss import COVARIANCE_ONLY, TRAINER_AFTER_FIX
from kit.plots import Evidence, compare_runs, evidence
from kit.studies.symptom import ends_text
from kit.training import OverfitResult, TrainingConfig, TrainingHistory, overfit_test

BEFORE, AFTER, SEVEN = "before: lam_cov = 1.0, faulty", "after: lam_cov = 1.0, no NaN", "after, all seven weights"


@dataclass(frozen=True)
class OverfitThrice:
    """The overfit test of one system three times; validation is on the training scenes.

    Attributes:
        before: with the faults, and with lam_cov = 1.0, the only weight of the protocol.
        after: the same without the faults.
        seven: without the faults, under the seven weights of the report's option 1.
    """

    before: TrainingHistory
    after: OverfitResult
    seven: OverfitResult

    @property
    def runs(self) -> Mapping[str, TrainingHistory]:
        """The three runs under the names that are shown."""
        return {BEFORE: self.before, AFTER: self.after.history, SEVEN: self.seven.history}


def overfit_thrice(
    faulty_system: FaultySystem, *, samples: int = 8, epochs: int = 30, batch_size: int = 4
) -> OverfitThrice:
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
    return OverfitThrice(before, after, tested(TRAINER_AFTER_FIX))


def overlay(tests: OverfitThrice) -> Evidence:
    """Train left, validation right, the three tests over one another."""
    runs = tests.runs
    axes = compare_runs(runs)
    axes[0].set_ylabel("displayed loss")
    alt = "; ".join(f"{name}: {ends_text(history)}" for name, history in runs.items())
    caption = (
        "Does the network fit the scenes it is trained on? Healthy: train and validation fall together. Faulty: train lies on 0, "
        "validation does not change. Two of the lines weigh the covariance error alone, the third all seven terms."
    )
    columns = {
        f"{name}: {what}": list(values)
        for name, history in runs.items()
        for what, values in (("train loss", history.train_loss), ("validation loss", history.val_loss))
    }
    epochs = list(range(1, len(tests.before.train_loss) + 1))
    alt = f"Two line charts over {len(epochs)} epochs of the overfit test. {alt}."
    return evidence(axes[0], alt, caption, {"epoch": epochs, **columns})
