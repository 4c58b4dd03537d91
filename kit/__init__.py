"""Why does the train loss read 0 while the validation loss does not change?

    import kit

    system = kit.datasets.reference_system()                       # the shipped scenes, a fresh network, the report's weights
    model, loss = system.new_model(), system.new_loss()
    seen = kit.probe(model, loss, system.batch())                  # any model, any loss with lam_* weights
    kit.whatif.total(seen, {"lam_cov": 0.0})                       # no network runs
    kit.Panel(seen)                                                # live in a notebook, live in the exported page
    with kit.watch(model, loss=loss) as run:                       # any training loop, unedited
        ...
    kit.Panel(run.trace)                                           # of kit.watch(..., probe_every=50): the sliders at each probed step
    kit.diagnose(run.trace).explain()                              # which cause, how sure, why, what to do
    kit.check(model, loss, system.batch())                         # before a run: a few steps on one batch, the same answer
    kit.read_log("outputs/").explain()                             # a log of another tool: what it can tell

`__all__` is in the order of the story: the system, the instruments and the reasoning, the views.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from kit.renamed import warn_renamed

if TYPE_CHECKING:
    from kit.array import PlanarArray
    from kit.covariance import CovarianceSampler
    from kit.diagnosis import Diagnosis, check, diagnose
    from kit.live import LivePanel
    from kit.logs import read_log
    from kit.loss import UltimateHybridLoss
    from kit.model import HybridModel
    from kit.panel import Panel
    from kit.recording import Trace, watch
    from kit.report import Finding, write_html
    from kit.stepgraph import ProbeReport, probe
    from kit.training import overfit_test, train

__version__ = "0.2.0"

__all__ = [  # noqa: RUF022 - in the order of the story
    "PlanarArray",
    "CovarianceSampler",
    "HybridModel",
    "UltimateHybridLoss",
    "train",
    "overfit_test",
    "faults",
    "datasets",
    "probe",
    "ProbeReport",
    "whatif",
    "watch",
    "Trace",
    "diagnose",
    "Diagnosis",
    "check",
    "read_log",
    "hypotheses",
    "plots",
    "Panel",
    "LivePanel",
    "Finding",
    "write_html",
    "journal",
    "studies",
]

# everything is loaded when it is first used: a job that only probes needs no tables, no matplotlib and no widgets
_HOMES = {
    "PlanarArray": "kit.array",
    "CovarianceSampler": "kit.covariance",
    "HybridModel": "kit.model",
    "UltimateHybridLoss": "kit.loss",
    "train": "kit.training",
    "overfit_test": "kit.training",
    "probe": "kit.stepgraph",
    "ProbeReport": "kit.stepgraph",
    "watch": "kit.recording",
    "Trace": "kit.recording",
    "diagnose": "kit.diagnosis",
    "Diagnosis": "kit.diagnosis",
    "check": "kit.diagnosis",
    "read_log": "kit.logs",
    "Panel": "kit.panel",
    "LivePanel": "kit.live",
    "Finding": "kit.report",
    "write_html": "kit.report",
}
_PARTS = frozenset(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))

# names of version 0.1 and where they live now; they go in version 0.3
_EARLIER = {
    "Batch": "kit.covariance.Batch",
    "DecompositionError": "kit.stepgraph.DecompositionError",
    "OverfitResult": "kit.training.OverfitResult",
    "OwnSession": "kit.live.OwnSession",
    "Patient": "kit.training.System",
    "PatientSession": "kit.live.SystemSession",
    "Preset": "kit.panel.Preset",
    "System": "kit.training.System",
    "SystemSession": "kit.live.SystemSession",
    "Table": "kit.report.Table",
    "TrainingConfig": "kit.training.TrainingConfig",
    "TrainingHistory": "kit.training.TrainingHistory",
    "ZeroWeightWarning": "kit.loss.ZeroWeightWarning",
    "apply_hpo_loss_weights": "kit.training.apply_hpo_loss_weights",
    "findings": "kit.journal.shared",
    "investigation": "kit.studies",
    "load_faulty_run": "kit.datasets.load_faulty_run",
    "load_scenes": "kit.datasets.load_scenes",
    "load_sick_run": "kit.datasets.load_faulty_run",
    "make_faulty_run": "kit.datasets.make_faulty_run",
    "make_sick_run": "kit.datasets.make_faulty_run",
    "predict": "kit.training.predict",
    "presets_of": "kit.panel.presets_of",
    "reference_system": "kit.datasets.reference_system",
    "sick_patient": "kit.datasets.reference_system",
    "split_generators": "kit.covariance.split_generators",
    "to_html": "kit.report.to_html",
    "update_structure_loss_weights": "kit.training.update_structure_loss_weights",
}


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"kit.{name}")
    if name in _HOMES:
        if name == "watch":
            importlib.import_module("kit.diagnosis")  # it judges a run while it goes on (on_finding)
        value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
        return value
    if name in _EARLIER:
        now = _EARLIER[name]
        home, _, its_name = now.rpartition(".")
        warn_renamed(f"kit.{name}", now)
        return getattr(importlib.import_module(home), its_name)
    raise AttributeError(f"module 'kit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
