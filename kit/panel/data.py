"""Probe reports -> the one JSON object that the panel reads, in a notebook and in an exported page alike.

All it holds is L, G (whole network and per layer group) and the probed weights: total = lam . L and
|g| = sqrt(lam' G lam) answer every slider setting from these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol, cast

import numpy as np

from kit import whatif
from kit.files import readable
from kit.panel.balanced import balanced_settings
from kit.panel.presets import Preset, check_presets
from kit.panel.run_cases import WatchedRun, cases_of_run
from kit.whatif import Probed, Weights

FORMAT = "kit.panel"
VERSION = 1
_NEEDED = (
    "names",
    "weight_names",
    "adjustable",
    "weights",
    "L",
    "G",
    "groups",
    "G_groups",
    "n_parameters",
    "residual",
    "total",
    "grad_norm",
    "notes",
)


class ShownProbe(Probed, Protocol):
    """A probe with what a panel says of it beside the algebra."""

    @property
    def n_parameters(self) -> np.ndarray: ...
    @property
    def total(self) -> float: ...
    @property
    def grad_norm(self) -> float: ...
    @property
    def residual(self) -> float: ...
    @property
    def notes(self) -> Sequence[str]: ...


Probes = ShownProbe | Mapping[str, ShownProbe] | WatchedRun


def as_cases(reports: Probes) -> dict[str, ShownProbe]:
    """Title -> report. One report becomes the single case "as probed", a trace its probed steps. ValueError or TypeError for anything
    else."""
    if not isinstance(reports, Mapping) and hasattr(reports, "probes"):
        reports = cases_of_run(cast(WatchedRun, reports))
    cases = dict(reports) if isinstance(reports, Mapping) else {"as probed": reports}
    cases = {readable(title) if isinstance(title, str) else title: report for title, report in cases.items()}
    if not cases:
        raise ValueError("reports should hold at least one ProbeReport. Found an empty mapping.")
    for title, report in cases.items():
        if not isinstance(title, str) or not title.strip():
            raise ValueError(f"titles of reports should be texts that are not empty. Found {title!r}.")
        if not all(hasattr(report, name) for name in _NEEDED):
            found = f"a mapping with {type(report).__name__} for {title!r}" if isinstance(reports, Mapping) else ""
            raise TypeError(
                "reports should be a ProbeReport or a mapping title -> ProbeReport. Found "
                f"{found or type(report).__name__}. Call kit.probe first: kit.Panel(kit.probe(model, loss, batch))."
            )
    first_title, first = next(iter(cases.items()))
    for title, report in cases.items():
        for name in ("names", "weight_names", "adjustable"):
            here, there = list(getattr(report, name)), list(getattr(first, name))
            if here != there:
                raise ValueError(
                    f"{name} should be the same in all reports. Found {there} in {first_title!r} "
                    f"and {here} in {title!r}; show them in two panels."
                )
        _check_shapes(title, report)
    free = [name for name, can in zip(first.weight_names, first.adjustable, strict=True) if can]
    if len(set(free)) != len(free):
        raise ValueError(f"weight_names should differ. Found {free}.")
    return cases


def _check_shapes(title: str, report: ShownProbe) -> None:
    m, n = len(report.names), len(report.groups)
    expected = {
        "L": (m,),
        "weights": (m,),
        "adjustable": (m,),
        "G": (m, m),
        "G_groups": (n, m, m),
        "n_parameters": (n,),
    }
    for name, shape in expected.items():
        found = np.shape(getattr(report, name))
        if found != shape:
            raise ValueError(f"{name} should have shape {shape} in report {title!r}. Found {found}.")


def _number(x: float) -> float | None:
    x = float(x)
    return x if math.isfinite(x) else None


def _numbers(values: np.ndarray) -> list:
    """Nested list of an array; null where not finite."""
    values = np.asarray(values, dtype=np.float64)
    return [_number(x) for x in values] if values.ndim == 1 else [_numbers(row) for row in values]


def _round_up(x: float) -> float:
    """Smallest of 1, 2, 5 times a power of ten that is >= x; x > 0."""
    power = 10.0 ** math.floor(math.log10(x))
    return next(float(f"{step * power:.1g}") for step in (1, 2, 5, 10) if step * power >= x * (1 - 1e-12))


def slider_end(reports: Mapping[str, Any], presets: Sequence[Preset], upper: float) -> float:
    """Right end of every slider: `upper`, or more where a probed or a preset weight would not fit."""
    if not math.isfinite(upper) or upper <= 0:
        raise ValueError(f"upper should be finite and > 0. Found upper = {upper!r}.")
    asked = [float(w) for r in reports.values() for w, can in zip(r.weights, r.adjustable, strict=True) if can]
    asked += [float(w) for preset in presets for w in preset.weights.values()]
    largest = max(asked, default=0.0)
    return float(upper) if largest <= upper else _round_up(largest)


def negative_weights(cases: Mapping[str, ShownProbe]) -> list[bool]:
    """[m] True: the term has a weight of its own that was probed below 0 in some case. Such a weight (a bonus) counts
    with its probed value and has no slider: the what-if algebra takes given weights >= 0 only.

    Raises ValueError for a probed weight that is not finite.
    """
    for title, report in cases.items():
        for name, weight in zip(report.weight_names, report.weights, strict=True):
            if not math.isfinite(weight):
                raise ValueError(f"{name} should be finite. Found {name} = {weight} in report {title!r}.")
    first = next(iter(cases.values()))
    lowest = np.min([np.asarray(report.weights, dtype=np.float64) for report in cases.values()], axis=0)
    return [bool(can and low < 0) for can, low in zip(first.adjustable, lowest, strict=True)]


def as_set(report: Probed, weights: Weights = None, adjustable: Sequence[bool] | None = None) -> Probed:
    """The report as `kit.whatif` reads it, with this setting or these adjustable weights in place of its own.

    `kit.whatif` refuses a negative weight that is given, not one that was probed: so a setting is given as probed.
    """
    fields = {name: getattr(report, name) for name in ("names", "weight_names", "L", "G", "groups", "G_groups")}
    own = report.adjustable if adjustable is None else adjustable
    return cast(Probed, SimpleNamespace(weights=whatif.settle(report, weights), adjustable=own, **fields))


def _case(index: int, title: str, report: ShownProbe, upper: float, adjustable: Sequence[bool]) -> dict[str, Any]:
    box = as_set(report, adjustable=adjustable)
    return {
        "key": f"case-{index}",
        "title": title,
        "note": " ".join(report.notes),
        "weights": _numbers(report.weights),
        "L": _numbers(report.L),
        "G": _numbers(report.G),
        "groups": list(report.groups),
        "G_groups": _numbers(report.G_groups),
        "n_parameters": [int(count) for count in report.n_parameters],
        "residual": _number(report.residual),
        "total": _number(report.total),
        "grad_norm": _number(report.grad_norm),
        "axes": {
            "total": _number(whatif.max_total(box, upper)),
            "gradient": _number(whatif.max_grad_norm(box, upper)),
            "gradient_groups": [_number(whatif.max_grad_norm(box, upper, group)) for group in report.groups],
        },
    }


def panel_data(
    reports: Probes, presets: Sequence[Preset] = (), upper: float = 2.0, *, balanced: bool = True
) -> dict[str, Any]:
    """The panel's data, ready for `json.dumps`: names, cases with L and G, presets. null = not finite.

    reports: a ProbeReport, a mapping title -> ProbeReport with the same terms, or a Trace with probed steps; presets: settings to offer;
    upper: right end of the sliders (raised where a probed or preset weight is larger); balanced: with the settings of
    `balanced_settings` in every case.

    A weight probed below 0 is shown with its probed value and is not adjustable, see `negative_weights`.

    Raises ValueError for reports that do not belong together, weights that are not finite, presets with unknown weights or cases, a bad `upper`;
    TypeError for something that is not a report.
    """
    cases = as_cases(reports)
    first = next(iter(cases.values()))
    negative = negative_weights(cases)
    adjustable = [bool(can) and not below for can, below in zip(first.adjustable, negative, strict=True)]
    titles = list(cases)
    check_presets(presets, first.weight_names, adjustable, titles)
    end = slider_end(cases, presets, upper)
    shown = [_case(i, title, report, end, adjustable) for i, (title, report) in enumerate(cases.items())]
    if balanced:
        for case, report in zip(shown, cases.values(), strict=True):
            case["balanced"] = balanced_settings(as_set(report, adjustable=adjustable), end)
    return {
        "format": FORMAT,
        "version": VERSION,
        "names": list(first.names),
        "weight_names": list(first.weight_names),
        "adjustable": adjustable,
        "negative": negative,
        "upper": end,
        "cases": shown,
        "presets": [
            {
                "key": preset.key,
                "title": preset.title,
                "hypothesis": preset.hypothesis,
                "what": preset.what,
                "case": None if preset.case is None else titles.index(preset.case),
                "weights": {name: float(value) for name, value in preset.weights.items()},
            }
            for preset in presets
        ],
    }
