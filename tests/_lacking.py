"""What is skipped because this machine lacks something, each with the command that brings it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tests.panel._npm import VERSIONS

GUESTS = "python -m pip install -c constraints.txt -e '.[guests]'"
COMMANDS = {
    "Chromium": "apt-get install chromium, or CHROMIUM=/path/to/it",
    **dict.fromkeys(("node", "npm"), "apt-get install nodejs npm"),
    **dict.fromkeys(("playwright", "hatchling"), "python -m pip install -c constraints.txt -e '.[test]'"),
    **dict.fromkeys(VERSIONS, "KIT_REQUIRE_BROWSER=1 make test"),  # npm is there, and may fetch it then
    "mlflow": "python -m pip install mlflow-skinny",
}


def lacking(reasons: Iterable[str]) -> str:
    """Empty where nothing is lacking; a skip for another reason is not counted."""
    found = [re.match(r"Skipped: no (\S+)", reason) for reason in reasons]
    counts = Counter(one[1].rstrip(",:") for one in found if one)
    by_command: dict[str, list[str]] = {}
    for name, count in sorted(counts.items()):
        by_command.setdefault(COMMANDS.get(name, GUESTS), []).append(f"{name} ({count})")
    lines = [f"  {', '.join(names)}: {command}" for command, names in by_command.items()]
    head = "Tests skipped for want of something, and what brings it (`.ci/run` brings all but mlflow, where node and npm are):"
    return "\n".join([head, *lines]) if lines else ""
