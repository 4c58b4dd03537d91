"""Is this forward pass training, evaluation, or something beside the training? And where does an epoch end?

Training    grad enabled and module in training mode; also a pass in eval mode (frozen batch norm, an attack) whose output is
            differentiated later, and a pass under no_grad in training mode if nothing else can be what the next backward
            pass is about (a cut graph)
Evaluation  any other pass of the network that is trained, or of a copy of it, between two turns; it ends the epoch
Beside      a teacher, a target network, a generator under no_grad for the discriminator: its inputs or outputs are part of
            the training step, or it stands between a forward pass and its backward pass
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kit.recording.history import Turn
from kit.recording.listeners import Call
from kit.recording.nested import tensors_in
from kit.recording.networks import Net

MOST_UNDECIDED = 256
RECENT = 4


@dataclass(eq=False, slots=True, weakref_slot=True)
class Forward:
    """One outermost call of a network. `phase`: train, eval, or maybe (decided by what follows)."""

    net: Net
    phase: str
    training: bool
    turn: Turn | None = None
    reached: bool = False
    place: int = 0
    batch: float = float("nan")
    losses: list[tuple[Any, float]] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)


def phase_of(call: Call) -> str:
    if call.grad and call.training:
        return "train"
    return "maybe" if call.grad or call.training else "eval"


class Block:
    """Passes that are not known to be training, since the last one that is. `within`: they began in an open turn."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.undecided: list[Forward] = []
        self.counts: dict[Net, int] = {}
        self.values: list[tuple[Net | None, Any]] = []
        self.within = False
        self.drift = float("nan")
        self._decided: dict[Net, set[bool]] = {}
        self._last_decided = -1
        self._recent: deque[tuple[Net, list[weakref.ref]]] = deque(maxlen=RECENT)

    def __bool__(self) -> bool:
        return any(self.counts.values())

    def add(self, forward: Forward, call: Call, within: bool) -> None:
        if not self:
            self.within = within
        forward.place = sum(self.counts.values())
        self.counts[forward.net] = self.counts.get(forward.net, 0) + 1
        if forward.phase == "maybe":
            self.undecided.append(forward)
        if forward.phase == "eval" or len(self.undecided) > MOST_UNDECIDED:
            self._decide(forward if forward.phase == "eval" else self.undecided.pop(0))
        self._recent.append((forward.net, [*_refs((call.args, call.kwargs)), *_refs(call.output)]))

    def _decide(self, forward: Forward) -> None:
        self._last_decided = forward.place
        self._decided.setdefault(forward.net, set()).add(forward.training)
        self.values.extend((forward.net, value) for value, _ in forward.losses)

    def take_out(self, forward: Forward) -> None:
        """It was training after all."""
        if forward in self.undecided:
            self.undecided.remove(forward)
            self.counts[forward.net] -= 1

    def last_undecided(self) -> list[Forward]:
        """Those in training mode after the last that was certainly none, all of the last one's network."""
        found: list[Forward] = []
        for forward in reversed(self.undecided):
            if (
                not forward.training
                or forward.place < self._last_decided
                or (found and forward.net is not found[0].net)
            ):
                break
            found.insert(0, forward)
        return found

    def modes(self) -> dict[Net, set[bool]]:
        """Networks that ran, and in which modes."""
        modes = {net: set(found) for net, found in self._decided.items()}
        for forward in self.undecided:
            modes.setdefault(forward.net, set()).add(forward.training)
        return {net: found for net, found in modes.items() if self.counts.get(net)}

    def losses_of(self, nets: Container[Net]) -> list[Any]:
        for forward in self.undecided:
            self.values.extend((forward.net, value) for value, _ in forward.losses)
            forward.losses = []
        return [value for net, value in self.values if net is None or net in nets]

    def feeding(self, call: Call) -> list[Net]:
        """Networks of the last passes that share an input with the training pass `call`, or made one for it."""
        read = {id(tensor) for tensor in tensors_in((call.args, call.kwargs))}
        return [net for net, refs in self._recent if any((t := ref()) is not None and id(t) in read for ref in refs)]

    def evaluated(self, own: Callable[[Net], bool], shapes: set[tuple], following: Net | None) -> list[Net]:
        """Networks whose passes are an evaluation. `shapes`: of each trained network; `following`: what trains next."""
        return [net for net, modes in self.modes().items() if self._evaluates(net, modes, own(net), shapes, following)]

    def _evaluates(self, net: Net, modes: set[bool], own: bool, shapes: set[tuple], following: Net | None) -> bool:
        if not own:
            before_training = not shapes
            copy = not self.within and not net.companion and net.shapes in shapes
            return False in modes and (before_training or copy)
        # under no_grad in training mode: somebody who forgot eval(), if the same network trains on
        forgot = not self.within and (following is None or bool(net.ids & following.ids))
        return False in modes or forgot


def _refs(tree: Any) -> Iterable[weakref.ref]:
    if isinstance(tree, Tensor):
        return [weakref.ref(tree)]
    return [weakref.ref(tensor) for tensor in tensors_in(tree)]
