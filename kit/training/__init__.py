"""Training the system: schedules, hygiene, the loop, the overfit protocol."""

from typing import Any

from kit.renamed import warn_renamed
from kit.training.config import TrainingConfig
from kit.training.history import TrainingHistory
from kit.training.loop import NoStepTakenError, RunningLoss, TrainingLoop, predict, train
from kit.training.overfit import OverfitResult, overfit_test
from kit.training.sanitise import gradient_norm, replace_nan_gradients, step_allowed
from kit.training.schedule import apply_hpo_loss_weights, blend_beta, update_structure_loss_weights
from kit.training.system import System

__all__ = [
    "NoStepTakenError",
    "OverfitResult",
    "RunningLoss",
    "System",
    "TrainingConfig",
    "TrainingHistory",
    "TrainingLoop",
    "apply_hpo_loss_weights",
    "blend_beta",
    "gradient_norm",
    "overfit_test",
    "predict",
    "replace_nan_gradients",
    "step_allowed",
    "train",
    "update_structure_loss_weights",
]


def __getattr__(name: str) -> Any:
    if name == "NoStepTaken":
        warn_renamed("kit.training.NoStepTaken", "kit.training.NoStepTakenError")
        return NoStepTakenError
    raise AttributeError(f"module 'kit.training' has no attribute {name!r}")
