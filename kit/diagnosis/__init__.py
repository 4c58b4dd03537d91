"""From what was recorded of a run to the cause that explains it best."""

from kit.diagnosis.intervention import Intervention, Shown
from kit.diagnosis.judging import diagnose, judge, prior_of
from kit.diagnosis.result import Cause, Diagnosis, Finding

__all__ = ["Cause", "Diagnosis", "Finding", "Intervention", "Shown", "diagnose", "judge", "prior_of"]
