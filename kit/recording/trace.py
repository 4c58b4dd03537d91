"""Trace: what one watched run did, frozen, as tables."""

from __future__ import annotations

import copy
import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.files import check_ending, printable
from kit.recording import trace_file
from kit.stepgraph.report import ProbeReport

_SUMMED = (
    "batches", "eval_forwards", "side_forwards", "reached", "loss_calls", "eval_loss_calls", "backwards", "steps",
    "scaler_skips", "turns",
)  # fmt: skip
_COUNTED = {"batches": "batches", "backwards": "backward passes", "steps": "optimizer steps"}
_SHOWN_TERMS, _SHOWN_NAMES, _SHOWN_PROBES = 12, 6, 5
_NAMED = {
    "unreached_parameters": "no term reaches",
    "nonfinite_gradients": "NaN or infinity in the gradient of",
    "zero_gradients": "the gradient is exactly 0 in every step that was read, of",
}
_SAME_NORM = 1e-5  # relative: float32 sums of the same numbers in another order differ by less
_LARGEST = ("lr", "drift", "eval_drift")


@dataclass(frozen=True, repr=False, eq=False)
class Trace:
    """One watched run.

    Attributes:
        steps: one row a turn (a batch, in a plain loop): counts, losses, gradients, outputs, targets, weights and terms of the loss.
        epochs: one row an epoch, index ``epoch`` from 1: displayed losses, counts, means, movement of the parameters.
        facts: what holds for the whole run; ``not_seen`` says in sentences what could not be observed, and why.
        terms: one row a term of a total and sampled step: ``name``, unweighted ``value``, ``weight`` and the ``weight_name`` it is
            written with, ``effective_weight`` (d total / d term as the backward pass had it), whether it is ``attached`` to a graph, how
            many trained ``parameters`` it reaches, its ``source`` line, and where and by what its graph was ``cut``.
        probes: step -> ``kit.ProbeReport`` of the steps that ``watch(probe_every=...)`` probed; ``kit.Panel(trace)`` shows them.

    Missing is NaN: not measured in that turn, or not visible at all. The tables are copies: changing them changes nothing here.
    """

    _steps: pd.DataFrame
    _epochs: pd.DataFrame
    _facts: Mapping[str, Any]
    _terms: pd.DataFrame = field(default_factory=trace_file.term_table)
    _probes: Mapping[int, ProbeReport] = field(default_factory=dict)

    @property
    def steps(self) -> pd.DataFrame:
        return self._steps.copy()

    @property
    def epochs(self) -> pd.DataFrame:
        return self._epochs.copy()

    @property
    def terms(self) -> pd.DataFrame:
        return self._terms.copy()

    @property
    def optimizers(self) -> pd.DataFrame:
        """One row an optimizer: its kind, the line of its step, how often it stepped; of the steps that were looked at, how many had a
        gradient from their own backward passes, and how many began
        with no gradient at all, or with gradients that were all 0; its learning rate at first, at last and at its lowest."""
        return pd.DataFrame(self._facts.get("optimizer_records") or [], columns=[*trace_file.OPTIMIZERS])

    @property
    def probes(self) -> dict[int, ProbeReport]:
        return dict(self._probes)

    @property
    def facts(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self._facts))

    def __eq__(self, other: object) -> bool:  # and so without a hash: it holds tables
        if not isinstance(other, Trace):
            return NotImplemented
        same = self._steps.equals(other._steps) and self._epochs.equals(other._epochs)
        same = same and dict(self._facts) == dict(other._facts) and self._terms.equals(other._terms)
        return same and self.probes == other.probes

    def __repr__(self) -> str:
        facts, epochs = self._facts, self._epochs
        model, loss, ended = (facts.get(name) for name in ("model", "loss", "ended"))
        seen = f"model={model!r}, loss={loss!r}, ended={ended!r}"
        probes = f", probes={len(self._probes)}" if self._probes else ""
        return f"Trace(epochs={len(epochs)}, steps={epochs['steps'].sum():.0f}, {seen}{probes})"

    def __str__(self) -> str:
        facts, epochs = self._facts, self._epochs
        model, loss = facts.get("model") or "no model seen", facts.get("loss") or "no loss object seen"
        lines = [f"Trace: {len(epochs)} epochs, {model}, {loss}, ended by {facts.get('ended')}"]
        totals = [f"{name} {epochs[name].sum():.0f}" for name in ("batches", "backwards", "steps", "eval_forwards")]
        lines.append("  " + ", ".join(totals))
        for name in ("train_loss", "val_loss", "loss_mean"):
            if epochs[name].notna().any():
                lines.append(f"  {_change(epochs, name)}")
        lines += [f"  {line}" for line in _said_of_terms(self._terms, facts) + _said_of_operations(facts)]
        if self._probes:
            lines.append(f"  {_said_of_probes(list(self._probes))}")
        return printable("\n".join(lines + [f"  not seen: {sentence}" for sentence in facts.get("not_seen", ())]))

    def _repr_html_(self) -> str:
        head, *notes = str(self).split("\n")
        table = self._epochs.dropna(axis="columns", how="all").tail(50)
        shown = table.to_html(escape=True, border=0, na_rep="", float_format=lambda x: f"{x:.4g}")
        items = "".join(f"<li>{html.escape(note.strip())}</li>" for note in notes)
        return f"<div><p>{html.escape(head)}</p>{shown}<ul>{items}</ul></div>"

    def save(self, path: str | os.PathLike) -> Path:
        """Write one .npz file, atomically; equal content gives equal bytes. Raises ValueError for another ending."""
        return trace_file.save(
            check_ending(path, ".npz"), self._steps, self._epochs, self._facts, self._terms, self._probes
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> Trace:
        """Read a saved trace. Raises ValueError for another kind of file, a damaged one or a newer version."""
        return cls(*trace_file.load(path))

    @classmethod
    def merge(cls, traces: Sequence[Trace]) -> Trace:
        """The ranks of one run in one: rows of all with a column ``rank``; counts of an epoch added, means averaged.

        ``facts`` are those of the first rank, with all of them under ``ranks``; ``ranks_differ`` says in sentences what should be the
        same on all ranks and is not: numbers of batches and steps, and the parameters.

        Raises:
            ValueError: no traces, or two of the same rank.
        """
        traces = sorted(traces, key=lambda trace: trace._facts.get("rank", 0))
        ranks = [trace._facts.get("rank", 0) for trace in traces]
        if not traces:
            raise ValueError("traces should hold at least one trace. Found none.")
        if len(set(ranks)) < len(ranks):
            raise ValueError(f"traces should be of different ranks. Found ranks {ranks}.")
        steps = pd.concat([t.steps.assign(rank=rank) for t, rank in zip(traces, ranks, strict=True)], ignore_index=True)
        steps = steps.sort_values(["turn", "rank"], kind="stable", ignore_index=True)
        facts = traces[0].facts
        facts["ranks"] = [trace.facts for trace in traces]
        facts["ranks_differ"] = _differences(traces, ranks)
        facts["not_seen"] = list(dict.fromkeys(note for trace in traces for note in trace._facts.get("not_seen", ())))
        return cls(steps, _merged([trace._epochs for trace in traces]), facts, traces[0]._terms, traces[0]._probes)


def _differences(traces: Sequence[Trace], ranks: Sequence[int]) -> list[str]:
    said = []
    for name, word in _COUNTED.items():
        counts = [trace._epochs[name].sum() for trace in traces]
        if len({*counts}) > 1:
            said.append(
                f"{word}: " + ", ".join(f"{n:.0f} on rank {rank}" for n, rank in zip(counts, ranks, strict=True))
            )
    norms = pd.concat([trace._steps.set_index("turn")["param_norm"] for trace in traces], axis=1).dropna()
    apart = norms.index[norms.max(axis=1) - norms.min(axis=1) > _SAME_NORM * norms.max(axis=1)]
    if len(apart):
        low, high = norms.loc[apart[-1]].min(), norms.loc[apart[-1]].max()
        said.append(
            f"parameters drift apart from turn {apart[0]} on: their norms are {low:.6g} to {high:.6g} in turn {apart[-1]}"
        )
    return said


def summary(trace: Trace, *, still_open: bool) -> str:
    """A run in a few lines: what was watched, what happened, what was displayed, and how to ask about it."""
    facts, epochs = trace._facts, trace._epochs
    ended = "still open" if still_open else "ended" if facts["ended"] == "return" else f"ended by {facts['ended']}"
    counts = [f"{epochs[name].sum():.0f} {word}" for name, word in _COUNTED.items() if epochs[name].notna().any()]
    losses = [_change(epochs, name) for name in ("train_loss", "val_loss") if epochs[name].notna().any()]
    lines = [
        f"Watch of {facts.get('model') or 'no model seen'} and {facts.get('loss') or 'no loss object seen'}, {ended}",
        f"  {len(epochs)} epoch{'s' if len(epochs) != 1 else ''}: {', '.join(counts)}",
        f"  displayed losses: {', '.join(losses)}"
        if losses
        else "  displayed losses not seen: run.log(epoch=..., train_loss=..., val_loss=...)",
    ]
    lines += [f"  {line}" for line in _said_of_terms(trace._terms, facts) + _said_of_operations(facts)]
    lines += [f"  {sentence}" for sentence in facts["not_seen"][:2]]
    return printable("\n".join([*lines, "  why it reads as it does: kit.diagnose(run.trace).explain()"]))


def _said_of_terms(terms: pd.DataFrame, facts: Mapping[str, Any]) -> list[str]:
    """The sum in the last step that was read: each term with its weight, and what is wrong with it; parameters that it misses."""
    if terms.empty:
        return []
    last = terms[terms["step"] == terms["step"].iloc[-1]]
    lines = [f"terms of the total in step {last['step'].iloc[0]}:"]
    for row in last.head(_SHOWN_TERMS).itertuples(index=False):
        lines.append(f"  {row.name} = {row.value:.4g}, weight {_weight(row)}, {row.source or 'no source'}{_fault(row)}")
    if len(last) > _SHOWN_TERMS:
        lines.append(f"  and {len(last) - _SHOWN_TERMS} more, see trace.terms")
    for name, said in _NAMED.items():
        named = facts.get(name) or []
        more = f", and {len(named) - _SHOWN_NAMES} more: facts[{name!r}]" if len(named) > _SHOWN_NAMES else ""
        lines += [f"{said} {'; '.join(named[:_SHOWN_NAMES])}{more}"] if named else []
    return lines


def _said_of_operations(facts: Mapping[str, Any]) -> list[str]:
    said = [f"{entry['source']}: {entry['found']}" for entry in facts.get("suspicious_operations") or ()]
    origin = facts.get("first_nonfinite")
    if not origin:
        return said
    written = f": {origin['text']}" if origin.get("text") else ""
    made = f"made by {origin['operation']} in the {origin['pass']} pass of step {origin['step']:.0f}"
    return [*said, f"first {origin['what']}: {made}, {origin['source'] or 'no source'}{written}"]


def _said_of_probes(steps: Sequence[int]) -> str:
    more = f", ... {steps[-1]}" if len(steps) > _SHOWN_PROBES else ""
    return f"probed in step {', '.join(map(str, steps[:_SHOWN_PROBES]))}{more}: kit.Panel(trace)"


def _weight(row: Any) -> str:
    number = f"{row.weight:.4g}"
    return number if row.weight_name in ("", number) else f"{row.weight_name} = {number}"


def _fault(row: Any) -> str:
    if not row.attached:
        where = f": cut by {row.cut_by} in {row.cut}" if row.cut else ""
        return f"; without a graph, so it trains nothing{where}"
    if row.parameters == 0:
        return "; reaches no trained parameter"
    return "; its weight is 0, so it trains nothing" if row.weight == 0 else ""


def _change(epochs: pd.DataFrame, name: str) -> str:
    shown = epochs[name].dropna()
    return f"{name} {shown.iloc[0]:.6g} -> {shown.iloc[-1]:.6g}"


def _merged(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat(tables)
    columns = {}
    for name in rows.columns:
        grouped = rows[name].groupby(level=0)
        if name in _SUMMED:
            columns[name] = grouped.sum(min_count=1)
        elif name in _LARGEST:
            columns[name] = grouped.max()
        elif name in ("train_loss", "val_loss"):
            columns[name] = grouped.first()  # what the first rank displayed; NaN is passed over
        else:
            columns[name] = grouped.mean()
    return pd.DataFrame(columns).astype(np.float64)
