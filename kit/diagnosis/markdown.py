"""A diagnosis as a ticket in Markdown, as code hosts read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from kit.diagnosis.chain import NOT_OBSERVED, WORKING, Link
from kit.diagnosis.judged import Judged
from kit.diagnosis.speech import answer, fixes, lower, other_facts, reasons, unseen
from kit.files import printable

_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_OPENS_A_BLOCK = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=#]))")


def to_markdown(diagnosis: Judged) -> str:
    """Verdict, what happens, facts, the chain, what to do, a guard, and what was not seen; what was recorded is escaped."""
    first, *more = answer(diagnosis)
    top = diagnosis.top
    also = [line for line in more if not line.startswith("What happens: ")]
    also += [f"Also found: {lower(cause.plain)}: {because}." for cause, because in diagnosis.also_found]
    parts = [
        f"## {plain_text(_title(diagnosis))}",
        *(f"> {plain_text(notice.sentence)}" for notice in diagnosis.lacks),
        f"**Verdict:** {plain_text(_verdict(diagnosis, first))}",
        *map(plain_text, also),
        *_section("What happens", [plain_text(top.hypothesis.mechanism)] if top and top.hypothesis.mechanism else []),
        *_section("Facts", _items([*_facts(diagnosis), *reasons(diagnosis)])),
        *_section("The chain of a step", _chain(diagnosis)),
        *_section("What to do", _items(fixes(diagnosis))),
        *_section("Guard", _guard(diagnosis)),
        *_section("Limits", _items(_proves_not(diagnosis))),
        *_section("What was not seen", _items(_hidden(diagnosis))),
    ]
    return printable("\n\n".join(parts) + "\n")


def plain_text(text: str) -> str:
    """The text as Markdown that reads the same, on one line."""
    escaped = _SPECIAL.sub(r"\\\g<0>", escape(" ".join(text.split()), quote=False))
    return _OPENS_A_BLOCK.sub(r"\1\\", escaped)


def _title(diagnosis: Judged) -> str:
    if diagnosis.named:
        first, *others = diagnosis.named
        return ", and ".join([first.plain, *(lower(cause.plain) for cause in others)])
    return {"healthy": "Healthy", "unexplained": "Unexplained"}.get(diagnosis.verdict, "Nothing found")


def _verdict(diagnosis: Judged, said: str) -> str:
    """The word, and the sentence, which may begin with it."""
    word = diagnosis.verdict.replace("_", " ")
    return said if said.lower().startswith(f"{word}:") else f"{word}. {said}"


def _section(name: str, parts: list[str]) -> list[str]:
    return [f"### {name}", *parts] if parts else []


def _items(sentences: Iterable[str]) -> list[str]:
    listed = [f"- {plain_text(said)}" for said in sentences]
    return ["\n".join(listed)] if listed else []


def _facts(diagnosis: Judged) -> list[str]:
    facts = other_facts(diagnosis)
    return [*([facts] if facts else []), *diagnosis.notes]


def _chain(diagnosis: Judged) -> list[str]:
    chain = diagnosis.chain
    if all(link.state == NOT_OBSERVED for link in chain.links):
        return []
    rows = [("link", "of", "state", "measured", "when", "line"), ("---",) * 6, *map(_row, chain.links)]
    return ["\n".join(f"| {' | '.join(row)} |" for row in rows), *([plain_text(chain.ends)] if chain.broken else [])]


def _row(link: Link) -> tuple[str, ...]:
    state = "works" if link.state == WORKING else link.state
    if link.broken:
        state = f"{state}, follows" if link.behind else f"**{state}**"
    return (link.name, plain_text(link.path), state, plain_text(link.said), link.when, plain_text(link.line))


def _guard(diagnosis: Judged) -> list[str]:
    code = "\n\n".join(cause.hypothesis.guard.rstrip("\n") for cause in diagnosis.named if cause.hypothesis.guard)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return [f"{fence}python\n{code}\n{fence}"] if code else []


def _proves_not(diagnosis: Judged) -> list[str]:
    return list(dict.fromkeys(c.hypothesis.proves_not for c in diagnosis.named if c.hypothesis.proves_not))


def _hidden(diagnosis: Judged) -> list[str]:
    links = diagnosis.chain.not_observed
    return [*([f"Links: {', '.join(links)}."] if links else []), *unseen(diagnosis)]
