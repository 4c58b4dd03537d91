"""The step graphs of a run: at sampled steps, which terms its totals had, with which weights, and what came through to each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from kit.recording.gradient_names import NamedGradients
from kit.recording.listeners import ours
from kit.recording.nonfinite import FIRST_STEPS, Nonfinite
from kit.recording.probed_steps import ProbedSteps
from kit.stepgraph.plain import plain, quietly
from kit.stepgraph.source import place
from kit.stepgraph.tape import Tape
from kit.stepgraph.terms import Reading, Term

EVERY, MOST_ROWS, _SEVERAL = 50, 5000, 5
_BETWEEN = frozenset((10, 11, 25, 26))  # so that a short run is not known by its first steps alone


class StepGraphs:
    """Listens to sampled steps. `parameters` gives the names of the tensors that are trained, by id."""

    def __init__(self, parameters: Callable[[], Mapping[int, str]], probed: ProbedSteps | None = None) -> None:
        self._parameters = parameters
        self.probed = probed or ProbedSteps(None, lambda _: ())
        self._missing: dict[int, tuple[str, str]] | None = None  # name and reason, by id; None: nothing was read
        self._reached: set[int] = set()
        self._tape = Tape()
        self.nonfinite, self.gradients = Nonfinite(self._tape), NamedGradients()
        self._rows: list[dict[str, Any]] = []
        self._stride = EVERY
        self._last = (0, 0)
        self._factor = math.nan
        self._computed: set[str] = set()  # terms that are no numbers that were written down
        self._weighed: set[int] = set()  # ids of what a term reaches that is not 0, and not weighed with 0
        self._waiting: list[tuple[dict[str, Any], list[Any]]] = []
        self._handles: list[RemovableHandle] = []

    def not_seen(self) -> list[str]:
        """Why terms or their names are missing, in sentences."""
        said = []
        if self._tape.refused:
            said.append(
                "Names and lines of the terms were not read: a function was compiled in this process, and would be compiled anew."
            )
        if self._tape.failed:
            said.append(f"Names and lines of some terms were not read: {self._tape.failed}")
        return said + self.probed.not_seen()

    def wants(self, step: int) -> bool:
        return self._samples(step) or self.nonfinite.wants(step)

    def _samples(self, step: int) -> bool:
        return (
            step <= FIRST_STEPS or step in _BETWEEN or step % self._stride <= 1
        )  # two in a row: of a generator and its critic both

    def expect(self, step: int) -> None:
        """The next forward pass will belong to this step, as far as can be said before it."""
        self._tape.looks_for_nonfinite = self.nonfinite.wants(step)
        if self._listens(step):
            self._tape.start()
        else:
            self._tape.stop()
        self.probed.expect(step)

    def _listens(self, step: int) -> bool:
        return self.wants(step) or self.probed.wants(step)

    def compiles(self) -> None:
        """A function is compiled from here on: nothing of ours may stand round its first call."""
        self.probed.compiles()
        self._tape.stop()
        self._tape.refused = True

    def backward_begins(self, step: int, roots: Sequence[Any], scale: float) -> None:
        """Read the graph of the total, before its backward pass frees it."""
        self._forget_hooks()
        if not self._listens(step):
            return
        total = plain(roots[0]) if len(roots) == 1 and isinstance(roots[0], Tensor) else None
        if total is None or total.numel() != 1 or total.grad_fn is None:
            self.probed.refuse(step, "its total is not one number with a graph")
            return
        reading = Reading(total)
        self.probed.measure(step, reading, total, 1.0 if math.isnan(scale) else scale)
        if not self.wants(step):
            return
        self._last = (step, self._last[1] + 1 if self._last[0] == step else 1)
        self.nonfinite.backward_begins(step, reading.graph.total, reading.nodes_below())
        scale = 1.0 if math.isnan(scale) else scale
        trained, terms = self._parameters(), reading.graph.terms
        self._computed |= {term.name for term in terms if not term.written}
        for term in terms:
            if term.weight and term.value and term.attached:
                self._weighed |= term.reaches & trained.keys()
        self._factor = reading.graph.factor * (terms[0].weight if len(terms) == 1 else 1.0) / scale
        self._look_for_unreached(reading, trained)
        for term, node, count in zip(reading.graph.terms, reading.nodes, reading.counts, strict=True):
            row = _row(term, self._last, trained) | self._cut_inside(term, reading, trained)
            came: list[Any] = []
            self._rows.append(row)
            if node is not None:
                ours.hooks += 1
                self._waiting.append((row, came))
                self._handles.append(node.register_prehook(_listener(came, term, scale * count)))
        self._thin()

    def _look_for_unreached(self, reading: Reading, trained: Mapping[int, str]) -> None:
        """Parameters that no total has reached yet; an optimizer's are known from its first step on."""
        reached = frozenset().union(*(term.reaches for term in reading.graph.terms)) & trained.keys()
        self._reached |= reached
        missing = [(key, name) for key, name in trained.items() if key not in self._reached]
        self._missing = (self._missing or {}) | {key: (name, self._why(reading, key)) for key, name in missing}

    def _why(self, reading: Reading, key: int) -> str:
        used = self._tape.used.get(key)
        if used is None:
            return "not used in this step" if self._tape.on else ""
        if not used.grad:
            return f"used under no_grad in {place(*used.spot[0])}" if used.spot else "used under no_grad"
        for cut, above in self._tape.cuts():
            if key in reading.leaves(above):
                return f"cut by {cut.how} in {cut.place}"
        return ""

    def _cut_inside(self, term: Term, reading: Reading, trained: Mapping[int, str]) -> dict[str, str]:
        """Of a term with a graph that ends before every parameter, as at its input: what was cut in this step, and where."""
        if not term.attached or not trained or term.reaches & trained.keys():
            return {}
        for cut, above in self._tape.cuts():
            if reading.leaves(above) & trained.keys():
                return {"cut": str(cut.place), "cut_by": cut.how}
        return {}

    def unreached(self, never_fed: Collection[int]) -> dict[str, str] | None:
        """Parameters that no total reached in any step that was read, and that never had a gradient; and why, as far as it was seen.

        None: nothing was read.
        """
        if self._missing is None:
            return None
        return {
            name: why
            for key, (name, why) in self._missing.items()
            if key in never_fed and key not in self._reached and not self.gradients.knows(key)
        }

    def backward_ends(self, step: int, trained: Callable[[], Sequence[Tensor]]) -> None:
        for row, came in self._waiting:
            if came:
                row["effective_weight"] = float(sum(came))
        self._forget_hooks()
        # a branch that begins at 0 may be moved later: where one is suspected, more steps are looked at, the last of them late in the run
        if self.wants(step) or (step & (step - 1) == 0 and self.gradients.zero()):
            self.gradients.look(trained(), self._parameters())
        if not (self._listens(step) or self._listens(step + 1)):
            self._tape.pause()
        elif not self._tape.on:
            self._tape.start()
        self.probed.expect(step + 1)

    def step_begins(self) -> None:
        """What an optimizer computes is part of no total: nothing is noted until the next step is expected."""
        self._tape.stop()

    def _forget_hooks(self) -> None:
        self._waiting = []
        self.nonfinite.backward_ends()
        while self._handles:
            self._handles.pop().remove()

    def _thin(self) -> None:
        """A run of a million steps keeps as many rows as one of a thousand: later steps are read less often."""
        while len(self._rows) > MOST_ROWS and self._stride < 1 << 40:
            self._stride *= 2
            self._rows = [row for row in self._rows if self._samples(row["step"])]

    def close(self) -> None:
        self._forget_hooks()
        self.probed.close()
        self._tape.stop()

    def without_graph(self) -> list[str]:
        """Terms without a graph in every step that was read: it was cut, or they are weighed and change and never had one."""
        rows = [row for row in self._rows if row["weight"] != 0]
        values: dict[str, set[float]] = {}
        for row in rows:
            values.setdefault(row["name"], set()).add(row["value"])
        lost = {row["name"] for row in rows if row["cut"] or (row["weight_name"] and len(values[row["name"]]) > 1)}
        return sorted(lost - {row["name"] for row in self._rows if row["attached"] and not row["cut"]})

    def cuts(self) -> list[str]:
        """Of `without_graph`: each with what it was cut by and where, or where it was made."""
        said = {}
        for row in self._rows:
            where = (
                f"cut by {row['cut_by']} in {row['cut']}"
                if row["cut"]
                else f"made in {row['source'] or 'an unknown line'}"
            )
            said[row["name"]] = f"{row['name']}, {where}"
        return [said[name] for name in self.without_graph()]

    def factor(self) -> float:
        """What the whole total is multiplied by, apart from a gradient scaler: 1/4 where four passes are accumulated."""
        return self._factor

    def reaches(self, key: int) -> bool:
        """Whether some term that counts reached the parameter with this id."""
        return key in self._weighed

    def zero_gradients(self) -> list[str]:
        """Parameters with a gradient of exactly 0 in every step, though a term that counts reaches them."""
        return self.gradients.zero(self._weighed)

    def suspicious(self) -> list[dict[str, Any]]:
        """Operations that are rarely meant, each line once: kind, what was found, source; in how many of the steps that were read."""
        tape, of = self._tape, len({row["step"] for row in self._rows})
        return [
            {
                "kind": kind,
                "found": found,
                "source": str(place(*spots[0])) if spots else "",
                "steps": len(tape.seen_in[kind]),
                "of": max(of, len(tape.seen_in[kind])),
            }
            for (kind, _), (found, spots) in self._tape.suspicious.items()
        ]

    def always_zero(self) -> list[str]:
        """Names of the terms that were computed from nothing in every step: 0 with a weight, without a graph, from an empty selection,
        or from a difference that is rounded away.

        A term that is 0 for another reason may be met, as the boundary values of a network that is built to have them.
        """
        rows = [row for row in self._rows if row["weight"] != 0]
        empty = any(kind in ("selects_nothing", "rounded_pair") for kind, _ in self._tape.suspicious)
        other = {row["name"] for row in rows if row["value"] != 0 or (row["attached"] and not empty)}
        return [
            name for name in self.names() if name in self._computed - other and name in {row["name"] for row in rows}
        ]

    def of_the_same(self) -> list[str]:
        """Names of the terms that were 0 in every step, with a graph and a weight, beside a comparison of two that are the same."""
        if not any(kind == "same_pair" for kind, _ in self._tape.suspicious):
            return []
        other = {row["name"] for row in self._rows if row["value"] != 0 or not row["attached"] or row["weight"] == 0}
        return [name for name in self.names() if name not in other]

    def weighed_zero(self) -> list[str]:
        """Names of the terms whose weight was 0 in every step."""
        other = {row["name"] for row in self._rows if row["weight"] != 0}
        return [name for name in self.names() if name not in other]

    def unread_weights(self) -> list[str]:
        """Entries of a dict of weights that no term was multiplied with, in several steps that were read."""
        return self._tape.unread_weights() if len({row["step"] for row in self._rows}) >= _SEVERAL else []

    def names(self) -> list[str]:
        return list(dict.fromkeys(row["name"] for row in self._rows))

    def names_weight(self, name: str) -> bool:
        """Whether some sum was written with this weight."""
        return any(name in re.findall(r"\w+", row["weight_name"]) for row in self._rows)

    def has_weight(self, value: float) -> bool:
        """Whether some term was weighed with this number, whatever it was called there."""
        return any(math.isclose(abs(row["weight"]), abs(value), rel_tol=1e-5) for row in self._rows)

    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows]

    def last_step(self) -> int:
        """The last step that was read or probed; 0 before the first."""
        read = self._rows[-1]["step"] if self._rows else 0
        return max(read, next(reversed(self.probed.reports), 0))

    def scalars(self) -> dict[str, float]:
        """Of the last step that was read or probed: term/<name>, weight/<name>; grad_norm/<name> of the last that was probed."""
        found: dict[str, float] = {}
        read = self._rows[-1]["step"] if self._rows else 0
        probed = next(reversed(self.probed.reports), 0)
        if probed:
            report = self.probed.reports[probed]
            parts = zip(report.names, report.L, report.weights, report.norms, strict=True)
            for name, value, weight, norm in parts:
                found[f"grad_norm/{name}"] = float(norm)
                if probed > read:
                    found |= {f"term/{name}": float(value), f"weight/{name}": float(weight)}
        for row in reversed(self._rows if read >= probed else []):
            if row["step"] != read:
                break
            found |= {f"term/{row['name']}": row["value"], f"weight/{row['name']}": row["weight"]}
        return found


