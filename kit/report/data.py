"""The record inside a page: all findings as data, once, with a digest that says whether anybody changed them.

Panels that show the same probed states share one entry of `datasets`. Pictures stand in the page itself; the record
holds their sha256.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from kit.files import encoded
from kit.panel import script_json
from kit.report.pieces import evidence_record

FORMAT, VERSION = "kit.page", 1
NO_DIGEST = "0" * 64
WORDS = ("name", "note", "kept", "diagnosis")


def page_data(entries: Sequence[Any], title: str, compared: Sequence[Any] = ()) -> dict[str, Any]:
    """The record of a page, ready for ``data_text``; ``compared``: what stands above two findings side by side."""
    datasets: dict[str, int] = {}
    findings = []
    for item in entries:
        record = item.finding.to_record()
        record["evidence"] = [_lean(piece, datasets) for piece in record["evidence"]]
        findings.append({**{word: getattr(item, word) for word in WORDS}, "finding": record})
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "datasets": [json.loads(text) for text in datasets],
        "compared": [_lean(evidence_record(piece), datasets) for piece in compared],
        "findings": findings,
    }


def _lean(piece: dict[str, Any], datasets: dict[str, int]) -> dict[str, Any]:
    if piece["kind"] == "figure":
        png = base64.b64decode(piece["png"])
        return {**{key: value for key, value in piece.items() if key != "png"}, "sha256": digest(png)}
    if piece["kind"] == "panel":
        place = datasets.setdefault(json.dumps(piece["data"]), len(datasets))
        return {**piece, "data": place}
    return piece


def data_text(data: dict[str, Any]) -> str:
    """What stands in the page's script element: ASCII without `<`, so its digest is the same however the page is read."""
    return script_json(data)


def digest(content: str | bytes) -> str:
    """sha256 as 64 hex digits."""
    return hashlib.sha256(encoded(content) if isinstance(content, str) else content).hexdigest()


def policy_hash(text: str) -> str:
    """The source expression of a content security policy that allows exactly this inline script or style."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(encoded(text)).digest()).decode("ascii") + "'"
