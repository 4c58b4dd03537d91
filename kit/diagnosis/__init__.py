"""From what was recorded of a run to the cause that explains it best."""

from kit.diagnosis.before_run import check
from kit.diagnosis.during_run import broken
from kit.diagnosis.exit_status import exit_code
from kit.diagnosis.intervention import Intervention, Shown
from kit.diagnosis.judged import Cause, CheckResult
from kit.diagnosis.judging import diagnose, judge, prior_of
from kit.diagnosis.result import Diagnosis

__all__ = [
    "Cause",
    "CheckResult",
    "Diagnosis",
    "Intervention",
    "Shown",
    "broken",
    "check",
    "diagnose",
    "exit_code",
    "judge",
    "prior_of",
]
