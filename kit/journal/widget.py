"""The journal in the notebook: what its widget shows and what its buttons do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from kit.panel import JournalView
from kit.report import Finding, Written

PAGE, COMPARISON = "journal.html", "comparison.html"


@runtime_checkable
class LiveFinding(Protocol):
    """What is still going on, and can be kept as it stands: a live panel."""

    title: str
    line: str

    def finding(self) -> Finding:
        """As it stands now; its panels are new and are closed when it was kept."""
        ...

    def finding_name(self) -> str: ...


def journal_view(journal: Any, findings: Sequence[Finding | LiveFinding] = ()) -> JournalView:
    """The widget of a journal; with findings or live panels, also "Keep this" for them, as they stand when it is pressed."""
    for place, finding in enumerate(findings):
        if not isinstance(finding, Finding | LiveFinding):
            found = f"Found a {type(finding).__name__} at position {place}."
            raise TypeError(f"view should get findings or live panels. {found}")

    def rows() -> list[dict[str, str]]:
        return [
            {"key": entry.key, "name": entry.name, "note": entry.note, "verdict": entry.verdict, "kept": entry.kept}
            for entry in journal.entries
        ]

    def keep(message: dict[str, Any]) -> str:
        offered, note, name = findings[message["offer"]], message["note"], message.get("name", "")
        before = {entry.key for entry in journal.entries}
        if isinstance(offered, Finding):
            kept = journal.keep(offered, note, name=name)
        else:
            shown = offered.finding()
            kept = journal.keep(shown, note, name=name or offered.finding_name(), diagnosis=offered.line or None)
            for panel in shown.panels:
                panel.close()
        if kept.key in before:
            return f"Nothing has changed since it was kept as \u201c{kept.name}\u201d."
        return f"Kept as \u201c{kept.name}\u201d."

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

    def said_of(written: Written) -> str:
        view.say_written(written, written.sentence)
        return view.status

    def export(_message: dict[str, Any]) -> str:
        return said_of(journal.write_html(journal.path.with_name(PAGE)))

    def compare(message: dict[str, Any]) -> str:
        comparison = journal.compare(message["first"], message["second"])
        view.compared = comparison._repr_html_()
        said = said_of(comparison.write(journal.path.with_name(COMPARISON)))
        for kept in (comparison.first, comparison.second):
            for panel in kept.finding.panels:
                panel.close()
        return said

    actions = {
        "keep": keep, "rename": rename, "note": note, "move": move, "remove": remove, "restore": restore,
        "compare": compare, "export": export, "refresh": lambda _message: "",
    }  # fmt: skip
    offers = [offered.question if isinstance(offered, Finding) else f"Live: {offered.title}" for offered in findings]
    view = JournalView(rows, actions, offers=offers)
    return view
