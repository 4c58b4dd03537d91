"""Faults: what can go wrong in a training run, as objects that are applied to a loop and undone exactly."""

from kit.faults.base import Fault, all_applied
from kit.faults.bookkeeping import LossCountedOnStepsOnly, LossOutsideLoop, WarmUpAtZero
from kit.faults.faulty_system import FaultySystem
from kit.faults.fixes import FIXES
from kit.faults.gradients import NanGradients, NanLossReadAsZero
from kit.faults.predictions import (
    AllOutputsZero,
    BlendMissing,
    BlendMissingFactorsZero,
    FactorHeadsZero,
    HeadsStartAtZero,
)
from kit.faults.weights import (
    AllWeightsZero,
    LamCovZero,
    ScheduleOmitsLamCov,
    SearchSetsLamCovZero,
    TermsCancel,
    WeightNotPassed,
)

__all__ = [
    "FIXES",
    "AllOutputsZero",
    "AllWeightsZero",
    "BlendMissing",
    "BlendMissingFactorsZero",
    "FactorHeadsZero",
    "Fault",
    "FaultySystem",
    "HeadsStartAtZero",
    "LamCovZero",
    "LossCountedOnStepsOnly",
    "LossOutsideLoop",
    "NanGradients",
    "NanLossReadAsZero",
    "ScheduleOmitsLamCov",
    "SearchSetsLamCovZero",
    "TermsCancel",
    "WarmUpAtZero",
    "WeightNotPassed",
    "all_applied",
]
