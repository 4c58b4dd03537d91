"""Work in other processes, of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

K = TypeVar("K")
T = TypeVar("T")
_MOST = 4  # each holds the libraries in memory


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WhenAsked(Mapping[str, T]):
    """Values that are called for when somebody asks for them."""

    def __init__(self, calls: Mapping[str, Callable[[], T]]) -> None:
        self._calls = calls

    def __getitem__(self, name: str) -> T:
        return self._calls[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._calls

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


@contextmanager
def elsewhere(calls: Mapping[K, Callable[[], T]], processes: int) -> Iterator[Mapping[K, Callable[[], T]]]:
    """The calls, each begun in one of so many other processes, in this order: what stands for it here waits for what it returns.

    With one process nothing is begun, and there is nothing to wait for. On the way out what has not begun is dropped and what runs is
    ended: nothing is left behind, also after an interrupt.

    Args:
        calls: they and what they return can be pickled.
        processes: of which more than a few find nothing to do.
    """
    if processes == 1:
        yield {}
        return
    # a fresh interpreter per process: a fork of a process that has used torch's threads may hang
    pool = ProcessPoolExecutor(min(processes, _MOST), multiprocessing.get_context("spawn"), _begin)
    before = multiprocessing.active_children()
    try:
        yield {name: pool.submit(call).result for name, call in calls.items()}
    finally:
        for process in multiprocessing.active_children():
            if process not in before:
                process.terminate()
        pool.shutdown(cancel_futures=True)  # waits for the pool's thread, which joins the processes as well


def _begin() -> None:
    """One thread; an interrupt ends the process without a word, and so does the end of the process that asked."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # it is a child
    parent.join()
    os._exit(1)
