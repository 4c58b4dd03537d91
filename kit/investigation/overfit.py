"""Can the network learn at all?"""

from __future__ import annotations

from kit.plots import Evidence, evidence, new_axes, role
from kit.plots.curves import curve, legend_below
from kit.report import Finding, Table
from kit.training import OverfitResult


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
    caption = "Can the network learn the scenes by heart? Healthy: from 0.5 to 2.0 in the first epoch to below 0.5. Faulty: level."
    return evidence(ax, alt, caption)


def overfit_finding(result: OverfitResult, *, command: str, seed: int, complete: bool = True) -> Finding:
    """The healthy reference: the overfit protocol on covariance-only weights.

    ``complete=False`` says that the run was shortened: it shows numbers, but its finding stays open.
    """
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
    return Finding(
        question="Can this network learn at all?",
        claim="After the fix: train loss should start around 0.5-2.0 and decrease, validation should decrease (overfit test).",
        verdict="open" if not complete else ("confirmed" if result.passed else "refuted"),
        answer=f"{measured} {judged}",
        evidence=(overfit_evidence(result), Table(result.table, "The checks of the protocol.")),
        remains="Learning by heart is not generalising: validation uses the training scenes here, as the protocol says.",
        seed=seed,
        command=command,
        sure=f"One run of {len(history.train_loss)} epochs with one seed; the protocol names the numbers that it has to meet.",
    )
