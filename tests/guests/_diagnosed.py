"""What every guest test does with a trainer: run it watched, hand over what it displayed, ask for the cause."""

from __future__ import annotations

from collections.abc import Callable

import kit
from kit.diagnosis import Diagnosis


def diagnosed(train: Callable[[], object], model=None, shown: Callable[[], dict] = dict, **asked) -> Diagnosis:
    """`shown`: lists of what the program displayed, for ``run.log``; asked for after the run."""
    with kit.watch(model, **asked) as run:
        train()
    numbers = {name: values for name, values in shown().items() if values}
    if numbers:
        run.log(**numbers)
    return kit.diagnose(run.trace)


def cause(diagnosis: Diagnosis) -> str:
    """The verdict where there is no fault, else the first cause: one word to compare, with the reasons on failure."""
    print(diagnosis.explain())  # pytest shows it if the comparison fails
    return diagnosis.verdict if diagnosis.top is None else diagnosis.top.key
