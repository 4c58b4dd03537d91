"""A verdict as the exit status of a command."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kit.diagnosis.judged import Judged

EXIT_CODES: Mapping[str, int] = MappingProxyType(
    {"healthy": 0, "not_a_fault": 0, "fault": 1, "partly": 1, "wrong_number": 1, "unexplained": 2, "nothing_found": 2}
)


def exit_code(diagnosis: Judged) -> int:
    """0: healthy, or not a fault. 1: a fault, a part that is broken, a wrong number. 2: unexplained, or nothing was found."""
    return EXIT_CODES[diagnosis.verdict]
