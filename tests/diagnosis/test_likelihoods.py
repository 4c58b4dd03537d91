"""Counting: Laplace by hand, ways of one cause, round trip, refusals, causes that were not counted yet."""

from __future__ import annotations

import math

import pytest

from kit.hypotheses.likelihoods import Likelihoods

TABLE = Likelihoods(
    {
        ("a", "one way"): {"x": (3, 1), "y": (4, 0)},
        ("a", "another"): {"x": (0, 4), "y": (0, 4)},
        ("b", "only"): {"x": (0, 8), "y": (8, 0)},
    }
)


def _way(yes, no, cause):
    return (yes + 2 * cause) / (yes + no + 2)


def test_laplace_towards_the_cause():
    cause = (3 + 1) / (8 + 2)
    one, other = _way(3, 1, cause), _way(0, 4, cause)
    assert TABLE.probability("a", "x", True) == pytest.approx((one + other) / 2)
    assert TABLE.probability("a", "x", False) == pytest.approx(1 - (one + other) / 2)
    assert TABLE.probability("b", "x", True) == pytest.approx(_way(0, 8, 1 / 10))
    assert TABLE.probability("a", "never asked", True) == 0.5


def test_answers_are_independent_within_a_way_only():
    told = {"x": True, "y": True}
    ways = [(3, 1, 4, 0), (0, 4, 0, 4)]
    by_hand = sum(_way(a, b, 4 / 10) * _way(c, d, 5 / 10) for a, b, c, d in ways) / 2
    assert math.exp(TABLE.log_likelihood("a", told)) == pytest.approx(by_hand)
    apart = TABLE.probability("a", "x", True) * TABLE.probability("a", "y", True)
    assert by_hand > apart, "in one way both are yes together"
    assert TABLE.log_likelihood("a", {}) == 0


def test_a_cause_that_was_not_counted():
    background = (TABLE.probability("a", "x", True) + TABLE.probability("b", "x", True)) / 2
    assert TABLE.background("x") == pytest.approx(background)
    assert TABLE.probability("new", "x", True) == TABLE.background("x")
    assert TABLE.probability("new", "x", True, signs=("x",)) == pytest.approx(2 / 3)
    assert math.exp(TABLE.log_likelihood("new", {"x": False}, ("x",))) == pytest.approx(1 / 3)
    assert Likelihoods({}).probability("new", "x", True) == 0.5


def test_round_trip_and_refusals():
    assert Likelihoods.from_csv(TABLE.to_csv()).counts == TABLE.counts
    with pytest.raises(ValueError, match="columns cause, way"):
        Likelihoods.from_csv("a,b\n")
    with pytest.raises(ValueError, match="Line 2 .* counts like 3:1"):
        Likelihoods.from_csv("cause,way,x\na,w,-1:2\n")
