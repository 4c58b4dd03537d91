"""At which settings of its weights is a loss asked whether it is affine there? At those that the sliders offer.

each weight at 0, the others as probed        each weight alone, as probed and at the end        all at the end
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UPPER = 2.0  # end of the sliders
MANY = 16  # weights up to which each one is also tried alone

ZERO, ALONE, END, ALL = "{} = 0", "{} alone", f"{{}} alone at {UPPER:g}", f"all weights at {UPPER:g}"
_ANY = {ZERO: "any weight at 0", ALONE: "any weight alone", END: f"any weight alone at {UPPER:g}", ALL: ALL}


@dataclass(frozen=True)
class Setting:
    """One setting of all weights; `kind` with the weight's name is its text."""

    kind: str
    name: str
    weights: dict[str, float]

    def __str__(self) -> str:
        return self.kind.format(self.name)


def slider_settings(now: Mapping[str, float]) -> list[Setting]:
    """Settings that differ from `now` and from each other, at most 3 m + 1 for m weights (m + 1 for many)."""
    off = dict.fromkeys(now, 0.0)
    found = [Setting(ZERO, name, {**now, name: 0.0}) for name in now]
    if len(now) <= MANY:
        found += [Setting(ALONE, name, {**off, name: weight}) for name, weight in now.items() if weight]
        found += [Setting(END, name, {**off, name: UPPER}) for name in now]
    found.append(Setting(ALL, "", dict.fromkeys(now, UPPER)))
    tried, new = [dict(now)], []
    for setting in found:
        if setting.weights not in tried:
            tried.append(setting.weights)
            new.append(setting)
    return new


def listed(some: Sequence[Setting], offered: Sequence[Setting]) -> str:
    """The settings in words; all of a kind in one."""
    words = []
    for kind in dict.fromkeys(setting.kind for setting in some):
        own = [setting for setting in some if setting.kind == kind]
        every = len(own) > 2 and len(own) == sum(setting.kind == kind for setting in offered)
        words += [_ANY[kind]] if every else [str(setting) for setting in own]
    return ", ".join(words)
