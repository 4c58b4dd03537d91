"""Backward passes and optimizer steps, and what they mean for the turn."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from kit.recording.clearing import Clearing
from kit.recording.epoch_ends import Block, Forward
from kit.recording.history import DETAILED_TURNS, Book, Turn
from kit.recording.lines import Lines, line_here
from kit.recording.listeners import Call
from kit.recording.measuring import Measuring
from kit.recording.networks import Net
from kit.recording.norms import any_nonzero, change, copies, gradient_changed, length, reusable, sizes
from kit.recording.output_hooks import Hooked
from kit.recording.parameter_change import Movement
from kit.recording.participants import Parts
from kit.recording.scaling import reduction_of
from kit.recording.step_graphs import StepGraphs
from kit.recording.terms import now_or_later
from kit.stepgraph.plain import all_plain, plain

MOST_NODES = 20_000  # of a graph that is walked to find what a loop without modules trains


class Stepping:
    """The half of an observer that hears backward passes and steps."""

    parts: Parts
    book: Book
    block: Block
    measuring: Measuring
    movement: Movement
    forwards_seen: bool
    hooked: Hooked
    graphs: StepGraphs
    lines: Lines
    note: Callable[[str], None]
    attempt: Callable[..., Any]
    settle_block: Callable[[Net | None, Call | None], bool]
    _new_turn: Callable[[], Turn]
    _enrol: Callable[[Forward, Turn], None]

    def __init__(self) -> None:
        self.turn_nets: list[Net] = []
        self.in_backward = False
        self.current_step: int | None = None
        self.steps_begun = 0
        self._leaves: list[weakref.ref] = []
        self._before: list[tuple[Tensor, Tensor | None, int]] = []
        self._rootless = self._provisional = False
        self._fed: set[int] | None = None
        self.reduction: str | None = None
        self._steps: list[_Step] = []
        self._scaled: list[weakref.ref] = []
        self._scale, self._scale_waits = math.nan, False
        self._scaler_steps = self._backwards = 0
        self.clearing = Clearing()
        self._stepped_at = -1  # number of the last turn with a step

    def same_step(self, turn: Turn) -> bool:
        """Within one optimizer step its closure may run many passes: they are one turn."""
        return self.current_step is not None and turn.step == self.current_step

    def close_turn(self) -> None:
        turn = self.book.turn
        if turn is None:
            return
        if turn.detailed:
            self.attempt(self._measure_parameters, turn)
        self.book.close()
        self._leaves, self._fed = [], None

    def _measure_parameters(self, turn: Turn) -> None:
        turn.measured["param_norm"] = length(self._looked_at())

    def _looked_at(self) -> Sequence[Tensor]:
        """Trainable tensors of what ran in this turn; of a loop without modules, the leaves of its graph."""
        if len(self.turn_nets) == 1 and self.turn_nets[0].tensors:
            return self.turn_nets[0].tensors
        found = {id(p): p for net in self.turn_nets for p in net.tensors}
        return list(found.values()) or [leaf for ref in self._leaves if (leaf := ref()) is not None]

    def _names_of_trained(self) -> dict[int, str]:
        """Of what ran in this turn; with several networks the name begins with the network's class."""
        nets = [net for net in self.turn_nets if net.tensors] or [self.parts.leaves]
        named = [(net.kind if len(nets) > 1 else "", name, p) for net in nets for name, p in net.trainable]
        known = {id(p): f"{net.kind}.{name}" for net in self.parts.nets.values() for name, p in net.trainable}
        held = {
            id(p): known.get(id(p), f"{stepper.kind}.{n}")
            for stepper in self.parts.steppers.values()
            for n, p in enumerate(stepper.parameters)
        }
        return held | {id(p): f"{kind}.{name}".lstrip(".") for kind, name, p in named}

    def _trained(self, reached: Collection[int]) -> list[tuple[str, Tensor]]:
        """Parameters with their names: those of what ran in this turn, and what else an optimizer holds of those that are reached."""
        names, found = self._names_of_trained(), {id(p): p for p in self._looked_at()}
        held = {id(p): p for stepper in self.parts.steppers.values() for p in stepper.parameters if id(p) in reached}
        return [(names[key], p) for key, p in (found | held).items() if key in names and p.requires_grad]

    def backward_begins(self, roots: tuple[Any, ...], weights: Any) -> None:
        self.lines.saw("backward")
        self.attempt(self.clearing.backward_begins)
        turn = self.book.turn
        self._provisional = False
        if turn is None:
            turn = self._new_turn()
            self._provisional = True
        elif not turn.open and not self.same_step(turn):
            if self.block.undecided:
                turn, self._provisional = self._new_turn(), True
            elif not self.forwards_seen and turn.spent and (turn.steps or self.current_step is not None):
                turn = self._new_turn()
        self.in_backward = True
        turn.backwards += 1
        self._backwards += 1
        if self._backwards == 1:
            self.book.forget_dry_run()
        self._rootless = any(isinstance(root, Tensor) and not root.requires_grad for root in roots)
        if self.reduction is None and len(roots) == 1 and turn.number <= DETAILED_TURNS:
            self.reduction = self.attempt(reduction_of, roots[0])
        turn.loss, turn.scale = self.attempt(self._value, roots, weights) or (math.nan, math.nan)
        if not any(net.tensors for net in self.turn_nets):
            self.attempt(self._find_leaves, roots)
        sharded = any(net.sharded for net in self.turn_nets)  # whole parameters stand in now, and get no gradient
        looked = () if sharded else self._looked_at()
        self._before = [(p, g := p.grad, -1 if g is None else g._version) for p in looked]
        if turn.detailed and turn.backwards == 1 and self._stepped_at == turn.number - 1 and looked:
            self.attempt(self._look_for_leftovers, turn)
        if weights is None:
            self.attempt(self.graphs.backward_begins, turn.number, roots, turn.scale)
        else:
            self.graphs.probed.refuse(turn.number, "its backward pass was given weights (gradient=)")

    def _look_for_leftovers(self, turn: Turn) -> None:
        """Gradients that the last step has used already, and that this pass is added to."""
        if len(self.parts.steppers) != 1:  # of several, each clears its own before its own pass
            return
        held = next(iter(self.parts.steppers.values())).held
        left = [gradient for p, gradient, _ in self._before if gradient is not None and id(p) in held]
        found = any_nonzero(left)
        if found is not None:
            turn.measured["grad_left"] = float(found)

    def _find_leaves(self, roots: tuple[Any, ...]) -> None:
        leaves = _leaves(roots)
        self._leaves = [weakref.ref(leaf) for leaf in leaves]
        self.parts.leaves.saw(leaves)
        self.movement.trains(self.parts.leaves)

    def _value(self, roots: tuple[Any, ...], weights: Any) -> tuple[Any, float]:
        """What is differentiated, as a scalar: the root itself, or its product with the weights that were passed."""
        roots = tuple(root for root in roots if isinstance(root, Tensor))
        scale = math.nan
        if any(ref() is root for ref in self._scaled for root in roots) or self._scale_waits:
            scale, self._scale_waits = self._scale, False
        values = all_plain(roots)
        if not values:
            return math.nan, scale
        roots = tuple(values)
        if weights is None and len(roots) == 1 and roots[0].device.type == "cpu" and not roots[0].is_complex():
            root = roots[0]
            value = root.item() if root.numel() == 1 else root.detach().sum().item()
            return value / (1.0 if math.isnan(scale) else scale), scale
        weights = (weights,) if isinstance(weights, Tensor) or weights is None else tuple(weights)
        given, weights = weights, tuple(None if weight is None else plain(weight) for weight in weights)
        if any(before is not None and weight is None for before, weight in zip(given, weights, strict=True)):
            return math.nan, scale
        with torch.no_grad():
            if len(weights) != len(roots):
                weights = weights * len(roots) if weights == (None,) else (None,) * len(roots)
            parts = [
                root.detach().sum() if weight is None else (root.detach() * weight.detach()).real.sum()
                for root, weight in zip(roots, weights, strict=True)
            ]
            total = parts[0] if len(parts) == 1 else torch.stack(parts).sum()
            if total.is_complex():
                return math.nan, scale
            return now_or_later(total if math.isnan(scale) else total / scale), scale

    def backward_ends(self, failed: bool) -> None:
        self.hooked.backward_ended()
        self.in_backward = False
        self.attempt(self.graphs.backward_ends, self.book.count, self._looked_at)
        sharded = [net for net in self.turn_nets if net.sharded]
        if sharded:
            self.parts.refresh(sharded, whole=True, resting=True)
            self.note("Parameters are sharded over the ranks: norms of parameters and gradients are not observed.")
        turn = self.book.turn
        if turn is None:
            return
        before, self._before = self._before, []
        fed: set[int] = set()
        for p, g, version in before:
            if gradient_changed(p, g, version):
                fed.add(id(p))
                if not (turn.detailed or self._provisional):
                    break  # whether any was fed is enough
        if self._provisional:
            self._decide(turn)
            # a prediction that was cut off and made a leaf again got a gradient, and is no parameter of the network found meanwhile
            fed &= {id(p) for p in self._looked_at()}
        turn.open, turn.spent = False, True
        if failed and not self._rootless:
            return
        looked = self._looked_at() if turn.detailed or not before else ()
        if not before:  # only now it is known what was trained
            fed = {id(p) for p in looked if p.grad is not None}
        known = before or looked or any(net.total for net in self.turn_nets) or self._rootless
        turn.loss_graph = float(bool(fed)) if known else math.nan
        if turn.detailed:
            for net in self.parts.nets.values():
                if net.trained:
                    net.look_fed()
                    # one that ran in an earlier turn, as a generator before its critic's step
                    if before and net not in self.turn_nets:
                        fed |= {id(p) for p in net.tensors if p.grad is not None}
            self._fed = fed if self._fed is None else self._fed | fed
            turn.measured |= self._gradients("grad", looked, turn.scale)
            if turn.measured.get("grad_nonfinite", 0) > 0:
                self.graphs.nonfinite.suspect()

    def _gradients(self, prefix: str, parameters: Sequence[Tensor], scale: float) -> dict[str, float]:
        """In the units of the loss: a gradient scaler's factor is taken out of the norm."""
        found = self.attempt(sizes, [p.grad for p in parameters])
        if found is None:
            return {}
        columns = found.columns(prefix)
        if not math.isnan(scale):
            columns[f"{prefix}_norm"] /= scale
        return columns

    def _seen(self, parameters: Sequence[Tensor], scale: float) -> dict[str, float]:
        """What the optimizer gets; `fed` are those of its tensors that a backward pass of this turn gave a gradient."""
        columns = self._gradients("seen", parameters, scale)
        if columns:
            columns["seen_fed"] = math.nan if self._fed is None else sum(id(p) in self._fed for p in parameters)
        return columns

    def _decide(self, turn: Turn) -> None:
        """A backward pass without a training forward: which of the undecided passes was it about?"""
        if not turn.forwards:
            # under no_grad in training mode: cut off, but what else should be differentiated?
            for forward in self.block.last_undecided():
                self.block.take_out(forward)
                self._enrol(forward, turn)
        if self.settle_block(self.turn_nets[-1] if self.turn_nets else None, None):
            turn.epoch = self.book.epoch
            for net in self.turn_nets:
                self.attempt(self.movement.trains, net)

    def step_begins(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        if self._steps and not self._steps[-1].closure and not self._steps[-1].wraps(optimizer):
            self._steps.clear()  # that step was ended by an exception, of which hooks are not told
        self._steps = [step for step in self._steps if step.optimizer() is not optimizer]
        step = _Step(optimizer, closure)
        self._steps.append(step)
        if len(self._steps) > 1:
            return
        self.lines.saw("step")
        if not closure:
            self.attempt(self.graphs.step_begins)
        stepper = self.parts.stepper(optimizer)
        stepper.line = stepper.line or line_here()
        self.attempt(self.clearing.step_begins, stepper)
        self.steps_begun += 1
        self.current_step = self.steps_begun if closure else None
        turn = self.book.turn
        if turn is None and not closure:
            turn = self._new_turn()
        number = self.book.count + (turn is None or turn.spent) if closure or turn is None else turn.number
        if self.book.will_be_detailed(number):
            step.parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
            if not closure:
                scale = getattr(optimizer, "grad_scale", None)
                scale = math.nan if scale is None else float(scale)
                step.seen = self._seen(step.parameters, scale)
            step.before = self.attempt(copies, step.parameters, stepper.kept)

    def closure_ends(self, optimizer: torch.optim.Optimizer) -> None:
        if len(self._steps) == 1 and self._steps[0].parameters:
            self._steps[0].seen = self._seen(self._steps[0].parameters, math.nan)

    def step_ends(self, optimizer: torch.optim.Optimizer) -> None:
        places = [place for place, step in enumerate(self._steps) if step.optimizer() is optimizer]
        if not places:
            return
        step = self._steps[places[0]]
        del self._steps[places[0] :]
        if self._steps:
            return  # inside the step of an optimizer that wraps this one
        self.current_step = None
        turn = self.book.turn or self._new_turn()
        self.attempt(self.graphs.expect, turn.number + 1)
        if _overflowed(optimizer):
            return
        turn.steps += 1
        self._stepped_at = turn.number
        stepper = self.parts.stepper(optimizer)
        stepper.stepped(step.rates, step.seen)
        self.attempt(self.clearing.stepped, stepper)
        turn.open, turn.spent = False, True
        rates = [rate for rate in (*step.rates, turn.lr, turn.lr_min) if not math.isnan(rate)]
        turn.lr, turn.lr_min = max(rates, default=math.nan), min(rates, default=math.nan)
        if step.parameters and turn.detailed:
            turn.measured |= _together(turn.measured, step.seen)
            moved = math.nan if step.before is None else self.attempt(change, step.parameters, step.before, True)
            stepper.kept = reusable(step.before or ())
            if moved is not None:
                turn.measured["update_norm"] = math.hypot(turn.measured.get("update_norm", 0.0), moved)

    def scaled(self, scaler: Any, outputs: Any) -> None:
        found = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        self._scaled = [weakref.ref(tensor) for tensor in found if isinstance(tensor, Tensor)]
        self._scale, self._scale_waits = float(scaler.get_scale()), True

    def scaler_begins(self, scaler: Any, optimizer: Any) -> None:
        self.parts.stepper(optimizer)
        self._scaler_steps = 0 if self.book.turn is None else self.book.turn.steps

    def scaler_ends(self, scaler: Any, optimizer: Any) -> None:
        turn = self.book.turn or self._new_turn()
        if turn.steps == self._scaler_steps:
            turn.scaler_skips += 1
            turn.open, turn.spent = False, True
            if math.isnan(turn.scale):
                turn.scale = self._scale


class _Step:
    def __init__(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        self.optimizer, self.closure = weakref.ref(optimizer), closure
        groups = [group for group in optimizer.param_groups if "lr" in group]
        # the rate of a group without a gradient moves nothing; before a closure has run, none has one
        alive = [group for group in groups if any(p.grad is not None for p in group["params"])]
        self.rates = [float(group["lr"]) for group in alive or groups]
        self.parameters: list[Tensor] = []
        self.before: list[Tensor] | None = None
        self.seen: dict[str, float] = {}

    def wraps(self, inner: torch.optim.Optimizer) -> bool:
        outer = self.optimizer()
        return outer is not None and any(value is inner for value in vars(outer).values())


def _overflowed(optimizer: torch.optim.Optimizer) -> bool:
    """A fused optimizer is called by the scaler even after an overflow, and then does nothing."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, Tensor) and bool(found.item())


def _together(before: dict[str, float], step: dict[str, float]) -> dict[str, float]:
    """Several optimizers step in one turn: their tensors are counted together."""
    if "seen_tensors" not in before or not step:
        return step
    joined = {name: before[name] + value for name, value in step.items() if name != "seen_norm"}
    norms = [value for value in (before["seen_norm"], step["seen_norm"]) if not math.isnan(value)]
    return joined | {"seen_norm": math.hypot(*norms) if norms else math.nan}


def _leaves(roots: tuple[Any, ...]) -> list[Tensor]:
    """Leaf tensors that the graph ends in."""
    found: dict[int, Tensor] = {}
    # of a node that ends in a leaf torch's stubs do not know that it has that leaf
    todo: list[Any] = [root.grad_fn for root in roots if isinstance(root, Tensor) and root.grad_fn is not None]
    seen: set[Any] = set()
    while todo and len(seen) < MOST_NODES:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().endswith("AccumulateGrad"):
            found[id(node.variable)] = node.variable
        todo.extend(parent for parent, _ in node.next_functions)
    return list(found.values())
