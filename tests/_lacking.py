"""What is skipped because this machine lacks something, in one line with the command that brings it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable


def lacking(reasons: Iterable[str]) -> str:
    """Empty where nothing is lacking; a skip for another reason is not counted."""
    found = [re.match(r"Skipped: no (\S+)", reason) for reason in reasons]
    counts = Counter(one[1].rstrip(",:") for one in found if one)
    said = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    return said and f"Tests skipped for want of {said}. With node and npm, `.ci/run` brings the rest and skips none."
