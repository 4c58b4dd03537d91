"""How often each cause was found in public threads: what is known of a stranger's run before anything was measured."""

from __future__ import annotations

import csv
import functools
import io
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from kit.files import shipped
from kit.hypotheses.likelihoods import NONE

FILE = "public_cases.csv"
OTHER = "other"  # a cause that no hypothesis of the kit stands for
COLUMNS = ("address", "symptom", "cause", "link", "status")


def count_cases(text: str) -> Mapping[str, int]:
    """Threads by cause; those of another cause count as ``"none"``.

    Raises:
        ValueError: another table, or an address twice.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"The table of cases should have the columns {', '.join(COLUMNS)}. Found {text[:80]!r}.")
    addresses = Counter(row["address"] for row in rows)
    if twice := [address for address, often in addresses.items() if often > 1]:
        raise ValueError(f"Every thread should be in the table once. Found twice: {', '.join(twice)}.")
    counts = Counter(NONE if row["cause"] == OTHER else row["cause"] for row in rows)
    return MappingProxyType(dict(counts))


@functools.cache
def base_rates() -> Mapping[str, int]:
    """Cause -> threads of ``data/public_cases.csv``."""
    return count_cases(shipped(FILE).read_text(encoding="utf-8"))
