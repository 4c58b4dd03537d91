"""A preset: one named setting of the weights, offered as a button under the hypothesis it speaks to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One setting to try with a click.

    key:        short name for code, unique in a panel
    title:      text of the button
    weights:    weight name -> value (finite, >= 0); weights left out take their probed value
    hypothesis: heading the button stands under; empty: "Settings to try"
    case:       title of the probed state it belongs to; None: the state shown
    what:       one sentence that says what to look for
    """

    key: str
    title: str
    weights: Mapping[str, float] = field(default_factory=dict)
    hypothesis: str = ""
    case: str | None = None
    what: str = ""

    def __post_init__(self) -> None:
        for name in ("key", "title"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{name} of a preset should be a text that is not empty. Found {name} = {value!r}.")
        for name, value in self.weights.items():
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"weights of preset {self.key!r} should be finite and >= 0. Found {name} = {value!r}.")


def check_presets(
    presets: Sequence[Preset], weight_names: Sequence[str], adjustable: Sequence[bool], cases: Sequence[str]
) -> None:
    """Known weights that can be set, a known case, keys that differ: ValueError otherwise."""
    seen: set[str] = set()
    free = [name for name, can in zip(weight_names, adjustable, strict=True) if can]
    for preset in presets:
        if preset.key in seen:
            raise ValueError(f"keys of presets should differ. Found {preset.key!r} twice.")
        seen.add(preset.key)
        for name in preset.weights:
            if name not in free:
                fixed = " (a negative or fixed weight: shown, not adjustable)" if name and name in weight_names else ""
                raise ValueError(
                    f"weights of preset {preset.key!r} should be adjustable weights. Found {name!r}{fixed}; "
                    f"known are {', '.join(free)}."
                )
        if preset.case is not None and preset.case not in cases:
            raise ValueError(
                f"case of preset {preset.key!r} should be a probed state. Found {preset.case!r}; "
                f"known are {', '.join(cases)}."
            )


def presets_of(step: Any) -> list[Preset]:
    """One preset per result of a `kit.hypotheses.OneStep`, under the title of its hypothesis."""
    return [
        Preset(result.key, result.title, result.weights, result.hypothesis.title, result.case, result.what)
        for result in step.results
        if result.hypothesis is not None
    ]
