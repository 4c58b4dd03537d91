"""Other people's loops, healthy and with faults, under the settings of the bench."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

from kit.hypotheses.likelihoods import NONE
from kit.recording import Trace, watch
from tests.bench.programs import PROGRAMS, Program, Setting
from tests.bench.trial import Split, Trial

_SETTINGS: tuple[tuple[str, Setting, Split], ...] = (
    ("width 16, batch 8", Setting(width=16, batch=8), "calibration"),
    ("width 12, batch 6, lr x 2", Setting(width=12, batch=6, lr=2.0, epochs=5), "calibration"),
    ("width 24, batch 10", Setting(width=24, batch=10, epochs=5), "evaluation"),
    ("width 8, batch 7, lr x 0.7", Setting(width=8, batch=7, lr=0.7, epochs=6), "evaluation"),
)
_SEEDS: dict[Split, tuple[int, ...]] = {"calibration": (0, 1, 2), "evaluation": (10, 11)}


def foreign_loop_trials() -> Iterator[Trial]:
    for name, setting, split in _SETTINGS:
        for seed in _SEEDS[split]:
            for program in PROGRAMS:
                chosen = Setting(seed, setting.width, setting.batch, setting.lr, setting.epochs)
                truth = program.fault or NONE
                yield Trial(program.style, program.variant, truth, name, seed, split, partial(record, program, chosen))


def record(program: Program, setting: Setting) -> Trace:
    """Run one program under observation, as its author would."""
    case = program.build(setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what another's loop warns of is theirs
        with watch(case.model, loss=case.loss, weights=case.weights) as run:
            shown = case.fit()
    run.log(**shown)
    return run.trace
