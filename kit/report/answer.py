"""The answer in a few lines: what a reader with twenty seconds takes away from a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PARTS = ("wrong", "action", "code", "context", "context_title")


@dataclass(frozen=True)
class Answer:
    """What was wrong, how that is known, and what to do: the box at the head of a page.

    A finding carries it as ``summary=``. On a page where one finding has a summary, the box stands above the contents;
    where several have one, each stands at the head of its finding.

    Args:
        wrong: what was wrong, in one or two sentences; each line of the text is a paragraph.
        evidence: how that is known: pairs of what was measured and its number, e.g. ("steps taken", "0 of 32").
        action: what to do, in a sentence or two.
        code: lines to copy, shown as they are. They are not run.
        context: one or two more lines, such as what was believed before the measurement; may be left out.
        context_title: the heading of ``context``.

    All texts are plain: they are escaped on the page.
    """

    wrong: str
    evidence: Sequence[tuple[str, str]] = ()
    action: str = ""
    code: str = ""
    context: str = ""
    context_title: str = "What the report said"

    def __post_init__(self) -> None:
        for name in _PARTS:
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} should be a text. Found a {type(getattr(self, name)).__name__}.")
        if not self.wrong.strip():
            raise ValueError("wrong should say what was wrong. Found an empty text.")
        if not _are_pairs(self.evidence):
            raise TypeError(
                "evidence of an Answer should be pairs of texts (what was measured, its number). "
                f'Found evidence = {self.evidence!r}; write [("steps taken", "0 of 32")].'
            )
        object.__setattr__(self, "evidence", tuple((what, number) for what, number in self.evidence))

    def to_record(self) -> dict[str, Any]:
        """Plain lists and texts, ready for JSON."""
        return {**{name: getattr(self, name) for name in _PARTS}, "evidence": [list(pair) for pair in self.evidence]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Answer:
        """What ``to_record`` wrote. ValueError, KeyError or TypeError for anything else."""
        return cls(evidence=record["evidence"], **{name: record[name] for name in _PARTS})

    @property
    def rows(self) -> list[list[str]]:
        """Part and text, as the extraction writes them."""
        named = [
            ("what was wrong", self.wrong),
            *((f"how we know: {what}", number) for what, number in self.evidence),
            ("what to do", self.action),
            ("lines to copy", self.code),
            (self.context_title, self.context),
        ]
        return [[what, text] for what, text in named if text]


def _are_pairs(evidence: Any) -> bool:
    return (
        isinstance(evidence, Sequence)
        and not isinstance(evidence, str)
        and all(
            isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
            for pair in evidence
        )
    )
