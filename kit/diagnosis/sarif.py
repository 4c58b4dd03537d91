"""A diagnosis as SARIF 2.1.0, which code hosts show at the lines of a pull request."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from kit import __version__
from kit.diagnosis.chain import Link
from kit.diagnosis.judged import Cause, Judged
from kit.diagnosis.places import place_in_folder
from kit.diagnosis.speech import lower, sentence, summary
from kit.files import readable

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(diagnosis: Judged) -> dict[str, Any]:
    """One run of SARIF 2.1.0, ready for JSON: a rule for each cause that was found, a result for each link that it breaks.

    Levels: error for a fault, warning where it is about a part or is not established, note for what is no fault. A file is named
    if it lies in the working folder, relative to it; a result without one stands at the first line that is known.
    """
    found = [(cause, _reason(diagnosis, cause), _level(cause)) for cause in diagnosis.named]
    found += [(cause, because, "warning") for cause, because in diagnosis.also_found]
    anywhere = next(filter(None, (_location(link.line) for link in diagnosis.chain.links)), None)
    results = [
        _result(place, cause, because, level, link, anywhere)
        for place, (cause, because, level) in enumerate(found)
        for link in diagnosis.broken_by(cause) or (None,)
    ]
    rules = [_rule(cause, level) for cause, _, level in found]
    driver = {"name": "zero-loss-kit", "version": __version__, "semanticVersion": __version__, "rules": rules}
    told = [{"level": "note", "message": _message(summary(diagnosis))}] if not found else []
    invocation = {"executionSuccessful": True, "toolExecutionNotifications": told}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [entry for at, entry in enumerate(results) if entry not in results[:at]],
        "properties": {"verdict": diagnosis.verdict},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _reason(diagnosis: Judged, cause: Cause) -> str:
    """Its fact, or how sure it is and what speaks for it."""
    said = diagnosis.labels(cause.speaks_for)
    return cause.facts[0] if cause.facts else f"most likely ({cause.percent})" + (f", {said}" if said else "")


def _level(cause: Cause) -> str:
    if cause.hypothesis.verdict == "not_a_fault":
        return "note"
    return "error" if not cause.part else "warning"


def _result(
    rule: int, cause: Cause, because: str, level: str, link: Link | None, anywhere: dict[str, Any] | None
) -> dict[str, Any]:
    said = [f"{cause.plain}: {because}."]
    if link is not None:
        said.append(sentence(str(replace(link, said="" if link.said in because else link.said))))
    place = (_location(link.line) if link is not None else None) or anywhere
    return {
        "ruleId": cause.key,
        "ruleIndex": rule,
        "level": level,
        "message": _message(" ".join([*said, f"What to do: {lower(cause.hypothesis.fix)}"])),
        **({"locations": [place]} if place else {}),
    }


def _message(text: str) -> dict[str, str]:
    """Braces stand for arguments in a message, and "](" for a link."""
    return {"text": readable(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")}


def _location(line: str) -> dict[str, Any] | None:
    place = place_in_folder(line)
    if place is None:
        return None
    path, number = place
    uri = quote(os.fsencode(path.as_posix()))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": number}}}


def _rule(cause: Cause, level: str) -> dict[str, Any]:
    known = cause.hypothesis
    parts = {"What happens": known.mechanism, "What to do": known.fix, "Limits": known.proves_not}
    guard = known.guard.rstrip("\n")
    code = f"\n\nA guard for your own tests:\n\n```python\n{guard}\n```" if guard else ""
    plain = f"\n\nA guard for your own tests:\n\n{guard}" if guard else ""
    said = {name: text for name, text in parts.items() if text}
    return {
        "id": cause.key,
        "name": "".join(word.capitalize() for word in cause.key.split("_")),
        "shortDescription": {"text": f"{cause.plain}."},
        "fullDescription": {"text": known.mechanism or known.claim or f"{cause.plain}."},
        "help": {
            "text": "\n\n".join(f"{name}: {text}" for name, text in said.items()) + plain,
            "markdown": "\n\n".join(f"**{name}.** {text}" for name, text in said.items()) + code,
        },
        "defaultConfiguration": {"level": level},
        "properties": {"tags": ["training", *known.links]},
    }
