"""What a run that goes on is judged by: only what a fact establishes, and what cannot still come."""

from __future__ import annotations

from dataclasses import replace

from kit.diagnosis.judging import diagnose
from kit.diagnosis.result import Diagnosis
from kit.recording import Trace
from kit.recording.on_finding import judged_by

# what may only not have come yet: a step after many batches, an evaluation, a display
_NEEDS_EPOCHS = frozenset(
    ("steps_skipped", "loss_outside_loop", "no_batches", "stale_validation", "wrong_number", "constant_by_design")
)
_EPOCHS = 2


@judged_by
def broken(trace: Trace, ended: bool) -> Diagnosis | None:
    """The diagnosis, if a fact establishes that a link is broken; None else."""
    found = diagnose(trace)
    top = found.top
    if top is None or not top.decided or found.verdict == "not_a_fault":
        return None
    if not ended and top.key in _NEEDS_EPOCHS and len(trace.epochs) <= _EPOCHS:
        return None
    return replace(found, lacks=())  # what was displayed is logged later, mostly
