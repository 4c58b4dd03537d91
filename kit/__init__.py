"""Why does the train loss read 0 while the validation loss does not change?

    import kit

    system = kit.reference_system()                                   # the shipped scenes, a fresh network, the report's weights
    model, loss = system.new_model(), system.new_loss()
    seen = kit.probe(model, loss, system.batch())                 # any model, any loss with lam_* weights
    kit.whatif.total(seen, {"lam_cov": 0.0})                       # no network runs
    kit.Panel(seen)                                                # live in a notebook, live in the exported page
    with kit.watch(model, loss=loss) as run:                       # any training loop, unedited
        ...
    kit.diagnose(run.trace).explain()                              # which cause, how sure, why, what to do

Names below are public and in the order of the story: the system, the instruments and the reasoning, the views.
"""

from __future__ import annotations

import importlib
from typing import Any

from kit import faults, hypotheses, whatif
from kit.array import PlanarArray
from kit.covariance import Batch, CovarianceSampler, split_generators
from kit.datasets import load_faulty_run, load_scenes, make_faulty_run, reference_system
from kit.diagnosis import Diagnosis, diagnose
from kit.loss import UltimateHybridLoss, ZeroWeightWarning
from kit.model import HybridModel
from kit.recording import Trace, watch
from kit.stepgraph import DecompositionError, ProbeReport, probe
from kit.training import (
    OverfitResult,
    System,
    TrainingConfig,
    TrainingHistory,
    apply_hpo_loss_weights,
    overfit_test,
    predict,
    train,
    update_structure_loss_weights,
)

__version__ = "0.1.0"

# views are loaded when first used: a training job that only probes needs no matplotlib and no widgets
_VIEWS = {
    "Panel": "kit.panel",
    "Preset": "kit.panel",
    "presets_of": "kit.panel",
    "Finding": "kit.report",
    "Table": "kit.report",
    "to_html": "kit.report",
    "write_html": "kit.report",
    "LivePanel": "kit.live",
    "SystemSession": "kit.live",
    "OwnSession": "kit.live",
    "findings": "kit.journal",
    "plots": "",
    "studies": "",
}

__all__ = [
    "Batch",
    "CovarianceSampler",
    "DecompositionError",
    "Diagnosis",
    "Finding",
    "HybridModel",
    "LivePanel",
    "OverfitResult",
    "OwnSession",
    "Panel",
    "PlanarArray",
    "Preset",
    "ProbeReport",
    "System",
    "SystemSession",
    "Table",
    "Trace",
    "TrainingConfig",
    "TrainingHistory",
    "UltimateHybridLoss",
    "ZeroWeightWarning",
    "apply_hpo_loss_weights",
    "diagnose",
    "faults",
    "findings",
    "hypotheses",
    "load_faulty_run",
    "load_scenes",
    "make_faulty_run",
    "overfit_test",
    "plots",
    "predict",
    "presets_of",
    "probe",
    "reference_system",
    "split_generators",
    "studies",
    "to_html",
    "train",
    "update_structure_loss_weights",
    "watch",
    "whatif",
    "write_html",
]


def __getattr__(name: str) -> Any:
    if name not in _VIEWS:
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    home = _VIEWS[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"kit.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
