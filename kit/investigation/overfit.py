"""Can the network learn at all?"""

from __future__ import annotations

from kit.plots import Evidence, evidence, new_axes
from kit.plots.curves import curve
from kit.report import Finding, Table
from kit.training import OverfitResult


def overfit_evidence(result: OverfitResult) -> Evidence:
    history = result.history
    ax = curve(new_axes()[0], history.train_loss, "train", 0)
    curve(ax, history.val_loss, "validation (same scenes)", 1)
    ax.axhline(0.5, color="#666666", linewidth=0.9, linestyle=":")
    ax.text(1, 0.52, "0.5: the protocol's limit for the last epoch", fontsize=8, color="#444444")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("covariance NMSE")
    ax.legend(frameon=False)
    alt = (
        f"Line chart over {len(history.train_loss)} epochs. Train falls from {history.train_loss[0]:.3f} to {history.train_loss[-1]:.3f}, "
        f"validation on the same scenes from {history.val_loss[0]:.3f} to {history.val_loss[-1]:.3f}."
    )
    caption = "Can the network learn the scenes by heart? Healthy: from 0.5 to 2.0 in the first epoch to below 0.5. Sick: level."
    return evidence(ax, alt, caption)


def overfit_finding(result: OverfitResult, *, command: str, seed: int) -> Finding:
    """The healthy reference: the overfit protocol on covariance-only weights."""
    first, last = result.history.train_loss[0], result.history.train_loss[-1]
    return Finding(
        question="Can this network learn at all?",
        claim="After the fix: train loss should start around 0.5-2.0 and decrease, validation should decrease (overfit test).",
        verdict="confirmed" if result.passed else "refuted",
        answer=(
            f"Trained on the covariance term alone, the train loss goes from {first:.3f} to {last:.3f} in "
            f"{len(result.history.train_loss)} epochs, and validation on the same scenes follows to {result.history.val_loss[-1]:.3f}. "
            "Network, data and loss can learn; the expected start of 0.5-2.0 holds for these weights, not for the full set of terms."
        ),
        evidence=(overfit_evidence(result), Table(result.table, "The checks of the protocol.")),
        remains="Learning by heart is not generalising: validation uses the training scenes here, as the protocol says.",
        seed=seed,
        command=command,
    )
