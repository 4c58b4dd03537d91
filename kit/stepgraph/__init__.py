"""What does each term of a loss do to the network, at one step? Measured on any model and any weighted loss.

report = probe(model, loss, batch)             # -> ProbeReport; the run is left bitwise as it was
report.L, report.G                             # everything kit.whatif needs
"""

from __future__ import annotations

from kit.stepgraph.components import Decomposition, DecompositionError, decompose
from kit.stepgraph.probing import probe
from kit.stepgraph.report import ProbeReport
from kit.stepgraph.sandbox import Sandbox, sandboxes

__all__ = ["Decomposition", "DecompositionError", "ProbeReport", "Sandbox", "decompose", "probe", "sandboxes"]
