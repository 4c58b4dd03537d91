"""Who takes part: networks, losses and optimizers, told apart by what they do; and which parameter is whose."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kit.recording.listeners import Call
from kit.recording.nested import tensors_in
from kit.recording.networks import Leaves, Net, Stepper
from kit.recording.unused_optimizers import optimizers_besides
from kit.stepgraph.weights import original

MOST_NAMES, MOST_MATCHED = 50, 5
TOTALS = ("loss", "total", "total_loss")
_OF_TORCH = "torch.nn.modules."


@dataclass
class Parts:
    """All that was seen in one run."""

    given: nn.Module | None = None
    loss: Any = None
    nets: dict[int, Net] = field(default_factory=dict)
    dead: list[Net] = field(default_factory=list)
    steppers: dict[int, Stepper] = field(default_factory=dict)
    idle: dict[int, Stepper] = field(default_factory=dict)
    leaves: Leaves = field(default_factory=Leaves)
    unregistered: list[str] | None = None
    classes: int | None = None
    compiled: bool = False
    _kinds: dict[int, tuple[weakref.ref, str]] = field(default_factory=dict)
    _loose: list[tuple[str, list[weakref.ref]]] = field(
        default_factory=list
    )  # parts that are not registered, and their tensors

    def kind_of(self, call: Call) -> str:
        """ "model", "loss", or "side" for what is neither: an augmentation, an activation, a metric."""
        module = call.module
        known = self._kinds.get(id(module))
        if known is not None and known[0]() is module:
            return known[1]
        inner = original(module)
        if self.given is not None and module in (self.given, original(self.given)):
            kind = "model"
        elif self.loss is not None and inner is original(self.loss):
            kind = "loss"
        else:
            kind = self._judge(inner, call)
        if kind != "side":  # what is neither may still turn out to be a model, once it is called with a graph
            self._kinds[id(module)] = (weakref.ref(module), kind)
        return kind

    def _judge(self, module: nn.Module, call: Call) -> str:
        other = "side" if self.loss is not None else "loss"
        if isinstance(module, nn.modules.loss._Loss):  # the common base of torch's losses has no public name
            return other
        own = any(p.requires_grad for p in module.parameters()) or next(module.parameters(), None) is not None
        attached = any(tensor.requires_grad for tensor in tensors_in((call.args, call.kwargs)))
        if not type(module).__module__.startswith(_OF_TORCH) and _is_total(call.output, strict=own):
            total = total_of(call.output)
            if attached and call.grad and not own and total is not None and not total.requires_grad:
                return "side"  # a metric
            if attached or not own:
                return other
        if own:
            return "model"
        brings = not attached and any(tensor.requires_grad for tensor in float_tensors(call.output))
        return "model" if brings else "side"

    def net(self, call: Call) -> Net:
        """The record of the module, a new one at its first call."""
        net = self._net(call.module)
        if not net.called:
            net.called = True
            self.refresh([net], whole=True)  # adapters are put in, and lazy layers made, after a model was handed over
            self._unregistered(call.module, call.inside if call.grad else [])
        self.compiled = self.compiled or net.compiled
        return net

    def _net(self, module: nn.Module) -> Net:
        known = self.nets.get(id(module))
        if known is not None and known.module is module:
            return known
        self.dead = [*self.dead, *(net for net in self.nets.values() if net.module is None)][-16:]
        self.nets = {key: net for key, net in self.nets.items() if net.module is not None}
        new = self.nets[id(module)] = Net(module)
        for stepper in self.steppers.values():
            self._match(new, stepper)
        return new

    def add_loss(self, module: nn.Module) -> Net | None:
        """A loss that has something to train."""
        if not any(p.requires_grad for p in module.parameters()):
            return None
        net = self._net(module)
        net.is_loss = True
        return net

    def add_given(self, module: nn.Module) -> None:
        self._net(module)

    def losses_inside(self, call: Call) -> list[Call]:
        """Loss calls inside a model call: torch's own losses, the given one, and modules without parameters; outermost."""
        found = [inner for inner in call.nested if self._is_loss_inside(inner)]
        if len(found) < 2:
            return found
        within = [set(map(id, inner.module.modules())) for inner in found]
        return [
            inner
            for place, inner in enumerate(found)
            if not any(id(inner.module) in parts for other, parts in enumerate(within) if found[other].module is not inner.module)
        ]  # fmt: skip

    def _is_loss_inside(self, inner: Call) -> bool:
        if self.loss is not None:
            return original(inner.module) is original(self.loss)
        if isinstance(inner.module, nn.modules.loss._Loss):
            return True
        own = next(inner.module.parameters(), None) is not None
        return not own and not type(inner.module).__module__.startswith(_OF_TORCH) and inner.output.requires_grad

    def loss_nets(self) -> list[Net]:
        return [net for net in self.nets.values() if net.is_loss]

    def shapes(self) -> set[tuple]:
        """Of every network that is trained: copies of them have the same."""
        return {net.shapes for net in self.nets.values() if net.trained}

    def knows(self, module: nn.Module) -> bool:
        known = self.nets.get(id(module))
        return known is not None and known.module is module and known.called

    def _unregistered(self, module: nn.Module, inside: list[nn.Module]) -> None:
        registered = set(map(id, module.modules()))
        found = {id(part): part for part in inside if id(part) not in registered and id(part) not in self.nets}
        names = [
            type(part).__name__
            for part in found.values()
            if any(p.requires_grad for p in part.parameters(recurse=False))
        ]
        self.unregistered = sorted({*(self.unregistered or ()), *names})
        self._loose += [
            (type(part).__name__, [*map(weakref.ref, part.parameters(recurse=False))]) for part in found.values()
        ]

    def _left_out(self) -> list[str]:
        """Kinds of the unregistered parts that got a gradient, and that no optimizer holds a tensor of."""
        held: set[int] = set().union(*(stepper.held for stepper in self.steppers.values()))
        left = []
        for name, refs in self._loose:
            alive = [p for ref in refs if (p := ref()) is not None]
            if any(p.grad is not None for p in alive) and not any(id(p) in held for p in alive):
                left.append(name)
        return sorted({*left})

    def stepper(self, optimizer: torch.optim.Optimizer) -> Stepper:
        """The record of the optimizer; parameters are matched at its first step and whenever groups were added."""
        known = self.steppers.get(id(optimizer))
        if known is None or known.alive is not optimizer:
            known = self.steppers[id(optimizer)] = Stepper(optimizer)
        held = sum(len(group["params"]) for group in optimizer.param_groups)
        if held != known.count:
            known.count = held
            known.held = {id(p) for p in known.parameters}
            for net in self.nets.values():
                self._match(net, known)
        if known.steps < MOST_MATCHED:  # tensors of a loop without modules become known by its graphs
            self._match(self.leaves, known)
        return known

    def look_for_idle(self) -> None:
        """Optimizers that hold what is trained and have not stepped; those that step later are taken off again."""
        trained = self.trained_ids()
        for optimizer in optimizers_besides({id(s.alive) for s in self.steppers.values()}):
            held = {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}
            if held & trained:
                self.idle[id(optimizer)] = Stepper(optimizer)
                for net in self.nets.values():
                    self._match(net, self.idle[id(optimizer)])

    def idle_kinds(self) -> list[str]:
        """Of the optimizers that never stepped, with parameters that no other stepped either."""
        held = set().union(*(s.held for s in self.steppers.values()))
        return sorted({s.kind for key, s in self.idle.items() if key not in self.steppers and not s.held & held})

    def _match(self, net: Net, stepper: Stepper) -> None:
        places = {id(p): place for place, p in enumerate(stepper.parameters)}
        known = {id(p): name for name, p in net.at_rest}
        net.covered |= {name for name, p in net.trainable if id(p) in places}
        net.covered |= {name for key, name in known.items() if key in places}
        stepper.matched |= {place for key, place in places.items() if key in net.ids or key in known}

    def refresh(self, nets: Iterable[Net], whole: bool = False, resting: bool = False) -> None:
        for net in nets:
            if net.refresh(whole, resting):
                for stepper in self.steppers.values():
                    self._match(net, stepper)

    def trained_ids(self) -> frozenset[int]:
        return frozenset().union(*(net.ids for net in self.nets.values() if net.trained))

    def never_fed(self) -> frozenset[int]:
        """Ids of what an optimizer holds and was never seen with a gradient after a backward pass."""
        held = frozenset().union(*(s.held for s in self.steppers.values()))
        looked = [net for net in self.nets.values() if net.unfed is not None]
        return held - {id(p) for net in looked for name, p in net.trainable if name not in (net.unfed or ())}

    def ran(self, module: nn.Module) -> bool:
        return any(net.trained or net.called for net in self.nets.values() if net.module is module)

    def name(self) -> str | None:
        """Class of the given model, else of the largest network that was trained, or ran."""
        if self.given is not None:
            return type(original(self.given)).__name__
        nets = [net for net in (*self.dead, *self.nets.values()) if not net.is_loss]
        nets.sort(key=lambda net: (net.trained, net.total))
        return nets[-1].kind if nets else None

    def facts(self) -> dict[str, Any]:
        nets = list(self.judged()) or ([self.leaves] if self.leaves.total else [])
        for stepper in self.steppers.values():
            self._match(self.leaves, stepper)
        names = [(f"(loss).{name}" if net.is_loss else name, name in net.covered) for net in nets for name in net.names]
        outside = [name for name, covered in names if not covered]
        facts: dict[str, Any] = {"optimizers": sorted({stepper.kind for stepper in self.steppers.values()})}
        if nets:
            facts |= {
                "parameters": sum(net.total for net in nets),
                "trainable": sum(len(net.names) for net in nets),
                "frozen_count": sum(net.total - len(net.names) for net in nets),
                "elements": sum(net.elements for net in nets),
            }
        if self.steppers:
            facts |= {
                "not_in_optimizer": outside[:MOST_NAMES],
                "not_in_optimizer_count": len(outside),
                "idle_optimizers": self.idle_kinds(),
                "foreign_in_optimizer_count": sum(s.count - len(s.matched) for s in self.steppers.values()),
            }
        if self.unregistered is not None:
            facts["unregistered"] = self.unregistered
            if self.steppers:
                facts["unregistered_left_out"] = self._left_out()
        facts["classes_configured"] = self.classes
        return facts

    def judged(self) -> Iterator[Net]:
        """Trained networks and losses, or the given model if it ran or nothing else did; none that is inside another."""
        every = [*self.dead, *self.nets.values()]
        mine = [net for net in every if net.module is not None and net.module is self.given and not net.is_loss]
        chosen = mine if mine and (mine[0].trained or not any(net.trained for net in every)) else []
        chosen = chosen or [net for net in every if net.trained and not net.is_loss]
        if any(
            net.passes > MOST_MATCHED for net in chosen
        ):  # what ran once, and in no backward pass, made data for the others
            chosen = [net for net in chosen if net.passes > 1 or net.reached]
        seen: set[int] = set()
        for net in sorted(chosen, key=lambda net: -net.total):
            if not net.ids or not net.ids <= seen:
                seen |= net.ids
                yield net
        yield from (net for net in every if net.is_loss and not net.ids <= seen)


