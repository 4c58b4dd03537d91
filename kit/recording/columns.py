"""From the book of a run to the tables and facts of its trace.

steps, one row a turn (nan: not measured, or not visible)
    forwards, reached        training passes of networks, and how many of them a backward pass reached
    loss_calls, backwards, steps, scaler_skips     of the loss object; of backward; of an optimizer; skipped by a gradient scaler
    loss, loss_graph, scale  root of the last backward pass (unscaled); whether it fed any parameter; the scaler's factor
    loss_returned, loss_returned_graph             what the loss object returned last
    lr, lr_min, batch        largest and smallest rate that stepped; first dimension of the network's input
    grad_*, seen_*           gradients at the end of the backward pass, and as the optimizer got them: norm (unscaled), numbers
                             of non-finite, all-zero and missing tensors, and of all; seen_fed: of those that the turn's
                             backward passes gave a gradient; flow_nonfinite: whether NaN or infinity came back to an output
    grad_left                whether a gradient that the step before had used was still there when the backward pass began
    update_norm, param_norm  change by the steps; parameters at the end of the turn
    outputs_spread           2-norm of the differences between samples relative to that of the prediction; 0: the same for every sample
    outputs*, targets, supervised, classes, missing_keys         what went into the loss
    lam*, term:<name>        weights in force, unweighted terms
epochs, one row an epoch: displayed losses; sums and means of the turns (of all, not only of the rows that are kept); and
    eval_forwards, side_forwards      passes of an evaluation; passes beside the training (a teacher, a generator under no_grad)
    drift, eval_drift, eval_own_drift change of the trained parameters over the epoch; of those evaluated, since the last
                             evaluation; of the evaluated ones that are trained, over the epoch
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed

from kit.recording import trace_file
from kit.recording.displayed import NAMES, Shown, split
from kit.recording.history import COUNTS, MOST_EPOCHS, SINGLE, Epoch
from kit.recording.observer import Observer
from kit.recording.participants import MOST_NAMES
from kit.recording.terms import LossView
from kit.recording.trace import Trace
from kit.stepgraph.report import ProbeReport
from kit.stepgraph.suspicious import MAY_BE_MEANT

_SIZES = ("norm", "nonfinite", "zero", "none", "tensors")
STEPS = (
    "epoch", "turn", *COUNTS, *SINGLE,
    *(f"grad_{name}" for name in _SIZES), *(f"seen_{name}" for name in _SIZES), "seen_fed", "flow_nonfinite",
    "grad_left", "update_norm", "param_norm",
    "outputs", "outputs_zero", "outputs_constant", "outputs_nonfinite", "outputs_spread", "missing_keys", "targets", "supervised", "classes",
)  # fmt: skip
EPOCHS = (
    "epoch", *NAMES, "batches", "eval_forwards", "side_forwards", "reached", "loss_calls", "eval_loss_calls", "backwards",
    "steps", "scaler_skips", "turns", "loss_mean", "loss_returned_mean", "eval_loss_mean", "lr", "drift", "eval_drift", "eval_own_drift",
)  # fmt: skip
_BY_NETWORK = {"steps": ("forwards", "reached"), "epochs": ("batches", "reached", "eval_forwards", "side_forwards")}
_BY_LOSS = {"steps": ("loss_calls",), "epochs": ("loss_calls", "eval_loss_calls")}


@dataclass(frozen=True)
class Recorded:
    """What is left of an observer: rows and facts, no module and no tensor."""

    turns: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    terms: list[dict[str, Any]]
    facts: dict[str, Any]
    network_visible: bool
    loss_visible: bool
    probes: Mapping[int, ProbeReport] = field(default_factory=dict)

    @classmethod
    def of(cls, seen: Observer, ended: str, asked: Mapping[str, float] | None) -> Recorded:
        turns, epochs = seen.rows()
        visible = seen.forwards_seen or not seen.book.count
        facts, probes = _facts(seen, ended, asked, len(turns)), dict(seen.graphs.probed.reports)
        return cls(turns, epochs, seen.graphs.rows(), facts, visible, seen.loss_visible, probes)

    @classmethod
    def empty(cls, seen: Observer, ended: str) -> Recorded:
        """What is left if the rest could not be put together; the notes say why."""
        facts = {"version": trace_file.VERSION, "turns": seen.book.count, "turns_kept": 0, "ended": ended}
        return cls([], [Epoch(1).row()], [], {**facts, "not_seen": list(seen.notes)}, False, False)

    def trace(self, shown: Shown) -> Trace:
        steps, epochs, notes = _tables(self, shown)
        displayed = sorted({name for row in shown.rows.values() for name in row})  # NaN is displayed as well
        not_seen = [*self.facts["not_seen"], *notes]
        facts = {**self.facts, **shown.facts, "displayed": displayed, "not_seen": not_seen}
        if notes:
            facts["epochs_displayed"] = shown.listed  # more than were recognised
        return Trace(steps, epochs, facts, trace_file.term_table(self.terms), self.probes)


def _tables(seen: Recorded, shown: Shown) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Steps and epochs, what no hook could see being nan and not 0; and what is to be said about their order."""
    notes: list[str] = []
    extra = sorted({name for row in seen.turns for name in row} - set(STEPS))
    steps = pd.DataFrame(seen.turns, columns=[*STEPS, *extra])
    steps = steps.astype(
        {name: np.float64 for name in steps.columns if name not in (*trace_file.TEXT, *trace_file.WHOLE)}
    )
    steps = steps.astype({"epoch": np.int64, "turn": np.int64, "missing_keys": object})
    epochs = pd.DataFrame(seen.epochs, columns=[name for name in EPOCHS if name not in NAMES])
    if shown.listed > len(epochs) and not len(steps):
        epochs = _untrained(epochs, shown.listed)
    elif shown.listed > len(epochs):
        parts = split(steps, shown.listed)
        if parts is not None:
            epochs = _resplit(steps, parts, epochs)
            steps["epoch"] = parts
        else:
            notes.append(
                f"{shown.listed} epochs were displayed and {len(epochs)} were recognised (a training pass after an "
                "evaluation begins one): displayed and computed numbers of one row need not be of the same epoch."
            )
    epochs = epochs.set_index("epoch")
    rows = sorted({*epochs.index, *shown.rows})[:MOST_EPOCHS]
    epochs = epochs.reindex(rows).astype(np.float64)
    for name in reversed(NAMES):
        values = [shown.rows.get(row, {}).get(name, math.nan) for row in rows]
        epochs.insert(0, name, np.array(values, dtype=np.float64))
    epochs.index = epochs.index.astype(np.int64)
    _blank(seen, steps, epochs)
    return steps, epochs, notes


