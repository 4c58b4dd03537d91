"""Hypotheses, one file each: the report's five, and causes that the report does not name. README.md shows how to add one."""

from kit.hypotheses.base import Hypothesis, Reading, RepeatableRun, Symptoms
from kit.hypotheses.check import Answer, Check, check
from kit.hypotheses.observed import Observed
from kit.hypotheses.one_step import OneStep, at_one_step
from kit.hypotheses.policy import POLICY, Policy
from kit.hypotheses.registry import all_checks, discover

ALL = discover()
REPORT = tuple(hypothesis for hypothesis in ALL if hypothesis.rank is not None)

__all__ = [
    "ALL",
    "POLICY",
    "REPORT",
    "Answer",
    "Check",
    "Hypothesis",
    "Observed",
    "OneStep",
    "Policy",
    "Reading",
    "RepeatableRun",
    "Symptoms",
    "all_checks",
    "at_one_step",
    "check",
    "discover",
]
