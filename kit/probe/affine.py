"""One loss, one batch, many settings of its weights: evaluate, and verify that the total is affine in them.

f(lam) = L_0 + sum_i lam_i L_i        at the weights in use and at two random positive settings
"""

from __future__ import annotations

import numbers
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.probe.sandbox import Sandbox
from kit.probe.tree import Fresh, tensors
from kit.probe.weights import REFUSALS, holder_of, original, set_weight

TOLERANCE = 1e-5  # measured: <= 2e-7 for affine float32 losses, 2e-4 to 0.5 for the others
TINY = 1e-30  # passes `lam > 0`, normal in float32, and vanishes beside any other term
CLEAN, DUST, ROUNDING = 0.0, 1e-20, 1e-5  # see Terms.floors


class Refused(Exception):
    """A way of decomposing does not work for this loss; `affine` is False when the reason is the total's form."""

    def __init__(self, reason: str, *, affine: bool = True) -> None:
        super().__init__(reason)
        self.affine = affine


@dataclass
class Terms:
    """What a way found. `floors`: share of the largest gradient below which a term's gradient is a trace of the way
    itself (other terms at 1e-30, a difference of totals), not of the term."""

    names: list[str]
    weight_names: list[str]
    weights: list[float]
    values: list[Tensor]
    adjustable: list[bool]
    floors: list[float]
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, weight_name: str, weight: float, value: Tensor, floor: float = CLEAN) -> None:
        self.names.append(name)
        self.weight_names.append(weight_name)
        self.weights.append(weight)
        self.values.append(value)
        self.adjustable.append(weight_name != "")
        self.floors.append(floor)

    @classmethod
    def none(cls) -> Terms:
        return cls([], [], [], [], [], [])

    def expected(self, weights: Mapping[str, float]) -> tuple[float, float]:
        """Sum and sum of magnitudes of the weighted terms; a term with weight 0 does not count, whatever its value."""
        parts = [
            weight * value.item()
            for name, own, value in zip(self.weight_names, self.weights, self.values, strict=True)
            if (weight := weights.get(name, own)) != 0
        ]
        return sum(parts), sum(abs(part) for part in parts)


class Case:
    """A loss on one prediction and target, evaluated under the same random state and loss state every time."""

    def __init__(self, loss_fn: Any, prediction: Any, target: Any, box: Sandbox) -> None:
        self.loss_fn, self.holder, self._box = original(loss_fn), holder_of(loss_fn), box
        self._prediction, self._target = Fresh(prediction, attached=True), Fresh(target)
        self.actual = self.total()  # a loss that fails at its own weights fails here, with its own words
        self.tolerance = max(TOLERANCE, 4 * _coarsest([self.actual, *tensors(prediction)]))

    def call(self, function: Any) -> Any:
        self._box.replay()
        return function(self._prediction.get(), self._target.get())

    def total(self, weights: Mapping[str, float] | None = None) -> Tensor:
        """The total with some weights set; what the loss raises goes up as it is."""
        self._box.replay()
        for name, weight in (weights or {}).items():
            set_weight(self.holder, name, weight)
        return scalar(self.loss_fn(self._prediction.get(), self._target.get()), "loss_fn(prediction, target)")

    def attempt(self, weights: Mapping[str, float]) -> Tensor | str:
        """The total, or what the loss said against the setting; its warnings about a trial are not for the user."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.total(weights)
        except REFUSALS as error:
            return quote(error)

    def rest(self, terms: Terms, settable: bool) -> None:
        """Add L_0, the part of the total that no weight reaches, as the fixed term "rest" if it is not zero."""
        expected, scale = terms.expected({})
        value = self.actual.item() - expected
        if not np.isfinite(value):
            terms.notes.append("A term is not finite, so a part of the total without weight cannot be told.")
            return
        if abs(value) <= self.tolerance * max(scale, abs(self.actual.item())):
            return
        named = [(n, v) for n, v in zip(terms.weight_names, terms.values, strict=True) if n]
        off = {name: TINY if torch.isfinite(term) else 0.0 for name, term in named}
        direct = self.attempt(off) if settable else "not settable"
        if isinstance(direct, Tensor) and abs(direct.item() - value) <= self.tolerance * max(scale, abs(value)):
            terms.add("rest", "", 1.0, direct, DUST)
            return
        parts = [w * v for w, v in zip(terms.weights, terms.values, strict=True) if w != 0]
        terms.add("rest", "", 1.0, self.actual - sum(parts), ROUNDING)

    def verify(self, terms: Terms, frozen: Sequence[str] = ()) -> bool:
        """False if the loss or a non-finite term prevented the check. Raises Refused if the total is not affine.

        `frozen`: weight names that keep their value, since the loss cannot evaluate them.
        """
        self._compare(terms, {}, self.actual)
        now = dict(zip(terms.weight_names, terms.weights, strict=True))
        sick = {n for n, v in zip(terms.weight_names, terms.values, strict=True) if not torch.isfinite(v)}
        draw = random.Random(20240229)  # its own generator: the random state of the run is not ours
        free = [name for name in dict.fromkeys(terms.weight_names) if name and name not in frozen]
        checked = []
        for _ in range(2):
            setting = {name: 0.0 if name in sick else draw.uniform(0.1, 0.9) for name in free}
            total = self.attempt(setting)
            share = sum(setting.values())
            if isinstance(total, str) and share > 0:  # a loss may insist on the sum of its weights
                setting = {name: value * sum(now[n] for n in free) / share for name, value in setting.items()}
                total = self.attempt(setting)
            checked.append(isinstance(total, Tensor) and self._compare(terms, setting, total))
        return all(checked)

    def _compare(self, terms: Terms, setting: Mapping[str, float], total: Tensor) -> bool:
        expected, scale = terms.expected(setting)
        found = total.item()
        if not (np.isfinite(expected) and np.isfinite(found)):
            return False
        if abs(found - expected) > self.tolerance * max(scale, abs(found)):
            where = ", ".join(f"{name} = {value:.3g}" for name, value in setting.items()) or "the weights in use"
            raise Refused(
                f"at {where} the loss returns {found:.6g}, but L_0 + sum lam_i L_i is {expected:.6g}", affine=False
            )
        return True


def _coarsest(found: Sequence[Tensor]) -> float:
    """Rounding of the coarsest precision in use; autocast computes in bfloat16 behind float32 tensors."""
    low = [torch.get_autocast_dtype(device) for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    kinds = [tensor.dtype for tensor in found if tensor.is_floating_point() or tensor.is_complex()]
    return max(torch.finfo(dtype).eps for dtype in [*kinds, *low])


def scalar(value: Any, what: str) -> Tensor:
    """A real 0-d tensor; a plain number becomes a constant."""
    if isinstance(value, numbers.Real):
        return torch.tensor(float(value))
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} should be a scalar tensor. Found a {type(value).__name__}.")
    if value.numel() != 1 or not value.is_floating_point():
        raise ValueError(f"{what} should be a real scalar. Found shape {tuple(value.shape)}, {value.dtype}.")
    return value.reshape(())


def quote(error: BaseException) -> str:
    """Kind and first line of an error, short enough for a reason."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
