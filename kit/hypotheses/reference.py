"""The causes for people: all of them in a list, and one in full. Everything is read from the hypotheses."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.base_rates import base_rates
from kit.hypotheses.checking import LINKS, Check

_NEAR, _WIDTH = 3, 100


def find_cause(key: str, hypotheses: Iterable[Hypothesis]) -> Hypothesis:
    """Raises ValueError for a key that none of them has; it names those that are near."""
    known = {hypothesis.key: hypothesis for hypothesis in hypotheses}
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, known, n=_NEAR, cutoff=0.5)
    near += [
        k for k, h in known.items() if key and key.lower() in f"{k} {h.plain or h.title}".lower() and k not in near
    ]
    meant = f"Did you mean {', '.join(near[:_NEAR])}? " if near else ""
    raise ValueError(
        f"key should be that of a cause. Found key = {key!r}. {meant}`python -m kit causes` lists all {len(known)}."
    )


def list_causes(hypotheses: Iterable[Hypothesis]) -> str:
    """A line for each: key, title, the links that it breaks; in the order of a training step."""
    ordered = sorted(hypotheses, key=lambda h: (LINKS.index(h.links[0]) if h.links else len(LINKS), h.key))
    rows = [(h.key, h.plain or h.title, ", ".join(h.links)) for h in ordered]
    first, second = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return "\n".join(f"{key:<{first}}  {title:<{second}}  {links}".rstrip() for key, title, links in rows)


def explain_cause(hypothesis: Hypothesis) -> str:
    """What happens, what must be seen, what rules it out, what it does not prove, what to do, a guard, and how often it was found."""
    decisive = {sign.key for sign in hypothesis.decisive}
    rates = base_rates()
    of_the_report = hypothesis.rank is not None
    lines = [
        f"{hypothesis.plain or hypothesis.title} ({hypothesis.key})",
        *_part("What happens", hypothesis.mechanism),
        *_part("The claim of the report" if of_the_report else "How it comes about", hypothesis.claim),
        *_part("What the formulas predict" if of_the_report else "What it looks like", hypothesis.predicts),
        *_part("Breaks", ", ".join(hypothesis.links)),
        *_listed("Must be seen, one at least", [_sign(sign, sign.key in decisive) for sign in hypothesis.signs]),
        *_listed("Ruled out by a yes to", [check.question for check in hypothesis.excluded_by]),
        *_part("What follows from it, and is not named beside it", ", ".join(hypothesis.explains)),
        *_part("Limits", hypothesis.proves_not),
        *_part("What to do", hypothesis.fix),
        *_part("It is mended when", hypothesis.fixed if hypothesis.verdict != "not_a_fault" else ""),
        *_part("In public threads", f"the cause of {rates.get(hypothesis.key, 0)} of {sum(rates.values())}"),
    ]
    guard = hypothesis.guard.rstrip("\n")
    return "\n".join([*lines, *(["Guard:", textwrap.indent(guard, "    ")] if guard else [])])


def _part(name: str, said: str) -> list[str]:
    return textwrap.wrap(f"{name}: {said}", _WIDTH, subsequent_indent="    ", break_long_words=False) if said else []


def _listed(name: str, items: list[str]) -> list[str]:
    return [f"{name}:", *(f"    - {item}" for item in items)] if items else []


def _sign(sign: Check, decisive: bool) -> str:
    """The question, what a yes makes of which link, and whether a yes without exception is enough."""
    state = f"{sign.link} {sign.state}" if sign.state else sign.link
    enough = "; without exception it is enough" if decisive else ""
    return f"{sign.question} ({state}{enough})"
