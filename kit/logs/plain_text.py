"""Numbers out of printed lines: `epoch 3 train 0.000000 val 1.92`, progress bars, dicts of a trainer, lines of Keras."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from kit.recording.names import meaning

_MOST = 4096  # letters of a piece of a line: longer ones are no lines of a log
_PAIR = re.compile(
    r"""(?<![\w./-])
    (?P<name>[A-Za-z_][\w./-]*+(?:[ ](?:loss|norm|rate)\b)?)
    ["']?\s{0,8}(?P<mark>[:=]?)\s{0,8}["'\[(]?\s{0,4}(?:tensor\()?
    (?P<value>[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[-+]?\d++)?|nan|[-+]?inf(?:inity)?)
    (?![\w%.])(?P<after>\s{0,4}[/\]]?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_VALIDATION = re.compile(
    r"\b(?:val|valid|validation|validating|eval|evaluation|evaluating|test|testing)\b", re.IGNORECASE
)
_TRAINING = re.compile(r"train", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SUMMARY = "train_runtime"  # of Hugging Face: a mean over the whole run, no loss of a step


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """Lines, and what a progress bar overwrote in them."""
    for line in lines:
        for piece in re.split(r"[\r\n\x08]+", _COLOUR.sub("", line)):
            if piece and len(piece) <= _MOST:
                yield piece


def rows_of_text(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One row a line with a number under a name. The epoch holds until another one is named."""
    epoch = None
    for piece in pieces(lines):
        row = pairs(piece)
        if not row or _SUMMARY in row:
            continue
        own = next((name for name in row if _role(name) == "epoch"), None)
        if own is not None:
            epoch = row.pop(own)
        if any(_role(name) != "step" for name in row):
            yield row if epoch is None else {"epoch": epoch, **row}


def pairs(line: str) -> dict[str, str]:
    """Names and what is written after them, of one line."""
    found: dict[str, str] = {}
    split = ""
    end = 0
    for match in _PAIR.finditer(line):
        name, value, role = match["name"], match["value"], _role(match["name"])
        between, end = line[end : match.start()], match.end()
        if _VALIDATION.search(between):
            split = "val/"
        elif _TRAINING.search(between):
            split = ""
        if not _is_value(role, match["mark"], value, match["after"].strip()):
            continue
        if role == "train_loss" and split and "train" not in name.lower():
            name = split + name
        found.setdefault(name, value)
    return found


def _is_value(role: str, mark: str, value: str, after: str) -> bool:
    """Whether the number belongs to the name: `Epoch 1/10` does, `train 640/60000` and `loss 3 times` do not."""
    if role in ("epoch", "step"):
        return value.isdecimal() or bool(mark)
    if after == "/":
        return False
    return bool(mark) or (role != "" and not value.lstrip("+-").isdecimal())


def _role(name: str) -> str:
    found = meaning(name)
    return "" if found is None else found.role
