"""Hypotheses, one file each: the report's five, and causes that the report does not name. README.md shows how to add one."""

from typing import Any

from kit.hypotheses.base import Hypothesis, Preset, RepeatableRun, Symptoms
from kit.hypotheses.checking import Answer, Check, check
from kit.hypotheses.observed import Observed
from kit.hypotheses.one_step import OneStep, PresetResult, at_one_step
from kit.hypotheses.policy import POLICY, Policy
from kit.hypotheses.reference import explain_cause, find_cause, list_causes
from kit.hypotheses.registry import all_checks, discover
from kit.renamed import warn_renamed

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
    "Preset",
    "PresetResult",
    "RepeatableRun",
    "Symptoms",
    "all_checks",
    "at_one_step",
    "check",
    "discover",
    "explain_cause",
    "find_cause",
    "list_causes",
]


def __getattr__(name: str) -> Any:
    if name == "Reading":
        warn_renamed("kit.hypotheses.Reading", "kit.hypotheses.Preset")
        return Preset
    raise AttributeError(f"module 'kit.hypotheses' has no attribute {name!r}")
