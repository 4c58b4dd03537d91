"""A diagnosis as plain values, ready for JSON; ``diagnosis.schema.json`` beside this file describes them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kit.diagnosis.chain import Link
from kit.diagnosis.judged import Cause, Judged
from kit.diagnosis.speech import summary, sure_of
from kit.files import readable

FORMAT, VERSION = "zero-loss-kit.diagnosis", 1  # the version grows when a name goes or means something else
_CHAIN = ("path", "state", "said", "first", "last", "line", "check", "behind")


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of what ``Diagnosis.to_dict()`` returns."""
    return json.loads(Path(__file__).with_name("diagnosis.schema.json").read_text(encoding="utf-8"))


def to_record(diagnosis: Judged, table: pd.DataFrame) -> dict[str, Any]:
    """table: one row a cause, in the order of ``diagnosis.causes``."""
    tried = [cause.intervention for cause in diagnosis.causes]
    record = {
        "format": FORMAT,
        "version": VERSION,
        "verdict": diagnosis.verdict,
        "summary": summary(diagnosis).split("\n"),
        "lacks": [notice.sentence for notice in diagnosis.lacks],
        "top": None if diagnosis.top is None else diagnosis.top.key,
        "established": [cause.key for cause in diagnosis.established],
        "named": [_named(diagnosis, cause) for cause in diagnosis.named],
        "also_found": [{"key": cause.key, "because": because} for cause, because in diagnosis.also_found],
        "facts": diagnosis.facts,
        "notes": diagnosis.notes,
        "chain": [_link(link) for link in diagnosis.chain.links],
        "not_observed": diagnosis.chain.not_observed,
        "nothing_probability": diagnosis.nothing_probability,
        "causes": [
            {**row, "intervention": None if done is None else done.to_dict()}
            for row, done in zip(table.to_dict("records"), tried, strict=True)
        ],
        "findings": [
            {"check": f.key, "question": f.check.question, "answer": f.word, "because": f.answer.because}
            for f in diagnosis.results
        ],
    }
    return {name: _plain(value) for name, value in record.items()}


def _named(diagnosis: Judged, cause: Cause) -> dict[str, Any]:
    known = cause.hypothesis
    return {
        "key": cause.key,
        "title": cause.plain,
        "verdict": known.verdict,
        "sure": sure_of(diagnosis, cause),
        "part": cause.part,
        "facts": cause.facts,
        "mechanism": known.mechanism,
        "fix": known.fix,
        "guard": known.guard,
        "proves_not": known.proves_not,
        "links": [_link(link) for link in diagnosis.broken_by(cause)],
    }


def _link(link: Link) -> dict[str, Any]:
    return {"link": link.name, **{name: getattr(link, name) for name in _CHAIN}}


def _plain(value: Any) -> Any:
    """Lists, dicts, text, numbers, True, False and None; what is no finite number is None, since JSON has no word for it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
