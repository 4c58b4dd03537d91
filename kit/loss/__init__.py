"""The composite loss: pure terms, checked weights, one sum."""

from kit.loss.hybrid import UltimateHybridLoss
from kit.loss.weights import (
    ALL_ZERO,
    CLASS_DEFAULT,
    COVARIANCE_ONLY,
    TRAINER_AFTER_FIX,
    TRAINER_BEFORE_FIX,
    WEIGHT_NAMES,
    ZeroWeightWarning,
)

__all__ = [
    "ALL_ZERO",
    "CLASS_DEFAULT",
    "COVARIANCE_ONLY",
    "TRAINER_AFTER_FIX",
    "TRAINER_BEFORE_FIX",
    "WEIGHT_NAMES",
    "UltimateHybridLoss",
    "ZeroWeightWarning",
]
