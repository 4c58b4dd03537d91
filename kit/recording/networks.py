"""Networks and optimizers that were seen, held weakly: what the user drops is gone."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kit.stepgraph.plain import is_sharded
from kit.stepgraph.weights import original

SELDOM = 10


class Net:
    """A network, or a loss with parameters of its own. Held weakly: what the user drops is gone."""

    def __init__(self, module: nn.Module) -> None:
        self._module = weakref.ref(module, self._gone)
        self.kind = type(original(module)).__name__
        self.trained = self.called = self.companion = self.is_loss = self.sharded = self.reached = False
        self.passes = 0  # of training
        self.compiled = any(original(part) is not part for part in module.modules())
        self._trainable: list[tuple[str, nn.Parameter]] | None = None
        self._ids: frozenset[int] = frozenset()
        self._names: list[str] = []
        self.covered: set[str] = set()
        self.unfed: set[str] | None = None
        self._total = self._elements = 0
        self._tensors: list[nn.Parameter] = []
        self._every: list[nn.Parameter] = []
        self._flags: list[bool] = []
        self._looks = 0
        self.shapes: tuple = ()
        self.refresh(whole=True)

    @property
    def module(self) -> nn.Module | None:
        return self._module()

    @property
    def trainable(self) -> Sequence[tuple[str, Tensor]]:
        return self._trainable or []

    @property
    def tensors(self) -> Sequence[Tensor]:
        return self._tensors

    @property
    def ids(self) -> frozenset[int]:
        return self._ids

    @property
    def names(self) -> list[str]:
        return self._names

    @property
    def total(self) -> int:
        return self._total

    @property
    def elements(self) -> int:
        return self._elements

    def refresh(self, whole: bool = False, resting: bool = False) -> bool:
        """Look again what is trainable: parts are frozen and set free in the middle of a training. Whether it changed.

        What was frozen or set free is seen at once; parts that were added, every tenth time or with `whole`. Sharded parameters
        are exchanged for whole ones while the network runs, so such a network is looked at when it is `resting`.
        """
        module = self.module
        if module is None or (self.sharded and not resting):
            return False
        self._looks += 1
        if not whole and self._looks % SELDOM and self._flags == [p.requires_grad for p in self._every]:
            return False
        self.sharded = self.sharded or is_sharded(module)
        before = self.names, self.ids
        named = [(name.replace("_orig_mod.", ""), p) for name, p in module.named_parameters() if _initialised(p)]
        self._every, self._flags = [p for _, p in named], [p.requires_grad for _, p in named]
        self._trainable = [(name, p) for name, p in named if p.requires_grad]
        self._tensors = [p for _, p in self._trainable]
        self._ids = frozenset(id(p) for _, p in named)
        self._names = [name for name, _ in self._trainable]
        self._total, self._elements = len(named), sum(p.numel() for _, p in named)
        self.shapes = tuple(sorted(tuple(p.shape) for _, p in named))
        return (self.names, self.ids) != before

    @property
    def at_rest(self) -> Sequence[tuple[str, Tensor]]:
        """Its trainable parameters as they are now: while it runs, others may stand in for them (torch.func.functional_call)."""
        module = self.module
        return [] if module is None else [(name, p) for name, p in module.named_parameters() if p.requires_grad]

    def look_fed(self) -> None:
        """After a backward pass: `unfed` are the names of those trainable that never had a gradient at such a moment."""
        now = {name for name, p in self.trainable if p.grad is None}
        self.unfed = now if self.unfed is None else self.unfed & now

    def _gone(self, _: object) -> None:
        self._trainable, self._tensors, self._every, self._ids = None, [], [], frozenset()


class Leaves(Net):
    """What a loop without modules trains: the leaves of its graphs that come again."""

    def __init__(self) -> None:
        self.kind, self.trained, self.called, self.companion, self.is_loss = "", True, True, False, False
        self.sharded, self.reached, self.passes = False, True, 0
        self.covered, self.unfed = set(), set()
        self._seen: dict[int, tuple[weakref.ref, int]] = {}
        self._graphs = 0
        self.shapes = ()

    @property
    def module(self) -> None:
        return None

    def saw(self, tensors: Iterable[Tensor]) -> None:
        """The leaves of one more graph."""
        self._graphs += 1
        for tensor in tensors:
            known = self._seen.get(id(tensor))
            if known is not None and known[0]() is tensor:
                self._seen[id(tensor)] = (known[0], known[1] + 1)
            else:
                self._seen[id(tensor)] = (weakref.ref(tensor), 1)
        self._seen = {key: (ref, count) for key, (ref, count) in self._seen.items() if ref() is not None}

    @property
    def trainable(self) -> list[tuple[str, Tensor]]:
        found = [ref() for ref, count in self._seen.values() if count > 1 or self._graphs == 1]
        return [(f"tensor {place}", tensor) for place, tensor in enumerate(found) if tensor is not None]

    @property
    def tensors(self) -> list[Tensor]:
        return [tensor for _, tensor in self.trainable]

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(id(tensor) for tensor in self.tensors)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.trainable]

    @property
    def total(self) -> int:
        return len(self.trainable)

    @property
    def elements(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors)

    def refresh(self, whole: bool = False, resting: bool = False) -> bool:
        return False


class Stepper:
    """An optimizer that was seen."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = weakref.ref(optimizer, self._gone)
        self.kind = type(optimizer).__name__
        self.matched: set[int] = set()
        self.held = {id(p) for p in self.parameters}
        self.count = 0
        self.line = ""
        self.kept: list[Tensor] = []  # copies of before the last step, of which the next one uses the memory
        self.steps = self.looks = self.fed = self.without_gradient = self.zero_gradient = 0
        self.lr: dict[str, float] = {}

    def stepped(self, rates: Sequence[float], gradients: Mapping[str, float]) -> None:
        """One step of its own; `gradients` counts its tensors as they were when it began, {} if nobody looked."""
        self.steps += 1
        if rates:
            now = max(rates)
            self.lr = {
                "first": self.lr.get("first", now),
                "last": now,
                "lowest": min(self.lr.get("lowest", now), now),
            }
        if gradients:
            none, zero = (gradients[f"seen_{name}"] for name in ("none", "zero"))
            self.looks += 1
            self.fed += gradients.get("seen_fed", 0) > 0
            self.without_gradient += none == gradients["seen_tensors"]
            self.zero_gradient += none < gradients["seen_tensors"] == none + zero

    def record(self) -> dict[str, Any]:
        """Its own row, for JSON."""
        return {
            "kind": self.kind,
            "source": self.line,
            "steps": self.steps,
            "tensors": len(self.held),
            "looked": self.looks,
            "fed": self.fed,
            "without_gradient": self.without_gradient,
            "zero_gradient": self.zero_gradient,
            **{f"lr_{name}": self.lr.get(name) for name in ("first", "last", "lowest")},
        }

    @property
    def parameters(self) -> list[Tensor]:
        optimizer = self._optimizer()
        return [] if optimizer is None else [p for group in optimizer.param_groups for p in group["params"]]

    @property
    def alive(self) -> torch.optim.Optimizer | None:
        return self._optimizer()

    def _gone(self, _: object) -> None:
        self.kept = []


def _initialised(parameter: nn.Parameter) -> bool:
    return not nn.parameter.is_lazy(parameter)
