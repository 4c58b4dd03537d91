"""Numbers as CSV (RFC 4180), the same as the page offers them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

WHOLE = "whole network"


def csv_text(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """Header and rows; an empty cell where there is no number."""
    return "".join(",".join(_field(cell) for cell in row) + "\r\n" for row in [columns, *rows])


def _field(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return repr(cell)
    text = str(cell)
    if text.startswith(("\t", "\r")) or unicodedata.normalize("NFKC", text.lstrip()[:1]) in ("=", "+", "-", "@"):
        text = "'" + text  # a spreadsheet would run it as a formula
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def panel_table(record: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """(columns, rows) of a panel's record: every probed state, whole network and layer groups, one row a term.

    With the G columns of a row every setting of the sliders can be computed again. None: not finite, or (for the value
    of a term in one layer group) not defined.
    """
    data, names = record["data"], list(record["data"]["names"])
    columns = ["state", "group", "term", "weight name", "weight as probed", "weight as set", "value"]
    columns += [f"G with {name}" for name in names]
    rows = []
    for case in data["cases"]:
        shown = case["title"] == record["case"]
        matrices = [(WHOLE, case["G"]), *zip(case["groups"], case["G_groups"], strict=True)]
        for place, (group, G) in enumerate(matrices):
            for i, name in enumerate(names):
                weight_name, probed = data["weight_names"][i], case["weights"][i]
                own = data["adjustable"][i] and weight_name in record["weights"]
                set_to = (record["weights"][weight_name] if own else probed) if shown else None
                value = case["L"][i] if place == 0 else None
                rows.append([case["title"], group, name, weight_name, probed, set_to, value, *G[i]])
    return columns, rows


def figure_table(numbers: Mapping[str, Sequence[Any]]) -> tuple[list[str], list[list[Any]]]:
    """(columns, rows) of what a figure draws."""
    return list(numbers), [list(row) for row in zip(*numbers.values(), strict=True)]
