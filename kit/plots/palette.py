"""The colours of the product, one list for matplotlib and for the page."""

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
    """``okabe_ito`` (name -> hex), ``terms`` (hexes in the order of the terms), ``agree``, ``conflict``, ``total``."""
    return json.loads(palette_text())
