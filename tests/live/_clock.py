"""Time for a training on an event loop, without waiting: it passes where somebody looks, and where the loop would sleep."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOK = 0.001  # seconds that pass at every look of the training
TURN = 0.0001  # and in every turn of the loop
NEVER = 100.0  # seconds of this clock, more than any test lets pass


class Clock:
    """What `Training.clock` is here: each look is a millisecond later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += LOOK
        return self.now


class _Jump(selectors.SelectSelector):
    """Where a loop would sleep until its next timer, the clock jumps there."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        assert ready or timeout is not None, "the loop waits for nothing that could come"
        self.clock.now += TURN if ready else max(TURN, timeout or 0.0)
        return ready


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        super().__init__(_Jump(clock))
        self.clock = clock

    def time(self) -> float:
        return self.clock.now


def lived(life: Coroutine[Any, Any, T], clock: Clock) -> T:
    """`asyncio.run` on a loop that lives by this clock."""
    with asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
        return runner.run(life)


async def until(true: Callable[[], bool], clock: Clock) -> None:
    """Waits until it is true; a slow machine has as many batches as a fast one to make it so."""
    end = clock.now + NEVER
    while not true():
        assert clock.now < end, "it never came"
        await asyncio.sleep(LOOK)
