"""A long run's records: what comes out is what went in, in a fraction of the memory."""

from __future__ import annotations

import math
import random
import tracemalloc

import pytest

from kit.live.rows import Rows


def drawn(chance: random.Random) -> dict:
    kinds = {
        "epoch": lambda: chance.randrange(10**6),
        "loss": lambda: chance.choice([chance.gauss(0, 1), 1e-300, math.inf, -0.0]),
        "stepped": lambda: chance.random() < 0.5,
        "large": lambda: 2**53 + chance.randrange(10),
        "words": lambda: chance.choice(["lam_cov", ""]),
        "none": lambda: None,
    }
    names = chance.choice([["epoch", "loss", "stepped"], ["epoch", "loss"], list(kinds), ["words"], []])
    return {name: kinds[name]() for name in names}


def same(found: dict, row: dict) -> bool:
    return [(k, type(v), repr(v)) for k, v in found.items()] == [(k, type(v), repr(v)) for k, v in row.items()]


def test_it_is_the_list_that_it_stands_for():
    chance, rows, expected = random.Random(5), Rows(), []
    for _ in range(400):
        row = drawn(chance)
        rows.append(row)
        expected.append(row)
        if chance.random() < 0.05:
            length = chance.randrange(len(expected) + 1)
            rows.cut(length)
            del expected[length:]
        if expected:
            place = chance.randrange(-len(expected), len(expected))
            assert same(rows[place], expected[place])
    assert len(rows) == len(expected) and all(map(same, rows, expected))


def test_a_row_beyond_the_end_is_named():
    rows = Rows()
    rows.extend([{"a": 1}, {"a": 2}])
    assert list(rows) == [{"a": 1}, {"a": 2}] and rows[-1] == {"a": 2}
    with pytest.raises(IndexError, match=r"There are 2 rows\. Found row 2\."):
        rows[2]


def test_it_takes_a_fraction_of_the_memory():
    def size(make) -> int:
        tracemalloc.start()
        kept = make()
        found = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(kept) == 5000
        return found

    def made():
        return (
            {"epoch": 1000 + i, "batch": 2000 + i, "loss": i / 7, "lr": i / 11, "stepped": True} for i in range(5000)
        )

    def compact() -> Rows:
        rows = Rows()
        rows.extend(made())
        return rows

    assert size(compact) < 0.3 * size(lambda: list(made()))
