"""The colours of the product, with dashes and markers: one table for matplotlib and for the page."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def palette_text() -> str:
    """The JSON text itself, for the front end."""
    return resources.files(__package__).joinpath("palette.json").read_text(encoding="utf-8")


def palette() -> dict[str, Any]:
    """``roles`` (train, validation, batch), ``terms`` (in the order of the terms), ``dashes``, ``markers``, and single hues."""
    return json.loads(palette_text())


def look(number: int) -> dict[str, Any]:
    """Colour, dash and marker of series `number`, counted from 0; no two of the first 56 share colour and dash."""
    shared = palette()
    colours, dashes, markers = (shared[name] for name in ("terms", "dashes", "markers"))
    return _look(colours[number % len(colours)], dashes[number % len(dashes)], markers[number % len(markers)])


def role(name: str) -> dict[str, Any]:
    """The look of "train", "validation" or "batch" (each batch: thin, without markers), the same in every chart."""
    shared = palette()
    roles = list(shared["roles"])
    if name not in roles:
        raise ValueError(f"name should be one of {', '.join(roles)}. Found {name!r}.")
    place = roles.index(name)
    if name == "batch":
        return {**_look(shared["roles"][name], [], None), "linewidth": 1.0}
    return _look(shared["roles"][name], shared["dashes"][place], shared["markers"][place])


def _look(colour: str, dash: list[int], marker: str | None) -> dict[str, Any]:
    return {"color": colour, "linestyle": (0, tuple(dash)) if dash else "-", "marker": marker}
