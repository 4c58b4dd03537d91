"""Can the network learn at all?"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from kit.loss import COVARIANCE_ONLY
from kit.plots import Evidence, evidence, new_axes, role
from kit.plots.curves import curve, legend_below
from kit.report import Table
from kit.studies.study import Results, Study, Words
from kit.training import OverfitResult, System, TrainingConfig, overfit_test

SAMPLES, EPOCHS = 512, 30


def _system() -> System:
    """The size of the protocol, under the covariance term alone."""
    system = System.generate(seed=0, samples=SAMPLES)
    return replace(system, weights=COVARIANCE_ONLY, config=TrainingConfig(epochs=EPOCHS))


def _result(system: System) -> OverfitResult:
    return overfit_test(system.new_model(), system.new_loss(), system.train, epochs=system.config.epochs)


def _is_complete(system: System) -> bool:
    return len(system.train) >= SAMPLES and system.config.epochs >= EPOCHS


def overfit_evidence(result: OverfitResult) -> Evidence:
    history = result.history
    ax = curve(new_axes()[0], history.train_loss, "train", role("train"))
    curve(ax, history.val_loss, "validation (same scenes)", role("validation"))
    ax.axhline(0.5, color="#666666", linewidth=0.9, linestyle=":")
    ax.text(1, 0.52, "0.5: the protocol's limit for the last epoch", fontsize=8, color="#444444")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("covariance NMSE")
    legend_below([ax])
    alt = (
        f"Line chart over {len(history.train_loss)} epochs. Train falls from {history.train_loss[0]:.3f} to {history.train_loss[-1]:.3f}, "
        f"validation on the same scenes from {history.val_loss[0]:.3f} to {history.val_loss[-1]:.3f}."
    )
    caption = (
        "Can the network fit the scenes it is trained on? Healthy: from 0.5 to 2.0 in the first epoch to below 0.5. "
        "Faulty: unchanged."
    )
    return evidence(ax, alt, caption)


def _words(results: Results) -> Words:
    """The healthy reference. A run that was shortened shows its numbers, and the question stays open."""
    result: OverfitResult = results.facts["result"]
    complete: bool = results.facts["complete"]
    history = result.history
    measured = (
        f"Trained on the covariance term alone, the train loss goes from {history.train_loss[0]:.3f} to "
        f"{history.train_loss[-1]:.3f} in {len(history.train_loss)} epochs, validation on the same scenes from "
        f"{history.val_loss[0]:.3f} to {history.val_loss[-1]:.3f}."
    )
    if not complete:
        judged = "The run was shortened, so the protocol cannot be judged by it."
    elif result.passed:
        judged = "Network, data and loss can learn; the expected start of 0.5-2.0 holds for these weights, not for all seven."
    else:
        failed = ", ".join(name for name, (_, _, met) in result.checks.items() if not met)
        judged = f"The protocol is not met: {failed}."
    return Words(
        verdict="open" if not complete else ("confirmed" if result.passed else "refuted"),
        answer=f"{measured} {judged}",
        remains="Fitting the training scenes is not generalising: validation uses them here, as the protocol says.",
        sure=f"One run of {len(history.train_loss)} epochs with one seed; the protocol names the numbers that it has to meet.",
    )


STUDY = Study(
    key="overfit",
    question="Can this network learn at all?",
    claim="After the fix: train loss should start around 0.5-2.0 and decrease, validation should decrease (overfit test).",
    words=_words,
    system=_system,
    before=MappingProxyType({"result": _result, "complete": _is_complete}),
    evidence=("losses", "checks"),
    shown=MappingProxyType(
        {
            "losses": lambda results: overfit_evidence(results.facts["result"]),
            "checks": lambda results: Table(results.facts["result"].table, "The checks of the protocol."),
        }
    ),
)
