"""Probes of a run: at sampled steps, values and gradients of the terms of its total, from the graph that is there anyway.

g_i = d L_i / d parameters, one pass from the node of term i down to the parameters     G_ij = <g_i, g_j> per layer group

No code of the program may run in these passes. A graph in which it would, or might, is left alone, and the trace says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
import torch.distributed
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import GradientEdge
from torch.utils.hooks import RemovableHandle

from kit.recording.listeners import here, ours
from kit.stepgraph.components import Decomposition
from kit.stepgraph.gradients import Measured, Row
from kit.stepgraph.layers import layer_groups
from kit.stepgraph.plain import plain
from kit.stepgraph.probing import Seen, report_of
from kit.stepgraph.report import ProbeReport
from kit.stepgraph.tape import Guard
from kit.stepgraph.terms import Reading, Term

MOST = 64  # probes that are kept
MOST_TERMS = 64  # of a total: each costs a backward pass
_MOST_NODES = 200_000
_MOST_REASONS = 8
_LOW = (torch.float16, torch.bfloat16)
_HOOKED = Guard.HOOK

Trained = Callable[[Collection[int]], Sequence[tuple[str, Tensor]]]  # of a graph that ends in these leaves


class NotProbed(Exception):
    """Why this step is left alone, the end of a sentence."""


class ProbedSteps:
    """Measures at the steps 1, 1 + every, 1 + 2 every, ...; None: never. `trained` gives the parameters by name."""

    def __init__(self, every: int | None, trained: Trained) -> None:
        self._stride, self._trained = every, trained
        self._guard, self._hooks, self._compiles = Guard(), 0, False
        self.reports: dict[int, ProbeReport] = {}
        self._refused: dict[str, tuple[int, int, int]] = {}  # why -> first step, last step, how many

    def wants(self, step: int) -> bool:
        return self._stride is not None and step >= 1 and (step - 1) % self._stride == 0

    def not_seen(self) -> list[str]:
        """Which steps were not probed, and why, in sentences."""
        said = []
        for why, (first, last, count) in self._refused.items():
            more = {1: " was", 2: f" and {last} were"}.get(count, f" and {count - 1} later steps were")
            said.append(f"Step {first}{more} not probed: {why}.")
        return said

    def expect(self, step: int) -> None:
        """What is computed from here on belongs to this step, as far as can be said before it."""
        if self.wants(step) and not self._compiles:
            self._guard.start()
            self._hooks = _hooks()  # that were made before this step
        else:
            self._guard.stop()

    def close(self) -> None:
        self._guard.stop()

    def compiles(self) -> None:
        """A function is compiled from here on: its graph is not to be walked twice, and no mode may stand round it."""
        self._guard.stop()
        self._compiles = True

    def refuse(self, step: int, why: str) -> None:
        if (
            self.wants(step)
            and step not in self.reports
            and (why in self._refused or len(self._refused) < _MOST_REASONS)
        ):
            first, last, count = self._refused.get(why, (step, 0, 0))
            self._refused[why] = first, step, count + (step != last)

    def measure(self, step: int, reading: Reading, total: Tensor, scale: float) -> None:
        """Before the program's own backward pass. Nothing that goes wrong here reaches the program."""
        if not self.wants(step) or step in self.reports:
            return
        ours.measuring.add(ours.thread())
        try:
            if self._compiles or self._guard.refused:
                raise NotProbed("a function was compiled in this process")
            with torch.inference_mode(False), torch.enable_grad():
                self.reports[step] = _probed(reading, total, scale, self._trained, self._guard, self._hooks)
        except NotProbed as why:
            self.refuse(step, str(why))
        except Exception as error:  # noqa: BLE001 - out of memory, values changed in place: the run goes on, and it is noted
            self.refuse(step, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}".rstrip(". "))
        finally:
            ours.measuring.discard(ours.thread())
        while len(self.reports) > MOST and self._stride is not None:
            self._stride *= 2
            self.reports = {step: report for step, report in self.reports.items() if self.wants(step)}


def _hooks() -> int:
    """Hooks that were ever made in this process, those of watches aside."""
    return RemovableHandle.next_id - ours.hooks


def _check(guard: Guard, begun: int, total: Tensor) -> tuple[dict[int, Tensor], bool]:
    """The leaf tensors by id, and whether something is of low precision.

    Raises:
        NotProbed: a further backward pass could run code of the program, or change what it does.
    """
    if here.special:
        raise NotProbed("its backward pass is of a kind of its own (inputs=, create_graph=)")
    if torch.is_anomaly_enabled():
        raise NotProbed("autograd's anomaly mode is on")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        raise NotProbed("the training is distributed")
    if not guard.on:
        raise NotProbed("its begin was not heard")
    if guard.found or _hooks() != begun:
        raise NotProbed(guard.found or _HOOKED)
    seen: set[Any] = {total.grad_fn}
    leaves: dict[int, Tensor] = {}
    todo, low = [total.grad_fn], False
    while todo:
        node: Any = todo.pop()
        if issubclass(type(node), BackwardCFunction):
            raise NotProbed(f"its graph runs Python in its backward pass ({node.name()})")
        low = low or any(made.dtype in _LOW for made in node._input_metadata)
        if isinstance(leaf := getattr(node, "variable", None), Tensor):
            leaves[id(leaf)] = leaf
        elif node._sequence_nr() < guard.first:
            raise NotProbed("a part of its graph is of an earlier step")
        if len(seen) > _MOST_NODES:
            raise NotProbed("its graph is too large to be looked through")
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                todo.append(below)
    if any(leaf._backward_hooks for leaf in leaves.values()):
        raise NotProbed(_HOOKED)
    return leaves, low


