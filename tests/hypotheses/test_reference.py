"""The causes for people: every one in a line and in full, and keys that are nearly right."""

from __future__ import annotations

import csv
import re

import pytest

from kit.files import shipped
from kit.hypotheses import ALL, explain_cause, find_cause, list_causes
from kit.hypotheses.checking import LINKS


@pytest.mark.parametrize("cause", ALL, ids=[cause.key for cause in ALL])
def test_every_cause_says_what_it_does_not_prove(cause):
    said = cause.proves_not
    assert re.fullmatch(r"It does not prove [^.]{20,}\.", said.replace("...", "")), "one sentence"
    assert len(said) <= 160


def test_no_two_causes_say_the_same():
    assert len({cause.proves_not for cause in ALL}) == len(ALL)


@pytest.mark.parametrize("cause", ALL, ids=[cause.key for cause in ALL])
def test_a_cause_in_full_says_all_that_its_file_says(cause):
    page = explain_cause(cause)
    said = " ".join(page.split())
    for text in (cause.plain or cause.title, cause.key, cause.mechanism, cause.claim, cause.proves_not, cause.fix):
        assert " ".join(text.split()) in said
    for sign in cause.signs:
        (line,) = [line for line in page.splitlines() if line.startswith(f"    - {sign.question} (")]
        assert sign.link in line and sign.state in line
        assert ("it is enough" in line) is (sign in cause.decisive)
    for check in cause.excluded_by:
        assert f"    - {check.question}" in page.splitlines()
    lines = page.split("Guard:\n")[1].split("\n")
    assert [line.removeprefix("    ") for line in lines] == cause.guard.rstrip("\n").split("\n")


def test_the_threads_are_counted_as_the_table_has_them():
    rows = list(csv.DictReader(shipped("public_cases.csv").read_text(encoding="utf-8").splitlines()))
    for cause in ALL:
        often = sum(row["cause"] == cause.key for row in rows)
        assert f"In public threads: the cause of {often} of {len(rows)}" in explain_cause(cause)


def test_the_list_has_a_line_for_each_in_the_order_of_a_step():
    lines = list_causes(ALL).split("\n")
    assert {line.split()[0] for line in lines} == {cause.key for cause in ALL} and len(lines) == len(ALL)
    first = [re.split(r" {2,}|, ", line)[2:] for line in lines]
    known = {cause.key: cause for cause in ALL}
    places = [LINKS.index(known[line.split()[0]].links[0]) for line in lines]
    assert places == sorted(places) and all(links for links in first)
    for line in lines:
        cause = known[line.split()[0]]
        assert (cause.plain or cause.title) in line and line.endswith(", ".join(cause.links))


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("zero_lr", "zero_learning_rate"),
        ("nan", "nan_gradients"),
        ("broadcasts", "broadcast"),
        ("learning rate", "zero_learning_rate"),
    ],
)
def test_a_key_that_is_nearly_right(asked, meant):
    with pytest.raises(ValueError, match=rf"Found key = '{asked}'\. Did you mean [^?]*{meant}"):
        find_cause(asked, ALL)


def test_a_key_that_is_like_none():
    with pytest.raises(
        ValueError, match=r"^key should be that of a cause\. Found key = 'qqq'\. `python -m kit causes` lists"
    ):
        find_cause("qqq", ALL)
    assert find_cause("broadcast", ALL).key == "broadcast"
