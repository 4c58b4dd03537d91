"""``python -m tests.bench.cases``: every small program of ``tests/diagnosis/test_kinds.py``, what is said of it and what is true.

``--check``: what ``kit.check`` says of its model, loss, first batch and optimizers before the run.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable

import pandas as pd
import pytest
import torch

import kit
from kit.diagnosis import Diagnosis
from tests.diagnosis import test_kinds
from tests.diagnosis.test_kinds import FAULTS, HEALTHY, ROWS, data

WANTED: dict[Callable[[], dict], str] = {**FAULTS, **dict.fromkeys(HEALTHY, "healthy")}

# what is wrong with these begins later than the first batch, or lies around the step
CHECKED_ONLY_IN_A_RUN = frozenset(
    ("gate_of_a_counter", "one_of_two_cleared", "rate_that_vanishes", "slow_average", "batches_of_a_generator")
)


def checked(program: Callable[[], dict]) -> Diagnosis | None:
    """``kit.check`` of the parts that a program hands to its loop; None for one with a loop of its own."""
    found: list[Diagnosis] = []

    def loop(model, loss, *, optimizers=None, **_):
        rows = [part[:ROWS] for part in data()]
        steppers = optimizers or [torch.optim.Adam(model.parameters(), 0.01)]
        found.append(kit.check(model, _itself, rows, steppers, predict=lambda net, batch: (loss(net, batch), None)))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_kinds, "loop", loop)
        program()
    return found[0] if found else None


def _itself(total, _):
    return total


def watched(program: Callable[[], dict]) -> Diagnosis:
    with kit.watch() as run:
        shown = program()
    run.log(**shown)
    return kit.diagnose(run.trace)


def table(
    programs: Iterable[Callable[[], dict]] = tuple(WANTED), diagnosed: Callable[..., Diagnosis | None] = watched
) -> pd.DataFrame:
    """One row a program: verdict, cause, probability, where the signal ends, what is true, whether it was named."""
    rows = []
    for program in programs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own warning of a target of another size
            found = diagnosed(program)
        if found is None:
            continue
        said = found.verdict if found.top is None else found.top.key
        rows.append(
            {
                "program": program.__name__,
                "verdict": found.verdict,
                "said": said,
                "posterior": "" if found.top is None else found.top.percent,
                "ends": "; ".join(f"{link.name} {link.state}" for link in found.chain.broken),
                "true": WANTED[program],
                "right": said == WANTED[program],
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name != "--check"]
    chosen = [program for program in WANTED if not names or program.__name__ in names]
    made = table(chosen, checked if "--check" in sys.argv else watched)
    print(made.to_string(index=False))
    print(f"{made['right'].sum()} of {len(made)} right")