def _untrained(epochs: pd.DataFrame, shown: int) -> pd.DataFrame:
    """Nothing was trained, so nothing divides the evaluations; if as many in each epoch is possible, it was so."""
    passes = epochs["eval_forwards"].sum()
    if len(epochs) != 1 or passes % shown:
        return epochs
    rows = epochs.loc[epochs.index.repeat(shown)].reset_index(drop=True)
    for name in ("eval_forwards", "side_forwards", "eval_loss_calls"):
        rows[name] = rows[name] / shown
    return rows.assign(epoch=np.arange(1, shown + 1))


def _resplit(steps: pd.DataFrame, parts: np.ndarray, coarse: pd.DataFrame) -> pd.DataFrame:
    """Epochs of equally many turns; what was measured at a recognised boundary stays in the epoch that ends there."""
    ends = steps.assign(part=parts).groupby("epoch")["part"].max()
    fine = steps.assign(part=parts).groupby("part")
    sums = fine[list(COUNTS)].sum().rename(columns={"forwards": "batches"})
    table = sums.assign(
        turns=fine.size(),
        loss_mean=fine["loss"].mean(),
        loss_returned_mean=fine["loss_returned"].mean(),
        lr=fine["lr"].max(),
    )
    for name in ("eval_forwards", "side_forwards", "eval_loss_calls"):
        table[name] = 0.0
    for _, row in coarse.iterrows():
        place = ends.get(row["epoch"])
        if place is None:
            continue
        for name in (
            "eval_forwards",
            "side_forwards",
            "eval_loss_calls",
            "eval_loss_mean",
            "eval_drift",
            "eval_own_drift",
        ):
            table.loc[place, name] = row[name]
        if (ends == place).sum() == 1 and (parts[steps["epoch"] == row["epoch"]] == place).all():
            table.loc[place, "drift"] = row["drift"]
    table.index.name = "epoch"
    return table.reset_index().reindex(columns=coarse.columns)


