"""Passes that are no training: what was evaluated, whether it moved since, and where that ends an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from kit.recording.epoch_ends import Block, Forward
from kit.recording.history import Book
from kit.recording.listeners import Call
from kit.recording.networks import Net
from kit.recording.parameter_change import Movement
from kit.recording.participants import Parts


class Evaluating:
    """The part of an observer that hears what stands between two turns."""

    parts: Parts
    book: Book
    block: Block
    movement: Movement
    given: nn.Module | None
    attempt: Callable[..., Any]

    def _other_forward(self, forward: Forward, call: Call) -> None:
        turn, net = self.book.turn, forward.net
        within = turn is not None and turn.open
        first = not self.block.counts.get(net)
        self.block.add(forward, call, within)
        if forward.phase == "eval" and first and not net.companion and (not within or self._own(net)):
            self._compare(net)
            self._note_drift()
            if self._own(net):
                moved = self.attempt(self.movement.drift, net)
                self.book.epoch.eval_own_drift = math.nan if moved is None else moved

    def _own(self, net: Net) -> bool:
        return bool(net.ids & self.parts.trained_ids()) or (self.given is not None and net.module is self.given)

    def _note_drift(self) -> None:
        """So far; a network may be gone when its last epoch ends."""
        drift = self.attempt(self.movement.drift)
        if drift is not None and not math.isnan(drift):
            self.book.epoch.drift = drift

    def _compare(self, net: Net) -> None:
        if net.trained and not net.tensors and not net.covered:
            return  # it ran in training as it is, frozen from the start: that it stands still says nothing
        moved = self.attempt(self.movement.evaluated, net)
        self.block.drift = _larger(self.block.drift, math.nan if moved is None else moved)

    def settle_block(self, following: Net | None, call: Call | None) -> bool:
        """Decide what the passes since the last training pass were. True if a new epoch begins here."""
        self._count(following, call)
        epoch = self.book.epoch
        if epoch.logged or (epoch.ended and (epoch.turns or self.book.has_turns_in(epoch))):
            self.end_epoch()
            return True
        epoch.ended = False  # what was evaluated before anything was trained ends nothing
        return False

    def _count(self, following: Net | None = None, call: Call | None = None) -> None:
        block, epoch = self.block, self.book.epoch
        if not block:
            return
        modes = block.modes()
        for net in [] if call is None else block.feeding(call):
            if self._own(net) and modes.get(net) == {False}:
                continue  # an evaluation may read the very tensor that is trained on: other rows of one graph
            beside = 1 if self._own(net) else block.counts[net]
            net.companion = not self._own(net)
            epoch.side_forwards += min(beside, block.counts[net])
            block.counts[net] -= min(beside, block.counts[net])
        nets = block.evaluated(self._own, self.parts.shapes(), following)
        for net in nets:
            epoch.eval_forwards += block.counts.pop(net)
        for net, count in block.counts.items():
            epoch.side_forwards += count
            net.companion = net.companion or (block.within and not self._own(net))
        if nets:
            undecided = {forward.net: None for forward in block.undecided if forward.net in nets}
            for value in block.losses_of(nets):
                epoch.evaluate(value)
            for net in undecided:  # the others were compared when they ran
                self._compare(net)
            epoch.eval_drift = _larger(epoch.eval_drift, block.drift)
            epoch.ended = True
        block.clear()

    def end_epoch(self) -> None:
        self._note_drift()
        self.book.new_epoch()
        self.movement.new_epoch()


def _larger(a: float, b: float) -> float:
    return b if math.isnan(a) else (a if math.isnan(b) else max(a, b))
