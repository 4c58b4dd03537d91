"""Why does my own run read 0? What a watch saw of a script, before and after its author mended it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import pandas as pd

from kit.diagnosis import Diagnosis
from kit.diagnosis.speech import sure_of
from kit.plots import Evidence, compare_runs_evidence
from kit.recording import Trace
from kit.report import Table
from kit.studies.causes import causes_table
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import is_cured, is_unchanged, range_text, reads_zero

# column of the trace -> heading
_COUNTS: Mapping[str, str] = MappingProxyType(
    {"batches": "forward", "loss_calls": "loss", "backwards": "backward", "steps": "step"}
)


@dataclass(frozen=True)
class Displayed:
    """The two numbers that a program displayed, by epoch."""

    train_loss: Sequence[float]
    val_loss: Sequence[float]

    @classmethod
    def by(cls, trace: Trace) -> Displayed:
        epochs = trace.epochs.dropna(subset=["train_loss", "val_loss"])
        return cls(epochs["train_loss"].tolist(), epochs["val_loss"].tolist())


def counts_table(trace: Trace) -> Table:
    """Forward passes, losses, backward passes and steps of each epoch; narrow enough that no column is left to the caption."""
    rows = trace.epochs[[*_COUNTS, "eval_forwards"]].astype(int).rename(columns=_COUNTS)
    return Table(
        rows.rename(columns={"eval_forwards": "forward, in evaluation"}).reset_index(),
        "How many forward passes, losses, backward passes and steps does each epoch have? Seen from outside, by hooks. Healthy: four times "
        "the same, above 0.",
    )


def before_after_table(results: Results) -> Table:
    """One row per run: what it displayed, and what it did in all."""
    rows = []
    for name, trace in results.facts["traces"].items():
        shown = Displayed.by(trace)
        totals = {word: int(trace.epochs[column].sum()) for column, word in _COUNTS.items()}
        rows.append(
            {
                "run": _caption(name),
                "train": range_text(shown.train_loss),
                "validation": range_text(shown.val_loss),
                **totals,
                "shows the symptom?": "yes" if reads_zero(shown.train_loss) and is_unchanged(shown.val_loss) else "no",
            }
        )
    return Table(
        pd.DataFrame(rows),
        "Is the symptom gone, and did the counts come with it? Counts of the whole run.",
        answer="shows the symptom?",
    )


def _caption(name: str) -> str:
    return name.replace("_", " ")


def _words(results: Results) -> Words:
    """Of the ``traces`` of two runs, the one with the symptom and the mended one, and the ``diagnosis`` of the first."""
    diagnosis: Diagnosis = results.facts["diagnosis"]
    (_, faulty), (name, mended) = results.facts["traces"].items()
    before, after = Displayed.by(faulty), Displayed.by(mended)
    top = diagnosis.top
    cause = "names no cause" if top is None else f"names “{top.plain}” ({sure_of(diagnosis, top)})"
    answer = (
        f"The script reads train {range_text(before.train_loss)}, validation {range_text(before.val_loss)}; it made "
        f"{int(faulty.epochs['steps'].sum())} optimizer steps. The diagnosis {cause}. The run “{_caption(name)}” reads train "
        f"{range_text(after.train_loss)}, validation {range_text(after.val_loss)}, with {int(mended.epochs['steps'].sum())} steps."
    )
    return Words(
        verdict="refuted" if is_cured(after) else "open",
        answer=answer,
        fix="" if top is None else top.hypothesis.fix,
        remains="A few epochs on synthetic data: that the symptom is gone says nothing of how good the network becomes.",
    )


def _curves(results: Results) -> Evidence:
    """Both displayed losses by epoch, before and after."""
    return compare_runs_evidence({_caption(name): Displayed.by(run) for name, run in results.facts["traces"].items()})


# part of the training that a reader may suspect -> links of the chain
_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "the data": ("data",),
        "the network": ("forward", "outputs"),
        "the weights and terms of the loss": ("term", "weight", "total"),
        "the gradients": ("backward", "gradients"),
        "the optimizer": ("optimizer", "parameters"),
        "the display": ("evaluation", "display"),
    }
)


def _ends_at(results: Results, links: tuple[str, ...]) -> bool:
    """Whether the signal ends at one of these links."""
    return any(link.name in links for link in results.facts["diagnosis"].chain.broken)


_ASKED = Asked(
    "At which part of this training does the signal end?",
    MappingProxyType({part: partial(_ends_at, links=links) for part, links in _PARTS.items()}),
    lambda results: results.facts["diagnosis"].chain.ends,
)


STUDY = Study(
    key="your_own_run",
    question="Why does my own run read 0?",
    claim="The loss of this script is broken: train reads 0, and validation does not change.",
    asked=_ASKED,
    words=_words,
    system=lambda: None,
    evidence=("counts", "causes", "curves", "before_after", PANEL),
    shown=MappingProxyType(
        {
            "counts": lambda results: counts_table(next(iter(results.facts["traces"].values()))),
            "causes": lambda results: causes_table(results.facts["diagnosis"]),
            "curves": _curves,
            "before_after": before_after_table,
        }
    ),
)
