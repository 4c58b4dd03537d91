"""What a shell gets of a diagnosis: sentences, JSON, SARIF or Markdown, and an exit status."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kit.files import check_file, write_atomically

if TYPE_CHECKING:
    from kit.diagnosis import Diagnosis  # loaded when there is one: help and refusals need no torch

BAD_INPUT = 3
EXIT_STATUS = "Exit status: 0 nothing is broken, 1 something is, 2 it could not be judged, 3 the input cannot be used."
_HERE = "-"  # the standard output


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """The options of every command that ends in a diagnosis."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences (diagnosis.schema.json)")
    for name, what in (("sarif", "SARIF 2.1.0, for the lines of a pull request"), ("markdown", "a ticket in Markdown")):
        parser.add_argument(
            f"--{name}",
            nargs="?",
            const=_HERE,
            metavar="FILE",
            help=f"write {what}; without FILE print it instead of sentences",
        )


def check_outputs(options: argparse.Namespace) -> None:
    """Before any work. ValueError: two of them for the standard output. OSError: a file that cannot be written."""
    printed = [f"--{name}" for name in ("json", "sarif", "markdown") if getattr(options, name) in (True, _HERE)]
    if len(printed) > 1:
        raise ValueError(
            f"One of --json, --sarif and --markdown at most should be printed. Found {' and '.join(printed)}; name a file: {printed[-1]} FILE."
        )
    for file in filter(None, (options.sarif, options.markdown)):
        if file != _HERE:
            check_file(file)


def put_out(diagnosis: Diagnosis, options: argparse.Namespace, said: str) -> int:
    """Print and write what was asked for; the exit status.

    Args:
        said: the sentences to print where nothing else is.
    Raises:
        OSError: a file cannot be written.
    """
    from kit.diagnosis import exit_code

    texts = {"sarif": lambda: _json(diagnosis.to_sarif()), "markdown": diagnosis.to_markdown}
    for name, text in texts.items():
        if (file := getattr(options, name)) not in (None, _HERE):
            print(f"wrote {write_atomically(file, text()).as_posix()}", file=sys.stderr)
    printed = next((text for name, text in texts.items() if getattr(options, name) == _HERE), None)
    if options.json:
        print(_json(diagnosis.to_dict()), end="")
    elif printed is not None:
        print(printed(), end="")
    else:
        print(said)
        if diagnosis.top is not None:
            print(f"More: python -m kit causes {diagnosis.top.key}")
    return exit_code(diagnosis)


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, allow_nan=False) + "\n"