def _blank(seen: Recorded, steps: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """A count of what cannot be seen is not 0."""
    for columns, visible in ((_BY_NETWORK, seen.network_visible), (_BY_LOSS, seen.loss_visible)):
        if not visible:
            steps[list(columns["steps"])] = math.nan
            epochs[list(columns["epochs"])] = math.nan


def _facts(seen: Observer, ended: str, asked: Mapping[str, float] | None, kept: int) -> dict[str, Any]:
    """What holds for the whole run, as plain values for JSON."""
    view, parts = seen.measuring.view, seen.parts
    grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
    judged, judged_nets = parts.facts(), [*parts.judged()]
    found: dict[str, Any] = {
        "version": trace_file.VERSION,
        "torch": torch.__version__,
        "rank": torch.distributed.get_rank() if grouped else 0,
        "world": torch.distributed.get_world_size() if grouped else 1,
        "every": seen.book.every,
        "turns": seen.book.count,
        "turns_kept": kept,
        "ended": ended,
        "model": parts.name(),
        "loss": ", ".join(seen.measuring.kinds) or None,
        **judged,
        "optimizer_records": [stepper.record() for stepper in parts.steppers.values()][:MOST_NAMES],
        "never_cleared": seen.clearing.never(),
        "lines": seen.lines.record(),
        "loss_reduction": seen.reduction,
        "loss_margin": seen.measuring.margin(),
        "cut_off": seen.cuts.names(judged_nets) if seen.cuts.looked else None,
        "terms_unreached": [name for name, term in seen.terms_met.items() if not term.reached]
        if seen.terms_met
        else None,
        "weights_at_entry": {} if view is None else view.at_entry,
        "weights_asked": None if asked is None else dict(asked),
        "weights_default": {} if view is None else view.defaults,
        "terms": [] if view is None else view.terms,
        "term_weights": {} if view is None else view.term_weights,
        **_handed_over(seen, asked or {}),
    }
    if view is not None:
        found |= view.found
    found |= _read_in_the_graph(seen, found)
    found["not_seen"] = list(dict.fromkeys([*_not_seen(seen), *seen.notes]))
    return _plain(found)


def _read_in_the_graph(seen: Observer, known: Mapping[str, Any]) -> dict[str, Any]:
    """What the step graphs add to what the calls of the loss showed."""
    graphs, view = seen.graphs, seen.measuring.view
    added: dict[str, Any] = {}
    unreached = graphs.unreached(seen.parts.never_fed())
    if unreached is not None:
        added["unreached_parameters"] = [f"{name}: {why}" if why else name for name, why in unreached.items()][
            :MOST_NAMES
        ]
    if foreign := known.get("foreign_in_optimizer_count"):
        own = frozenset().union(*(net.ids for net in seen.parts.nets.values()))
        free = {key for stepper in seen.parts.steppers.values() for key in stepper.held - own if graphs.reaches(key)}
        added["foreign_in_optimizer_count"] = max(0, foreign - len(free))  # a parameter in no module is trained as well
    if graphs.nonfinite.origin is not None:
        added["first_nonfinite"] = graphs.nonfinite.origin
    if nonfinite := graphs.gradients.nonfinite():
        added["nonfinite_gradients"] = [f"{name}: in {often}" for name, often in nonfinite.items()][:MOST_NAMES]
    if zero := graphs.zero_gradients():
        added["zero_gradients"] = zero[:MOST_NAMES]
    if suspicious := [entry for entry in graphs.suspicious() if entry["kind"] not in MAY_BE_MEANT]:
        added["suspicious_operations"] = suspicious
    if graphs.rows():
        added |= {"terms_read": graphs.names()[:MOST_NAMES], "terms_always_zero": graphs.always_zero()[:MOST_NAMES]}
        added["terms_of_the_same"] = graphs.of_the_same()[:MOST_NAMES]
        added["total_factor"] = graphs.factor()
        added["terms_weighed_zero"] = graphs.weighed_zero()[:MOST_NAMES]
    if unread := graphs.unread_weights():
        added["unread_weights"] = unread[:MOST_NAMES]
    if cuts := graphs.cuts():
        added["terms_cut"] = cuts
    if cut := graphs.without_graph():
        added["terms_without_graph"] = list(dict.fromkeys([*known.get("terms_without_graph", ()), *cut]))
    if view is not None and view.called and not known.get("ignored_weights") and graphs.rows():
        now = view.weights()
        ignored = [n for n in view.never_read() if not graphs.names_weight(n) and not graphs.has_weight(now[n])]
        if ignored:
            added["ignored_weights"] = ignored
    return added


def _handed_over(seen: Observer, asked: Mapping[str, float]) -> dict[str, Any]:
    """What the user handed to the watch, and whether it is what ran."""
    view, parts = seen.measuring.view, seen.parts
    nets = [net for net in (*parts.dead, *parts.nets.values()) if net.called and not net.is_loss]
    nets.sort(key=lambda net: (net.trained, net.total))
    weighed = None if view is None else view.listed
    known = [] if view is None else [*view.at_entry, *view.term_weights.values()]
    known += map(str, weighed) if isinstance(weighed, Mapping) else ()
    return {
        "model_given": None if seen.given is None else parts.name(),
        "model_given_ran": None if seen.given is None else parts.ran(seen.given),
        "model_ran": nets[-1].kind if nets else None,
        "loss_given": seen.measuring.given,
        "loss_called": seen.measuring.called,
        "weights_known": list(dict.fromkeys(known)),
        "weights_unknown": [name for name in asked if name not in known and not _has(view, name)],
    }


def _has(view: LossView | None, name: str) -> bool:
    """An attribute of the loss; looked up without running what it may compute."""
    if view is None:
        return False
    registered = {*getattr(view.holder, "_buffers", ()), *getattr(view.holder, "_parameters", ())}
    return name in registered or inspect.getattr_static(view.holder, name, None) is not None


def _not_seen(seen: Observer) -> list[str]:
    """Sentences: what could not be observed, and why."""
    book, view, said = seen.book, seen.measuring.view, []
    totals = {name: sum(epoch.counts[name] for epoch in book.epochs) for name in COUNTS}
    if book.turn is not None:
        totals = {name: totals[name] + getattr(book.turn, name) for name in COUNTS}
    if not seen.forwards_seen:
        said.append("No network was seen: no nn.Module was called (hooks see calls of modules, not of functions).")
    elif seen.given is not None and not seen.parts.ran(seen.given):
        said.append("The given model was never called; the rows are about the modules that were.")
    if not seen.loss_visible:
        why = "the given loss is not an nn.Module" if seen.measuring.given else "no loss module was called"
        known = (
            "its value is known as the root of the backward pass only"
            if totals["backwards"]
            else "its value is not known"
        )
        said.append(f"Calls of the loss were not seen: {why}, and hooks see calls of modules; {known}.")
    elif view is not None and view.called and view.names and not view.terms:
        said.append(
            "The terms of the loss were not observed: it returns one number. Return its terms in a dict beside the total, or let "
            "forward call a method components(prediction, target) that returns them; kit.probe measures the terms of one step."
        )
    if totals["steps"] and not totals["backwards"]:
        said.append(
            "Steps were taken without a backward pass: gradients from torch.autograd.grad are not seen before the step."
        )
    if totals["backwards"] and not seen.parts.steppers:
        said.append("No optimizer was seen: none of torch.optim took a step, so it is not known what it holds.")
    said += seen.graphs.not_seen()
    if seen.parts.compiled:
        said.append("A compiled module was called: what runs inside of it is not seen, only its inputs and outputs.")
    if len(seen.threads) > 1:
        said.append(f"Modules were called from {len(seen.threads)} threads: their steps are mixed.")
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no word for it
    return value
