"""How the tests are shared out among workers: nothing slow is forgotten in the list, nothing that shares fixtures is torn apart."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests._workers import SLOW, piece, rank

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("entry", SLOW)
def test_what_is_listed_is_there(entry):
    file, _, name = entry.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name in names if name else any(known.startswith("test_") for known in names)


def test_a_file_stays_together_unless_a_test_shares_nothing():
    assert piece("tests/browser/test_lab.py::test_the_whole_job") == "tests/browser/test_lab.py"
    assert piece("tests/test_notebooks.py::test_form[01]") == "tests/test_notebooks.py"
    alone = "tests/test_notebooks.py::test_a_fresh_kernel_gives_the_same_evidence[0{}]"
    assert piece(alone.format(1)) != piece(alone.format(2))


def test_the_slow_start_first_and_the_others_keep_their_order():
    alone = "tests/test_notebooks.py::test_a_fresh_kernel_gives_the_same_evidence[01]"
    collected = [
        "tests/a.py::test_one",
        "tests/test_notebooks.py::test_form[01]",
        alone,
        "tests/z.py::test_a[x::y]",
        "tests/browser/test_lab.py::test_the_whole_job",
    ]
    started = sorted(collected, key=rank)
    assert started == [alone, collected[4], collected[0], collected[1], collected[3]]