def float_tensors(output: Any) -> list[Tensor]:
    """Real or complex tensors of an output; the common forms are looked into without a copy."""
    if isinstance(output, Tensor):
        found = [output]
    elif type(output) in (tuple, list) and all(isinstance(item, Tensor) for item in output):
        found = list(output)
    elif type(output) is dict and all(isinstance(item, Tensor) for item in output.values()):
        found = list(output.values())
    else:
        found = list(tensors_in(output))
    return [tensor for tensor in found if tensor.is_floating_point() or tensor.is_complex()]


def total_of(output: Any) -> Tensor | None:
    """The scalar that a loss returned: itself, "loss" or "total" of a mapping, the first of a tuple."""
    if isinstance(output, tuple) and output:
        output = output[0]
    elif isinstance(output, dict):
        names = [name for name in TOTALS if name in output]
        output = output[names[0]] if names else None
    if isinstance(output, Tensor) and output.numel() == 1 and output.is_floating_point():
        return output
    return None


def _is_total(output: Any, strict: bool) -> bool:
    """`strict`: a module with parameters may return one value for a batch of one, so only a 0-d tensor is a loss."""
    if isinstance(output, dict):
        found = float_tensors(output)
        return bool(found) and total_of(output) is not None and all(tensor.ndim == 0 for tensor in found)
    return isinstance(output, Tensor) and total_of(output) is not None and (output.ndim == 0 or not strict)
