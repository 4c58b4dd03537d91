"""Events -> the entries as they stand: what was kept, under which name, in which order. Nothing is ever taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

KINDS = ("keep", "rename", "note", "move", "remove", "restore")


@dataclass(frozen=True)
class Entry:
    """One kept finding without its evidence; the line it stands on holds the rest. `start`, `end` in bytes."""

    key: str
    name: str
    note: str
    kept: str  # date and time with offset, ISO 8601
    question: str
    verdict: str
    start: int
    end: int
    removed: bool = False
    content: str = ""  # digest of finding and diagnosis; "" of one that an older kit kept


class Replay:
    """Applies events in the order of the file, so that every process sees the same entries."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._order: list[str] = []

    @property
    def shown(self) -> list[Entry]:
        return [self.entries[key] for key in self._order if not self.entries[key].removed]

    @property
    def removed(self) -> list[Entry]:
        return [self.entries[key] for key in self._order if self.entries[key].removed]

    def apply(self, event: Mapping[str, Any], start: int, end: int) -> None:
        """One event; one that speaks of a key never kept here (its line was damaged) changes nothing.

        Raises:
            ValueError: a kind of event that this kit does not know, or one without its parts.
        """
        kind = event.get("event")
        if kind not in KINDS:
            raise ValueError(f"event should be one of {', '.join(KINDS)}. Found event = {kind!r}; use a newer kit.")
        try:
            if kind == "keep":
                self._keep(event, start, end)
            elif event["key"] in self.entries:
                self._change(kind, event)
        except (KeyError, TypeError) as error:
            raise ValueError(f"event {kind!r} at byte {start} should have every part. Found {error!r}.") from error

    def _keep(self, event: Mapping[str, Any], start: int, end: int) -> None:
        finding = event["finding"]
        of = finding["question"], finding["verdict"]
        content = event.get("content", "")
        entry = Entry(event["key"], event["name"], event["note"], event["at"], *of, start, end, content=content)
        self.entries[entry.key] = entry
        self._order.append(entry.key)

    def _change(self, kind: str, event: Mapping[str, Any]) -> None:
        key = event["key"]
        if kind == "move":
            self._order.remove(key)
            before = event["before"]
            self._order.insert(self._order.index(before) if before in self._order else len(self._order), key)
            return
        changes = {
            "rename": lambda: {"name": event["name"]},
            "note": lambda: {"note": event["note"]},
            "remove": lambda: {"removed": True},
            "restore": lambda: {"removed": False},
        }
        self.entries[key] = replace(self.entries[key], **changes[kind]())
