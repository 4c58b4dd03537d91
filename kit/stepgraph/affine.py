"""One loss, one batch, many settings of its weights: evaluate, and verify that the total is affine in them.

f(lam) = L_0 + sum_i lam_i L_i        at the weights in use, at two random positive settings, and where sliders go
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.stepgraph import returned
from kit.stepgraph.graph import leaves
from kit.stepgraph.sandbox import Sandbox
from kit.stepgraph.slider import UPPER, Setting, listed, slider_settings
from kit.stepgraph.tree import Fresh, tensors
from kit.stepgraph.weights import REFUSALS, holder_of, original, set_weight, weight_attributes

TOLERANCE = 1e-5  # measured: <= 2e-7 for affine float32 losses, 2e-4 to 0.5 for the others
SMALL, FAINT = 1e-3, 1e-4  # share of the total and of its gradient that the caller's terms may miss: they round too
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

    @property
    def faulty(self) -> list[str]:
        """Weights of terms that are not finite: off wherever the others are varied."""
        return [n for n, v in zip(self.weight_names, self.values, strict=True) if n and not torch.isfinite(v)]

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
    """A loss on one prediction and target, evaluated under the same random state and loss state every time.

    `named`: term -> attribute that weighs it, if they are not `lam_*`.
    `checked`: the same loss was verified on the same step before, so `verify` has nothing left to do.
    """

    def __init__(
        self,
        loss: Any,
        prediction: Any,
        target: Any,
        box: Sandbox,
        *,
        named: Mapping[str, str] | None = None,
        checked: bool = False,
    ) -> None:
        self.loss, self.holder, self._box, self.is_checked = original(loss), holder_of(loss), box, checked
        self.named = named
        self._placed, self.note = False, ""
        self._place: str | int | None = None
        self._prediction, self._target = Fresh(prediction, attached=True), Fresh(target, attached=True)
        self.actual = self.total()  # a loss that fails at its own weights fails here, with its own words
        self._draws = box.drew()
        self._eps = _coarsest([self.actual, *tensors(prediction)])
        self.tolerance = max(TOLERANCE, 4 * self._eps)

    @property
    def weights(self) -> dict[str, float]:
        """Attributes that weigh the terms, with their values."""
        if self.named is None:
            return weight_attributes(self.holder)
        return {name: float(getattr(self.holder, name)) for name in self.named.values()}

    def call(self, function: Any) -> Any:
        self._box.replay()
        return function(self._prediction.get(), self._target.get())

    def total(self, weights: Mapping[str, float] | None = None) -> Tensor:
        """The total with some weights set; what the loss raises goes up as it is."""
        self._box.replay()
        for name, weight in (weights or {}).items():
            set_weight(self.holder, name, weight)
        found = self.loss(self._prediction.get(), self._target.get())
        if not self._placed:  # at the first call, with the weights in use
            self._placed, self._place = True, returned.where(found)
            self.note = returned.note(found, self._place)
        return returned.total(found, self._place)

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
            terms.notes.append("A term is not finite, so a part of the total without a weight cannot be found.")
            return
        allowed = self.tolerance * max(scale, abs(self.actual.item()))
        direct = self._without(terms) if settable else None
        if direct is not None and abs(direct.item() - value) <= allowed:
            # measured by itself, so a rest that is small beside the terms in use is not lost in their rounding
            if abs(direct.item()) > DUST * sum(abs(v.item()) for v in terms.values if torch.isfinite(v)):
                terms.add("rest", "", 1.0, direct, DUST)
        elif abs(value) > allowed:
            parts = [w * v for w, v in zip(terms.weights, terms.values, strict=True) if w != 0]
            rest = self.actual - sum(parts)
            if settable or abs(value) > SMALL * scale or not self._faint(rest):
                terms.add("rest", "", 1.0, rest, ROUNDING)

    def _faint(self, rest: Tensor) -> bool:
        """Whether a rest has next to no gradient: then it is rounding, of another formula for the same term."""
        sources = [leaf for leaf in leaves(self.actual) if leaf.requires_grad]
        if not sources or not rest.requires_grad:
            return False
        try:
            grads = [torch.autograd.grad(v, sources, retain_graph=True, allow_unused=True) for v in (rest, self.actual)]
        except RuntimeError:  # a graph that can be used once
            return False
        small, whole = (sum(g.abs().square().sum().item() for g in row if g is not None) for row in grads)
        return small <= FAINT**2 * whole

    def _without(self, terms: Terms) -> Tensor | None:
        """The total with all weights off, if the loss can tell it."""
        named = [(n, v) for n, v in zip(terms.weight_names, terms.values, strict=True) if n]
        for off in (TINY, 0.0):
            total = self.attempt({name: off if torch.isfinite(term) else 0.0 for name, term in named})
            if isinstance(total, Tensor):
                return total if torch.isfinite(total) else None
        return None

    def verify(self, terms: Terms, frozen: Sequence[str] = ()) -> bool:
        """False if the loss or a non-finite term prevented the check. Raises Refused if the total is not affine.

        `frozen`: weight names that keep their value, since the loss cannot evaluate them. Settings of the sliders that
        the loss refuses are told in the notes.
        """
        if self.is_checked:
            return True
        self.compare(terms, {}, self.actual)
        now = dict(zip(terms.weight_names, terms.weights, strict=True))
        off = dict.fromkeys(terms.faulty, 0.0)
        draw = random.Random(20240229)  # its own generator: the random state of the run is not ours
        free = [name for name in dict.fromkeys(terms.weight_names) if name and name not in frozen]
        checked = []
        for _ in range(2):
            setting = {name: off.get(name, draw.uniform(0.1, 0.9)) for name in free}
            total = self.attempt(setting)
            if isinstance(total, str):  # a loss may insist on the sum of its weights
                setting = _with_sum(setting, sum(now[name] for name in free))
                total = self.attempt(setting)
            checked.append(isinstance(total, Tensor) and self.compare(terms, setting, total))
        self._slide(terms, {name: now[name] for name in free if name not in off}, off)
        return all(checked)

    def _slide(self, terms: Terms, now: Mapping[str, float], off: Mapping[str, float]) -> None:
        """The check at the settings that the sliders offer. A refused 0 is tried as 1e-30, and any refused setting
        with the sum of the weights in use; so a refusal costs at most three calls more."""
        offered = slider_settings(now)
        refused: list[Setting] = []
        tiny: list[Setting] = []
        drawn: list[Setting] = []
        said: dict[str, None] = {}
        for setting in offered:
            weights = {**setting.weights, **off}
            almost = {**{name: weight or TINY for name, weight in setting.weights.items()}, **off}
            total = self.attempt(weights)
            if isinstance(total, Tensor):
                try:
                    self.compare(terms, weights, total, str(setting))
                except Refused:
                    # a term that is skipped at 0 leaves its random numbers to the next one
                    nearby = self.attempt(almost) if self._draws and almost != weights else ""
                    if not (isinstance(nearby, Tensor) and self.compare(terms, almost, nearby, str(setting))):
                        raise
                    drawn.append(setting)
                continue
            said[total] = None
            total = self.attempt(almost) if almost != weights else total
            if isinstance(total, Tensor):
                self.compare(terms, almost, total, f"{setting} (1e-30 for 0)")
                tiny.append(setting)
                continue
            refused.append(setting)
            for near in (weights, almost):
                near = _with_sum(near, sum(now.values()))
                if isinstance(total := self.attempt(near), Tensor):
                    self.compare(terms, near, total)
                    break
        words = "; ".join(list(said)[:2])  # the first refusals stand for the others
        if refused:
            where = listed(refused, offered)
            terms.notes.append(f"The loss refuses {where} ({words}), so the what-if there is an extrapolation.")
        if tiny:
            where = listed(tiny, offered)
            terms.notes.append(f"The loss refuses {where} ({words}); the what-if there was checked at 1e-30 for 0.")
        if drawn:
            terms.notes.append(
                f"The loss draws other random numbers at {listed(drawn, offered)}: a term that is off is skipped. "
                "The what-if there keeps the numbers drawn at the probed step."
            )

    def dead(self, terms: Terms, name: str) -> str:
        """What can be said of a weight that left no trace; Refused if it has an effect at 0 or at the slider end."""
        for weight in (0.0, UPPER):
            setting = {name: weight} | dict.fromkeys(terms.faulty, 0.0)
            total = self.attempt(setting)
            if isinstance(total, str) or not self.compare(terms, setting, total):
                why = total if isinstance(total, str) else "a term is not finite"
                return (
                    f"{name} has no effect at the weights in use; {name} = {weight:g} could not be tried ({why}), "
                    "so it may have one there."
                )
        return f"{name} has no effect on the total: a dead weight (tried at 0 and at {UPPER:g} too)."

    def compare(self, terms: Terms, setting: Mapping[str, float], total: Tensor, where: str = "") -> bool:
        """True if the loss and L_0 + sum lam_i L_i agree, False if a number is not finite, else Refused."""
        expected, scale = terms.expected(setting)
        found = total.item()
        healthy = torch.isfinite(self.actual) and scale < torch.finfo(total.dtype).max
        if not (np.isfinite(expected) and (np.isfinite(found) or healthy)):
            return False
        in_use = terms.expected({})[1]
        rounding = min(self.tolerance, 16 * self._eps) * (in_use if np.isfinite(in_use) else 0.0)
        allowed = max(self.tolerance * max(scale, abs(found)), rounding)
        if not np.isfinite(found) or abs(found - expected) > allowed:
            where = where or ", ".join(f"{name} = {value:.3g}" for name, value in setting.items())
            raise Refused(
                f"at {where or 'the weights in use'} the loss returns {found:.6g}, "
                f"but L_0 + sum lam_i L_i is {expected:.6g}",
                affine=False,
            )
        return True


def _with_sum(setting: Mapping[str, float], target: float) -> dict[str, float]:
    share = sum(setting.values())
    return {name: value * target / share for name, value in setting.items()} if share > 0 else dict(setting)


def _coarsest(found: Sequence[Tensor]) -> float:
    """Rounding of the coarsest precision in use; autocast computes in bfloat16 behind float32 tensors."""
    low = [torch.get_autocast_dtype(device) for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    kinds = [tensor.dtype for tensor in found if tensor.is_floating_point() or tensor.is_complex()]
    return max(torch.finfo(dtype).eps for dtype in [*kinds, *low])


def quote(error: BaseException) -> str:
    """Kind and first line of an error, short enough for a reason."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