class _Stands(dict[Any, Tensor]):
    """For each result that is a term a small leaf in its place: what it does to the term is the slope that a pass starts from."""

    def __init__(self) -> None:
        super().__init__()
        self.edges: list[GradientEdge] = []

    def __missing__(self, key: tuple[Any, int]) -> Tensor:
        node, place = key
        made = node._input_metadata[place]
        self[key] = torch.ones(tuple(made.shape), dtype=made.dtype, device=made.device, requires_grad=True)
        self.edges.append(GradientEdge(node, place))
        return self[key]


def _probed(reading: Reading, total: Tensor, scale: float, trained: Trained, guard: Guard, begun: int) -> ProbeReport:
    leaves, low = _check(guard, begun, total)
    graph = reading.graph
    if len(graph.terms) > MOST_TERMS:
        raise NotProbed(f"its total has {len(graph.terms)} terms")
    factor = graph.factor
    lone = scale if len(graph.terms) == 1 and factor == 1.0 and not graph.constant else 1.0  # no sum to take it out of
    if not (math.isfinite(factor) and factor and all(math.isfinite(term.weight) for term in graph.terms)):
        raise NotProbed("a weight of its total was not read")
    stands = _Stands()
    values = reading.tensors(stands)
    trains_weights = any(term.weight_kind == "trained" for term in graph.terms)
    weighing = _above(total, {edge.node for edge in stands.edges}) if trains_weights else set()
    named = [(name, p) for name, p in trained(leaves) if id(p) not in weighing]
    if not named:
        raise NotProbed("no parameter of it is known")
    names, parameters = [name for name, _ in named], [p for _, p in named]
    if any(plain(p) is None for p in parameters):
        raise NotProbed("a parameter is of a class of its own, or not here as a whole")
    rows = [_row(value, stands, parameters, scale) for value in values]
    real = _gradient([total], [torch.full_like(total, 1.0)], parameters, factor * lone)
    owners = layer_groups(names)
    labels = tuple(dict.fromkeys(owners))
    index = [labels.index(owner) for owner in owners]
    sizes = [p.numel() * (2 if p.is_complex() else 1) for p in parameters]
    terms = _terms(graph.terms, graph.constant, lone)
    if graph.constant:
        rows.append([None] * len(parameters))
    seen = Seen(Measured("one_stage", terms, rows, real, graph.total / factor / lone), index, len(labels), low, None)  # type: ignore[arg-type]
    notes = []
    if weighing:
        notes.append(f"A weight is trained itself: {len(weighing)} tensors of it are no part of the gradients.")
    seen.note_checks(notes)
    return report_of(seen, names, labels, index, sizes, notes)


def _row(value: Tensor, stands: _Stands, parameters: Sequence[Tensor], scale: float) -> Row:
    """The gradient of one unweighted term."""
    if not stands or not value.requires_grad:
        return [None] * len(parameters)
    slopes = torch.autograd.grad(value, [*stands.values()], allow_unused=True)
    through = [(edge, slope * scale) for edge, slope in zip(stands.edges, slopes, strict=True) if slope is not None]
    # a gradient scaler's factor keeps small gradients of half precision above 0, here as in the program's own pass
    return _gradient([edge for edge, _ in through], [slope for _, slope in through], parameters, scale)


def _gradient(roots: Sequence[Any], slopes: Sequence[Tensor], parameters: Sequence[Tensor], by: float) -> Row:
    found = torch.autograd.grad(roots, parameters, slopes, retain_graph=True, allow_unused=True)
    return [gradient if gradient is None or by == 1.0 else gradient / by for gradient in found]


def _above(total: Tensor, terms: Collection[Any]) -> set[int]:
    """Ids of the leaves that the sum itself ends in, beside its terms: trained weights."""
    found, seen, todo = set(), set(), [total.grad_fn]
    while todo:
        node: Any = todo.pop()
        if isinstance(leaf := getattr(node, "variable", None), Tensor):
            found.add(id(leaf))
        elif node is not None and node not in terms and node not in seen:
            seen.add(node)
            todo.extend(below for below, _ in node.next_functions)
    return found


def _terms(terms: Sequence[Term], constant: float, lone: float) -> Decomposition:
    """The weights are called as `kit.probe` calls those of a sum: by what is written there if it is a name, else by their term."""
    weights: list[str] = []
    for term in terms:
        written = term.weight_name.rpartition(".")[2]
        weights.append(written if written.isidentifier() and written not in weights else term.name)
    more = ("constant",) if constant else ()
    found = SimpleNamespace(
        names=(*(term.name for term in terms), *more),
        weight_names=(*weights, *("" for _ in more)),
        weights=(*(term.weight / lone for term in terms), *(1.0 for _ in more)),
        adjustable=(*(True for _ in terms), *(False for _ in more)),
        values=tuple(
            torch.tensor(v, dtype=torch.float64) for v in (*(t.value for t in terms), *([constant] * len(more)))
        ),
        way="step_graph",
        notes=(),
    )
    return cast(Decomposition, found)
