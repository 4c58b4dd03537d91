"""Train while you drag: a training that goes on in a notebook, with its weights as sliders and its faults as switches.

session   what is trained: ``SystemSession`` (the system of the report) or ``OwnSession`` (a model, loss and optimizer of yours)
training  what can be done with it, and when it rests · state  what its views are told · widget  ``LivePanel``
"""

from kit.live.own_session import OwnFault, OwnSession
from kit.live.system_session import SystemSession
from kit.live.widget import LivePanel

__all__ = ["LivePanel", "OwnFault", "OwnSession", "SystemSession"]
