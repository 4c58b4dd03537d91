"""``python -m tests.bench.cases``: every small program of ``tests/diagnosis/test_kinds.py``, what is said of it and what is true."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable

import pandas as pd

import kit
from tests.diagnosis.test_kinds import FAULTS, HEALTHY

WANTED: dict[Callable[[], dict], str] = {**FAULTS, **dict.fromkeys(HEALTHY, "healthy")}


def table(programs: Iterable[Callable[[], dict]] = tuple(WANTED)) -> pd.DataFrame:
    """One row a program: verdict, cause, probability, where the signal ends, what is true, whether it was named."""
    rows = []
    for program in programs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own warning of a target of another size
            with kit.watch() as run:
                shown = program()
        run.log(**shown)
        found = kit.diagnose(run.trace)
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
    made = table(program for program in WANTED if not sys.argv[1:] or program.__name__ in sys.argv[1:])
    print(made.to_string(index=False))
    print(f"{made['right'].sum()} of {len(made)} right")
