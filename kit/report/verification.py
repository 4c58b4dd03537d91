"""Is a page as it was written? And its numbers, out of it again."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.files import check_origin, parsed_record, write_atomically
from kit.report.answer import Answer
from kit.report.csvs import csv_text, figure_table, panel_table
from kit.report.data import FORMAT, NO_DIGEST, VERSION, WORDS, digest
from kit.report.finding import Finding
from kit.report.page import PageEntry

_DATA = re.compile(r'<script type="application/json" id="kit-data">([^<]*)</script>')
_STATED = re.compile(r'<code id="kit-data-sha256">([0-9a-f]{64})</code>')
_PAGE = re.compile(r'<meta name="kit-page-sha256" content="([0-9a-f]{64})">')
_PICTURE = re.compile(
    r'<img class="kit-picture" id="picture-(\d+)"[^<>]* src="data:image/png;base64,([A-Za-z0-9+/=]+)">'
)


class PageError(ValueError):
    """The page is not one of the kit, or not as the kit wrote it."""


@dataclass(frozen=True)
class Verified:
    """A page that is as it was written.

    Attributes:
        path: the page.
        title: its heading.
        sha256: of its data, as shown at the foot of the page.
        shown: the findings with their names and notes, as records; ``findings`` makes them live again.
        tables: file name -> text: answers and the numbers of figures, tables and panels as CSV, panels also as JSON.
    """

    path: Path
    title: str
    sha256: str
    shown: Sequence[Mapping[str, Any]] = field(repr=False)
    tables: Mapping[str, str] = field(repr=False)

    @property
    def findings(self) -> list[PageEntry]:
        return [
            PageEntry(Finding.from_record(item["finding"]), **{word: item[word] for word in WORDS})
            for item in self.shown
        ]

    def extract(self, folder: str | os.PathLike) -> list[Path]:
        """Write ``tables`` into a folder, each file whole or not at all."""
        return [write_atomically(Path(folder) / name, text) for name, text in self.tables.items()]

    def __str__(self) -> str:
        count = len(self.shown)
        return (
            f"{self.path.as_posix()}: as it was written, {count} finding{'' if count == 1 else 's'}\n"
            f"sha256 of its data: {self.sha256}"
        )


def verify(path: str | os.PathLike) -> Verified:
    """Check a page against the digests it carries, and read its numbers again.

    The digests find damage and edits; they are no signature: who writes another page writes other digests too. Compare
    the sha256 with the one the sender tells you.

    Raises:
        PageError: not a page of the kit, one of a newer kit, or one that was changed. OSError: it cannot be read.
    """
    path = Path(path)
    name = path.name
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PageError(f"{name} should be a page of the kit, in UTF-8. Found other bytes ({error.reason}).") from error
    found, stated, whole = _DATA.findall(text), _STATED.findall(text), _PAGE.findall(text)
    if not (len(found) == len(stated) == len(whole) == 1):
        raise PageError(
            f"{name} should be a complete page of the kit, with one record and its digests. Found {len(found)} records and "
            f"{len(stated) + len(whole)} digests; a page of an older kit, another program, or a part of the file."
        )
    if (sha256 := digest(found[0])) != stated[0]:
        raise PageError(
            f"{name} should hold data with the sha256 that it states, {stated[0]}. Found {sha256}: the data were changed "
            "after the page was written; ask for the page again."
        )
    if digest(text.replace(f'content="{whole[0]}"', f'content="{NO_DIGEST}"', 1)) != whole[0]:
        raise PageError(
            f"{name} should be byte for byte as it was written. Found its data unchanged, but other words, pictures or "
            "scripts around them (saving it again from a browser or an editor does this too); ask for the page again."
        )
    data = _record(found[0], name)
    try:
        compared, shown = _complete(data, dict(_PICTURE.findall(text)))
        return Verified(path, data["title"], sha256, shown, _tables(shown, compared))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise PageError(f"{name} should hold every part of its findings. Found {error!r}.") from error


def _record(text: str, name: str) -> dict[str, Any]:
    try:
        data = parsed_record(text.encode(), name)
        check_origin(data, FORMAT, VERSION, name)
    except ValueError as error:
        raise PageError(str(error)) from error
    return data


def _complete(
    data: Mapping[str, Any], pictures: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is compared, and the findings, with the pictures and the panels' data back in their places."""
    place = 0

    def whole(pieces: Sequence[Mapping[str, Any]]) -> list[Any]:
        nonlocal place
        found = []
        for piece in pieces:
            if piece["kind"] == "panel":
                piece = {**piece, "data": data["datasets"][piece["data"]]}
            elif piece["kind"] == "figure":
                place += 1
                png = pictures[str(place)]
                if digest(base64.b64decode(png)) != piece["sha256"]:
                    raise ValueError(f"figure {place} is not the one of the record")
                piece = {**piece, "png": png}
            found.append(piece)
        return found

    compared = data["compared"] or []  # a page of version 0.1 of the kit holds one table, or null
    compared = whole([compared] if isinstance(compared, dict) else compared)
    shown = [
        {**item, "finding": {**item["finding"], "evidence": whole(item["finding"]["evidence"])}}
        for item in data["findings"]
    ]
    return compared, shown


def _tables(shown: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Numbered as on the page."""
    tables: dict[str, str] = {}
    answers = [item["finding"].get("summary") for item in shown]
    for place, answer in enumerate((answer for answer in answers if answer is not None), 1):
        tables[f"answer-{place}.csv"] = csv_text(["part", "text"], Answer.from_record(answer).rows)
    counts = {"figure": 0, "table": 0, "panel": 0, "setting": 0, "text": 0}
    pieces = [*compared]
    pieces += [piece for item in shown for piece in item["finding"]["evidence"]]
    for piece in pieces:
        kind = piece["kind"]
        counts[kind] += 1
        name = f"{kind}-{counts[kind]}"
        if kind == "figure" and piece["numbers"]:
            tables[f"{name}.csv"] = csv_text(*figure_table(_plain(piece["numbers"])))
        elif kind == "table":
            tables[f"{name}.csv"] = csv_text(*_frame_table(piece["frame"]))
        elif kind == "panel":
            tables[f"{name}.csv"] = csv_text(*panel_table(piece))
            tables[f"{name}.json"] = json.dumps(piece, indent=1, allow_nan=False)
    return tables


def _plain(numbers: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [_cell(value) for value in values] for name, values in numbers.items()}


def _frame_table(frame: Mapping[str, Any]) -> tuple[list[Any], list[list[Any]]]:
    """As on the page: the index is the first columns if it has a name."""
    columns, rows = [_cell(name) for name in frame["columns"]], [[_cell(v) for v in row] for row in frame["data"]]
    names = frame["index_names"]
    if frame["index"] is None or any(name is None for name in names):
        return columns, rows
    keys = [_cell(key) for key in frame["index"]]
    keyed = [[*(key if isinstance(key, list) else [key]), *row] for key, row in zip(keys, rows, strict=True)]
    return [*map(_cell, names), *columns], keyed


def _cell(value: Any) -> Any:
    """A tagged value of the record as a cell."""
    if isinstance(value, dict):
        return float(value["float"]) if "float" in value else [_cell(part) for part in value["tuple"]]
    return value
