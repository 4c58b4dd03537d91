"""What does a fault do to a whole run? One run per named combination of faults, on the same system."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from kit.faults import Fault, all_applied
from kit.loss import ZeroWeightWarning
from kit.report import Table
from kit.report.tables import number
from kit.training import System, TrainingHistory

AS_IT_IS = "as it is"
SYMPTOM_CAPTION = "Does any run show the symptom? It needs train 0 in every epoch and validation level above 0."
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_COUNTS = {
    "forward": "forward_passes",
    "loss": "loss_calls",
    "backward": "backward_calls",
    "steps": "steps_taken",
    "NaN replaced": "nan_replaced",
}

_PASSES = ("forward", "loss", "backward")


@dataclass(frozen=True)
class Setup:
    """What differs from the system as it is.

    Args:
        faults: applied to the loop, in this order.
        weights: loss weights to begin with; those not named stay.
        config: settings of ``TrainingConfig`` to replace.
    """

    faults: tuple[Fault, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    config: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def run(self, system: System) -> TrainingHistory:
        changed = replace(system.with_weights(**self.weights), config=replace(system.config, **self.config))
        loop = changed.new_loop()
        with all_applied(loop, *self.faults):
            return loop.run()


@dataclass(frozen=True)
class FaultRuns:
    """One training run per setup; network, data, seed and order of the batches are the same."""

    runs: Mapping[str, TrainingHistory]
    seed: int | None = None

    @property
    def table(self) -> pd.DataFrame:
        """First and last displayed losses, what the run counted, the last gradient norm (median of the epoch), the symptom."""
        rows = []
        for name, history in self.runs.items():
            first, last = history.epoch_records[0], history.epoch_records[-1]
            rows.append(
                {
                    "run": name,
                    "train, first": first["train_loss"],
                    "train, last": last["train_loss"],
                    "val, first": first["val_loss"],
                    "val, last": last["val_loss"],
                    "val NMSE, last": last["val_loss_nmse"],
                    **{column: total(history, name) for column, name in _COUNTS.items()},
                    "gradient norm": last["grad_norm"],
                    "shows the symptom?": "yes" if shows_symptom(history) else "no",
                }
            )
        return pd.DataFrame(rows).set_index("run")

    @property
    def how_sure(self) -> str:
        """What the verdict of a finding rests on: how many runs, how long, and that it is one seed."""
        lengths = sorted({len(history.epoch_records) for history in self.runs.values()})
        epochs = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
        seed = "one seed" if self.seed is None else f"one seed, {self.seed}"
        return (
            f"{len(self.runs)} runs of {epochs} epochs on the same network, data and order of batches: what differs is what was put "
            f"in. The symptom is read off exactly; {seed}, other seeds were not tried."
        )


def run_faults(
    system: System,
    setups: Mapping[str, Setup],
    *,
    known: Mapping[str, TrainingHistory] = _NOTHING,
    progress: Callable[[str], None] | None = None,
) -> FaultRuns:
    """Train the system once per setup. Zero weights are on purpose here, so the loss's warnings about them are not shown.

    Args:
        system: what is trained.
        setups: name -> what differs.
        known: name -> a run of the same system that need not be trained again.
        progress: called with a setup's name when its run is there.
    """
    runs = {}
    for name, setup in setups.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)
            runs[name] = known[name] if name in known else setup.run(system)
        if progress is not None:
            progress(name)
    return FaultRuns(MappingProxyType(runs), system.seed)


def shows_symptom(history: TrainingHistory) -> bool:
    """Train reads exactly 0 in every epoch, and validation is level above 0 (all epochs equal, not 0)."""
    return reads_zero(history.train_loss) and is_level(history.val_loss) and history.val_loss[0] != 0


def symptom_table(runs: FaultRuns) -> Table:
    """What each run displayed and counted, and whether it shows the symptom: narrow enough for a sheet of paper."""
    table = runs.table
    for name in ("train", "val"):
        ends = zip(table.pop(f"{name}, first"), table[f"{name}, last"], strict=True)
        table[f"{name}, last"] = [f"{number(first)} to {number(last)}" for first, last in ends]
        table = table.rename(columns={f"{name}, last": f"{name}, first to last"})
    if (table[[*_PASSES]].nunique(axis=1) == 1).all():
        table = table.drop(columns=[*_PASSES[1:]]).rename(columns={_PASSES[0]: ", ".join(_PASSES)})
    return Table(table, SYMPTOM_CAPTION, answer="shows the symptom?")


def reads_zero(values: Sequence[float]) -> bool:
    return all(value == 0 for value in values)


def is_level(values: Sequence[float]) -> bool:
    return len(set(values)) == 1


def total(history: TrainingHistory, count: str) -> int:
    """Sum of a count over all epochs."""
    return sum(record[count] for record in history.epoch_records)


def column(history: TrainingHistory, name: str) -> list[float]:
    """One entry of the epoch records, over the epochs."""
    return [record[name] for record in history.epoch_records]


def spoken_range(values: Sequence[float]) -> str:
    """ "4.3800 in every epoch", or "3.5132 to 3.8724"."""
    low, high = min(values), max(values)
    return f"{low:.4f} in every epoch" if low == high else f"{low:.4f} to {high:.4f}"


def spoken_run(history: TrainingHistory) -> str:
    """ "train 3.4623 to 3.7884, validation 4.2146 to 4.2195"."""
    return f"train {spoken_range(history.train_loss)}, validation {spoken_range(history.val_loss)}"


def spoken_steps(history: TrainingHistory) -> str:
    """ "0 of 32 steps taken"."""
    return f"{total(history, 'steps_taken')} of {total(history, 'batches')} steps taken"
