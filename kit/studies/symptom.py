"""The report's symptom, read off a run exactly, and the phrases that say what a run displayed."""

from __future__ import annotations

from collections.abc import Sequence

from kit.plots.curves import DisplayedLosses
from kit.training import TrainingHistory


def reads_zero(values: Sequence[float]) -> bool:
    """Every value is exactly 0."""
    return all(value == 0 for value in values)


def is_unchanged(values: Sequence[float]) -> bool:
    """Every value is the same."""
    return len(set(values)) == 1


def shows_symptom(run: DisplayedLosses) -> bool:
    """Train reads exactly 0 in every epoch, and validation is the same number, not 0, in every epoch."""
    return symptom_shown(run) == "both"


def is_cured(run: DisplayedLosses) -> bool:
    """Neither number of the symptom is left: train is not 0 throughout, validation changes."""
    return not reads_zero(run.train_loss) and not is_unchanged(run.val_loss)


def symptom_shown(run: DisplayedLosses) -> str:
    """ "both", "train only", "validation only" or "neither" of the two numbers."""
    zero, level = reads_zero(run.train_loss), is_unchanged(run.val_loss) and run.val_loss[0] != 0
    return {(True, True): "both", (True, False): "train only", (False, True): "validation only"}.get(
        (zero, level), "neither"
    )


def total(history: TrainingHistory, count: str) -> int:
    """Sum of a count over all epochs."""
    return sum(record[count] for record in history.epoch_records)


def column(history: TrainingHistory, name: str) -> list[float]:
    """One entry of the epoch records, over the epochs."""
    return [record[name] for record in history.epoch_records]


def range_text(values: Sequence[float]) -> str:
    """ "4.3800 in every epoch", or "3.5132 to 3.8724"."""
    low, high = min(values), max(values)
    return f"{low:.4f} in every epoch" if low == high else f"{low:.4f} to {high:.4f}"


def losses_text(run: DisplayedLosses) -> str:
    """ "train 3.4623 to 3.7884, validation 4.2146 to 4.2195": smallest and largest."""
    return f"train {range_text(run.train_loss)}, validation {range_text(run.val_loss)}"


def ends_text(run: DisplayedLosses) -> str:
    """ "train 3.7884 to 3.4623, validation 4.2146 to 4.2195": first and last epoch."""
    (a, *_, b), (c, *_, d) = run.train_loss, run.val_loss
    return f"train {a:.4f} to {b:.4f}, validation {c:.4f} to {d:.4f}"


def steps_text(history: TrainingHistory) -> str:
    """ "0 of 32 steps taken"."""
    return f"{total(history, 'steps_taken')} of {total(history, 'batches')} steps taken"
