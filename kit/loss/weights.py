"""The seven weights: their names, their checks, and the named settings of the report."""

from __future__ import annotations

import math
import numbers
from types import MappingProxyType
from typing import overload

# term -> the attribute that multiplies it, in the order of the sum
WEIGHT_NAMES = MappingProxyType(
    {
        "loss_nmse": "lam_cov",
        "loss_nmse_pred": "lam_cov_pred",
        "loss_ortho": "lam_ortho",
        "loss_K": "lam_K",
        "aux_l2": "lam_aux",
        "loss_subspace_align": "lam_subspace_align",
        "loss_peak_contrast": "lam_peak_contrast",
    }
)


def _setting(*values: float) -> MappingProxyType[str, float]:
    return MappingProxyType(dict(zip(WEIGHT_NAMES.values(), values, strict=True)))


#                                  cov  pred  ortho  K    aux  sub   peak
CLASS_DEFAULT = _setting(0.3, 0.02, 1e-3, 0.5, 1.0, 0.50, 0.00)
TRAINER_BEFORE_FIX = _setting(0.3, 0.03, 1e-3, 0.5, 1.0, 0.05, 0.10)  # the report's trainer: lam_cov is not passed
TRAINER_AFTER_FIX = _setting(1.0, 0.03, 1e-3, 0.5, 1.0, 0.05, 0.10)  # the report's option 1
COVARIANCE_ONLY = _setting(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # the overfit protocol
ALL_ZERO = _setting(*[0.0] * 7)


class ZeroWeightWarning(UserWarning):
    """A weight setting is legal, but switches the main term or the whole loss off."""


def check_weight(name: str, value: object) -> float:
    """The value as a finite float >= 0; subclasses of float pass unchanged, so that instruments can follow them.

    Raises:
        TypeError: not a real number (a tensor, a string, a bool, ...).
        ValueError: negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} should be a number. Found {name} = {value!r} ({type(value).__name__}).")
    number = value if isinstance(value, float) else float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} should be finite. Found {name} = {value!r}.")
    if number < 0:
        raise ValueError(f"{name} should be >= 0. Found {name} = {value!r}; use 0 to switch the term off.")
    return number


class Weight:
    """A weight attribute that is checked whenever it is assigned, also in the middle of a training."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.slot = name, f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Weight: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> float: ...

    def __get__(self, instance: object, owner: type | None = None) -> Weight | float:
        return self if instance is None else instance.__dict__[self.slot]

    def __set__(self, instance: object, value: object) -> None:
        instance.__dict__[self.slot] = check_weight(self.name, value)
