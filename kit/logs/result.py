"""Log: what another tool wrote of a run, frozen, in the tables of a trace."""

from __future__ import annotations

import copy
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kit.diagnosis import Diagnosis, diagnose
from kit.files import printable
from kit.logs.deciding import deciding_lines
from kit.logs.story import Told

_NAMED, _FITTING, _SMALL = 8, 4, 0.01
_OPEN = "A log cannot establish a cause in the loop. These lines look into it:"
_WHERE = "A log shows that, and cannot establish where in the loop it comes from. These lines look into it:"


@dataclass(frozen=True, repr=False, eq=False)
class Log:
    """A log of a run, as ``kit.read_log`` reads it; ``kit.diagnose`` takes it.

    Attributes:
        steps: one row a step of which numbers were written: ``epoch, turn`` (the step, or the row), and of ``train_loss, lr, grad_norm,
            grad_nonfinite, logged:<term>`` those that there are.
        epochs: one row an epoch, or an evaluation where there are more of them: ``train_loss, val_loss, lr``.
        facts: ``log`` (the file), ``log_story`` and ``log_symptoms`` (lines of ``story``: all, and those that are symptoms),
            ``log_row`` (what a row of epochs is).
        names: column -> what it was read as; "" for a column of numbers that was not understood or not needed.
        source: the file, what kind it is, and what else there was.
        story: what the numbers tell, in sentences.

    What a log does not hold is not observed: no column, and no answer of the checks that need it.
    """

    _steps: pd.DataFrame
    _epochs: pd.DataFrame
    _facts: Mapping[str, Any]
    _names: Mapping[str, str]
    source: str
    _told: tuple[Told, ...]
    rows: int
    trainer: str = ""
    _dead: Log | None = field(default=None)

    @property
    def steps(self) -> pd.DataFrame:
        return self._steps.copy()

    @property
    def epochs(self) -> pd.DataFrame:
        return self._epochs.copy()

    @property
    def facts(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self._facts))

    @property
    def names(self) -> dict[str, str]:
        return dict(self._names)

    @property
    def story(self) -> tuple[str, ...]:
        return tuple(printable(told.sentence) for told in self._told)

    def explain(self, diagnosis: Diagnosis | None = None) -> str:
        """What the log tells, what fits it, and which lines of code would decide.

        diagnosis: that of this log, if it is there already.
        """
        found = diagnose(self) if diagnosis is None else diagnosis
        lines = [str(self), *_fitting(self, found), _OPEN if found.top is None else _WHERE]
        return "\n".join([*lines, *(f"    {line}" for line in deciding_lines(self.trainer).split("\n"))])

    def __repr__(self) -> str:
        source = printable(self.source)
        return f"Log(source={source!r}, rows={self.rows}, epochs={len(self._epochs)}, steps={len(self._steps)})"

    def __str__(self) -> str:
        read = [f"`{name}` read as {role}" for name, role in self._names.items() if role]
        unknown = [f"`{name}`" for name, role in self._names.items() if not role]
        lines = [f"Log: {self.source}; {self.rows} rows.", f"  {_listed(read)}{_not_understood(unknown)}."]
        return printable("\n".join([*lines, *(f"  - {sentence}" for sentence in self.story)]))

    def _repr_html_(self) -> str:
        head, *rest = str(self).split("\n")
        items = "".join(f"<li>{html.escape(line.strip().removeprefix('- '))}</li>" for line in rest)
        table = self._epochs.dropna(axis="columns", how="all").tail(50)
        shown = table.to_html(escape=True, border=0, na_rep="", float_format=lambda x: f"{x:.4g}")
        return f"<div class='kit-log'><p>{html.escape(head)}</p><ul>{items}</ul>{shown}</div>"


def _fitting(log: Log, found: Diagnosis) -> list[str]:
    """The answer of the diagnosis; of a loss that died on the way, that of the part after it."""
    if found.top is None and log._dead is not None:
        found = diagnose(log._dead)
        after = "What fits the part after it"
    else:
        after = "What fits it"
    if found.top is not None:
        sure = [line for line in str(found).split("\n") if line not in {notice.sentence for notice in found.lacks}]
        return [f"{after}: {sure[0]}", *sure[1:]]
    if found.verdict == "nothing_found":
        return ["Nothing in these numbers is a symptom."]
    causes = [cause for cause in found.causes if cause.posterior >= _SMALL and not cause.ruled_out][:_FITTING]
    said = "; ".join(f"{cause.plain} ({cause.percent})" for cause in causes)
    return [f"{after}, weighed with how often each cause was found in public threads: {said}."]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _not_understood(names: list[str]) -> str:
    return f"; not understood: {_listed(names)}" if names else ""
