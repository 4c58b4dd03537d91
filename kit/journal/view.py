"""The journal in the notebook: what its widget shows and what its buttons do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.panel import JournalView
from kit.report import Finding

PAGE = "journal.html"


def journal_view(journal: Any, findings: Sequence[Finding] = ()) -> JournalView:
    """The widget of a journal; with findings, also "Keep this" for them, as their panels stand when it is pressed."""
    for place, finding in enumerate(findings):
        if not isinstance(finding, Finding):
            raise ValueError(f"view should get findings. Found a {type(finding).__name__} at position {place}.")

    def rows() -> list[dict[str, str]]:
        return [
            {"key": entry.key, "name": entry.name, "note": entry.note, "verdict": entry.verdict, "kept": entry.kept}
            for entry in journal.entries
        ]

    def keep(message: dict[str, Any]) -> str:
        return f"Kept as \u201c{journal.keep(findings[message['offer']], message['note']).name}\u201d."

    def rename(message: dict[str, Any]) -> str:
        return f"Now named \u201c{journal.rename(message['key'], message['name']).name}\u201d."

    def note(message: dict[str, Any]) -> str:
        journal.annotate(message["key"], message["note"])
        return "Note stored."

    def move(message: dict[str, Any]) -> str:
        return (
            f"\u201c{journal.move(message['key'], message['place']).name}\u201d is now number {message['place'] + 1}."
        )

    def remove(message: dict[str, Any]) -> str:
        name = journal[message["key"]].name
        journal.remove(message["key"])
        return f"Removed \u201c{name}\u201d. It stays in the file."

    def restore(message: dict[str, Any]) -> str:
        return f"Brought back \u201c{journal.restore(message['key']).name}\u201d."

    def export(_message: dict[str, Any]) -> str:
        return repr(journal.write_html(journal.path.with_name(PAGE)))

    actions = {
        "keep": keep, "rename": rename, "note": note, "move": move, "remove": remove, "restore": restore,
        "export": export, "refresh": lambda _message: "",
    }  # fmt: skip
    return JournalView(rows, actions, offers=[finding.question for finding in findings])
