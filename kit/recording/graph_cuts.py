"""Where is the graph cut? One part makes a tensor with its parameters, and the next gets the same memory without a graph.

A cut alone is no mistake: a discriminator is shown detached fakes, a probe detached features. It is one where the part before
it is held by an optimizer and never gets a gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kit.recording.listeners import Call
from kit.recording.networks import Net
from kit.recording.participants import float_tensors
from kit.stepgraph.plain import plain

KEPT_TURNS = 2  # a generator's output may be made in one turn and be judged in the next
KEPT_PASSES, MOST_MADE = 8, 2000


@dataclass
class Cuts:
    """`found`: (network, name of the part) before a cut; "" is the whole network. `looked`: whether anything was looked at."""

    found: dict[tuple[Net, str], None] = field(default_factory=dict)
    looked: bool = False
    _made: list[tuple[int, int, torch.UntypedStorage, Net, str]] = field(default_factory=list)  # turn, pass, ...
    _passes: int = 0

    def passed(self, net: Net, call: Call, turn: int) -> None:
        """A training pass of a network, part by part in the order in which they ran."""
        self.looked, self._passes = True, self._passes + 1
        # an evaluation without no_grad is many passes in one turn
        self._made = [entry for entry in self._made if entry[1] > self._passes - KEPT_PASSES]
        self._enter((call.args, call.kwargs))
        names = {id(part): name.replace("_orig_mod.", "") for name, part in call.module.named_modules()}
        for part, given, output in call.flow:
            if given is not None:
                self._enter(given)
            elif id(part) in names:
                self._leave(net, names[id(part)], part, output, turn)
        self._leave(net, "", call.module, call.output, turn)

    def judged(self, call: Call) -> None:
        """A training call of a loss: what it is given as the prediction."""
        self._enter(call.args[:1])

    def forget(self, turn: int) -> None:
        """Tensors of earlier turns; holding them any longer would hold their memory."""
        self._made = [entry for entry in self._made if entry[0] > turn - KEPT_TURNS]

    def _enter(self, given: Any) -> None:
        places = {_place(tensor.untyped_storage()) for tensor in _with_memory(given) if not tensor.requires_grad} - {0}
        for _, _, storage, net, name in self._made if places else ():
            if _place(storage) in places:
                self.found[net, name] = None

    def _leave(self, net: Net, name: str, part: nn.Module, output: Any, turn: int) -> None:
        if len(self._made) >= MOST_MADE or not any(p.requires_grad for p in part.parameters()):
            return
        # the storage is held, not the tensor: as long as it is, no other tensor can come to lie at the same place
        self._made += [(turn, self._passes, tensor.untyped_storage(), net, name) for tensor in _with_memory(output)]

    def names(self, nets: Iterable[Net]) -> list[str]:
        """Parts before a cut that an optimizer holds and that never got a gradient; the outermost of them."""
        found: list[str] = []
        judged = {net: net.kind for net in nets}
        for net, part in sorted(self.found, key=lambda pair: pair[1].count(".") + bool(pair[1])):
            inside = [name for name in net.names if not part or name.startswith(f"{part}.")]
            name = judged.get(net, "") + (f".{part}" if part else "")
            dead = inside and set(inside) <= (net.unfed or set()) and set(inside) <= net.covered
            if net in judged and dead and not any(name.startswith(f"{outer}.") for outer in found):
                found.append(name)
        return found


def _with_memory(tree: Any) -> list[Tensor]:
    found = [plain(tensor) for tensor in float_tensors(tree) if tensor.layout is torch.strided]
    return [tensor for tensor in found if tensor is not None and tensor.numel()]


def _place(storage: torch.UntypedStorage) -> int:
    return storage.data_ptr()
