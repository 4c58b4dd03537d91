"""Live sessions: what the live panel trains, batch by batch, with its faults and its running diagnosis."""

from kit.investigation.live.own import OwnFault, OwnSession
from kit.investigation.live.patient import PatientSession

__all__ = ["OwnFault", "OwnSession", "PatientSession"]
