"""The probed steps of a watched run -> the cases of a panel, all with the same terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class WatchedRun(Protocol):
    """A `kit.Trace`, as far as a panel reads it."""

    @property
    def probes(self) -> Mapping[int, Any]: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...


def cases_of_run(run: WatchedRun) -> dict[str, Any]:
    """Title -> report, "step 1", "step 51", ... A term that a step has not counts there with the weight 0, its value unknown.

    Raises ValueError for a run without probed steps.
    """
    probes = dict(run.probes)
    if not probes:
        why = [note for note in run.facts.get("not_seen", ()) if " not probed: " in note]
        raise ValueError(
            "reports should be a trace with probed steps. Found a trace without one"
            + (f": {' '.join(why)}" if why else "; watch the run with kit.watch(..., probe_every=50).")
        )
    terms: dict[str, tuple[str, bool]] = {}
    for report in probes.values():
        for name, weight, can in zip(report.names, report.weight_names, report.adjustable, strict=True):
            taken = {other for other, _ in terms.values()}
            terms.setdefault(name, (weight if weight not in taken else name, bool(can)))
    return {f"step {step}": _with(terms, probes[step]) for step in sorted(probes)}


def _with(terms: Mapping[str, tuple[str, bool]], report: Any) -> Any:
    """The report with all of these terms, in this order."""
    names = list(terms)
    at = [names.index(name) for name in report.names]
    m = len(names)
    absent = [name for name in names if name not in report.names]
    said = (f"Not in the sum of this step: {', '.join(absent)}.",) if absent else ()

    def spread(values: np.ndarray, empty: float) -> np.ndarray:
        """[..., terms of the report] -> [..., m]"""
        full = np.full((*values.shape[:-1], m), empty, dtype=values.dtype)
        full[..., at] = values
        return full

    def pairs(G: np.ndarray) -> np.ndarray:
        full = np.full((*G.shape[:-2], m, m), np.nan)
        full[..., np.array(at)[:, None], at] = G
        return full

    return dataclasses.replace(
        report,
        names=tuple(names),
        weight_names=tuple(weight for weight, _ in terms.values()),
        adjustable=np.array([can for _, can in terms.values()], bool),
        L=spread(report.L, np.nan),
        weights=spread(report.weights, 0.0),
        G=pairs(report.G),
        G_groups=pairs(report.G_groups),
        paths=spread(report.paths, False),
        nonfinite=spread(report.nonfinite, 0),
        notes=(*report.notes, *said),
    )