def _listener(came: list[Any], term: Term, scale: float) -> Callable[[tuple[Any, ...]], None]:
    """What arrives at the node of a term is d total / d term; of one number a sample, the sum or the mean of what arrives."""

    def arrived(gradients: tuple[Any, ...]) -> None:
        if ours.is_measuring(gradients[0] if gradients else None):
            return
        with suppress(Exception), quietly():  # inside of the user's backward pass; what cannot be read stays unknown
            for gradient in gradients:
                if isinstance(gradient, Tensor) and (seen := plain(gradient)) is not None:
                    number = seen.detach().mean() if term.reduction == "sum" else seen.detach().sum()
                    came.append(number.item() / scale if number.device.type == "cpu" else number / scale)

    return arrived


def _row(term: Term, at: tuple[int, int], trained: Collection[int]) -> dict[str, Any]:
    return {
        "step": at[0],
        "backward": at[1],
        "name": term.name,
        "value": term.value,
        "weight": term.weight,
        "weight_name": term.weight_name,
        "weight_kind": term.weight_kind,
        "effective_weight": math.nan,
        "attached": float(term.attached),
        "summands": float(term.summands),
        "reduction": term.reduction,
        "source": "" if term.place is None else str(term.place),
        "text": "" if term.place is None else term.place.text,
        "cut": "" if term.cut is None else str(term.cut),
        "cut_by": term.cut_by,
        "parameters": float(len(term.reaches & set(trained))) if trained else math.nan,
    }
