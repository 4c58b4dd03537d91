"""`OwnSession`: anybody's training as a live session."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from torch import nn

from kit.hypotheses.likelihoods import Likelihoods
from kit.live.plain_loop import PlainLoop
from kit.live.record import Record
from kit.live.session import FaultOffer, StepResult, plan_faults
from kit.live.verdict_line import diagnosis_line
from kit.stepgraph import DecompositionError, ProbeReport

_TURN = ("terms", "grad_norm", "lr", "train_loss", "val_loss")


@dataclass(frozen=True)
class OwnFault:
    """A fault of your own training: `applied` makes a context manager that applies it and undoes it."""

    key: str
    title: str
    applied: Callable[[], AbstractContextManager]
    group: str = "Your own"
    what: str = ""


class OwnSession:
    """A training step of your own, made live.

    step:      () -> the loss of one more batch, or a mapping with `loss` and, where you have them, `terms` (name -> value before
               weighting), `grad_norm`, `lr`, `stepped` (False: no optimizer step), `epoch`, and `train_loss`, `val_loss` at
               the end of an epoch. One that raises is shown in the panel and may be tried again.
    loss:      object whose float attributes `lam_*` are the weights to slide; without one there are no sliders
    look:      () -> a ProbeReport of the network as it is, for what-if; called every `probe_every` steps
    restart:   () puts everything back to the very start; without it there is no Reset
    planned:   steps of the whole run, None for no end
    faults:    `OwnFault`s to offer
    record:    () -> columns of a trace for this step, more than the mapping tells, for the diagnosis

    `OwnSession.of(model, loss, optimizer, batches)` writes the step for a plain loop.
    """

    asked: dict[str, float]
    _taken: int
    _epoch: int
    _record: Record
    _seen: tuple[int, ProbeReport | None] | None

    def __init__(
        self,
        step: Callable[[], float | Mapping[str, Any]],
        *,
        loss: Any = None,
        look: Callable[[], ProbeReport] | None = None,
        restart: Callable[[], None] | None = None,
        planned: int | None = None,
        faults: Sequence[OwnFault] = (),
        record: Callable[[], Mapping[str, Any]] = dict,
        title: str = "Train while you drag",
        probe_every: int = 20,
        likelihoods: Likelihoods | None = None,
    ) -> None:
        if not callable(step):
            raise TypeError(
                f"step should be a callable that trains on one batch. Found a {type(step).__name__}; "
                "for (model, loss, optimizer, batches) call OwnSession.of."
            )
        if probe_every < 1:
            raise ValueError(f"probe_every should be >= 1. Found probe_every = {probe_every}.")
        self.title, self.planned, self.probe_every = title, planned, probe_every
        self._step, self._loss, self._look, self._restart, self._row = step, loss, look, restart, record
        self._likelihoods = likelihoods
        self._known = {fault.key: fault for fault in faults}
        self.faults = tuple(FaultOffer(f.key, f.title, f.group, f.what) for f in faults)
        self._at_start = _weights_of(loss)
        self._on: list[tuple[str, ExitStack]] = []
        self._begin()
        self.terms = self._terms()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        loss: Any,
        optimizer: Any,
        batches: Iterable,
        *,
        validation: Iterable | None = None,
        predict: Callable[[nn.Module, Any], Any] | None = None,
        epochs: int = 10,
        **options: Any,
    ) -> OwnSession:
        """A plain loop: forward, loss, backward, step, and a validation pass at the end of an epoch.

        batches, validation: iterables, begun anew in every epoch, of pairs (inputs, target) or of anything with these attributes
        predict:             predict(model, batch) -> prediction, instead of model(inputs)
        options:             as of the class
        """
        loop = PlainLoop(model, loss, optimizer, batches, validation, predict)
        given = {
            "loss": loss, "look": loop.look, "restart": loop.restart, "planned": loop.planned(epochs),
            "faults": [OwnFault(*offer) for offer in loop.faults()], "record": loop.row,
        }  # fmt: skip
        return cls(loop.step, **{**given, **options})

    @property
    def finished(self) -> bool:
        return self.planned is not None and self.step >= self.planned

    @property
    def weights(self) -> Mapping[str, float]:
        return {name: value for name, value in _weights_of(self._loss).items() if name in self.terms}

    @property
    def active(self) -> tuple[str, ...]:
        return tuple(key for key, _ in self._on)

    def advance(self) -> StepResult:
        given = self._step()
        told: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"loss": given}
        self.step += 1
        self._taken += bool(told.get("stepped", True))
        epoch = int(told.get("epoch", self._epoch))
        loss = math.nan if told.get("loss") is None else float(told["loss"])
        plain = {"loss": loss, "backwards": 1, "loss_calls": 1, "steps": int(told.get("stepped", True))}
        for mine, theirs in (("seen_norm", "grad_norm"), ("lr", "lr")):
            if told.get(theirs) is not None:
                plain[mine] = float(told[theirs])
        self._record.add(epoch, {**plain, **_weights_of(self._loss), **self._row()}, 1)
        displayed = {name: float(told[name]) for name in ("train_loss", "val_loss") if told.get(name) is not None}
        self._record.end_epoch(epoch, displayed)
        self._epoch = epoch
        probed = self.look() if self.step % self.probe_every == 0 else None
        values = {name: told[name] for name in _TURN if told.get(name) is not None}
        if "terms" not in values and probed is not None:
            values["terms"] = dict(zip(probed.names, map(float, probed.L), strict=True))
        return StepResult(self.step, epoch, loss, steps_taken=self._taken, probed=probed, **values)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        before = dict(self.weights)
        for name, value in weights.items():
            if name not in before:
                raise ValueError(f"weights should have known names. Found {name!r}; known are {', '.join(before)}.")
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"weights should be finite and >= 0. Found {name} = {value!r}.")
        changed = {name: float(value) for name, value in weights.items() if value != before[name]}
        for name, value in changed.items():
            setattr(self._loss, name, value)
        if changed:
            self.asked = {**self.asked, **changed}
            self._changed()

    def set_faults(self, keys: Iterable[str]) -> None:
        before = self.active
        kept, order = plan_faults(keys, self._known, before)
        self._undo(kept)
        for key in order:
            stack = ExitStack()
            stack.enter_context(self._known[key].applied())
            self._on.append((key, stack))
        if self.active != before:
            self._changed()

    def look(self) -> ProbeReport | None:
        if self._look is None:
            return None
        if self._seen is None or self._seen[0] != self.step:
            try:
                report = self._look()
            except (DecompositionError, RuntimeError, TypeError, ValueError):
                report = None  # no what-if at this step; training goes on
            self._seen = (self.step, report)
        return self._seen[1]

    def diagnosis(self) -> str:
        asked = {**self._at_start, **self.asked}
        facts = {"weights_at_entry": asked, "weights_asked": asked} if asked else {}
        return diagnosis_line(self._record.evidence(facts), self._record.since, self._likelihoods)

    def reset(self) -> None:
        if self._restart is None:
            raise ValueError(
                "A session that can be reset should be given restart=, which puts everything back. Found none."
            )
        self._undo(0)
        self._restart()
        for name, value in self._at_start.items():
            setattr(self._loss, name, value)
        self._begin()

    def _begin(self) -> None:
        self.step = self._taken = 0
        self._epoch = 1
        self.asked = {}
        self._record = Record()
        self._seen = None

    def _terms(self) -> dict[str, str]:
        """Weight -> term; as the probe tells, else every weight for itself."""
        report = self.look()
        if report is None:
            return {name: name.removeprefix("lam_") for name in self._at_start}
        rows = zip(report.weight_names, report.names, report.adjustable, strict=True)
        return {weight: term for weight, term, free in rows if free and weight in self._at_start}

    def _changed(self) -> None:
        self._record.begin(self.step, self._epoch)
        self._seen = None

    def _undo(self, kept: int) -> None:
        while len(self._on) > kept:
            self._on.pop()[1].close()


def _weights_of(loss: Any) -> dict[str, float]:
    """Plain numbers whose attribute starts with lam, those of its classes among them."""
    places = [*(vars(kind) for kind in type(loss).__mro__), getattr(loss, "__dict__", {})]
    names = dict.fromkeys(name for place in places for name in place if name.startswith("lam"))
    found = {name: getattr(loss, name, None) for name in names}
    return {n: float(v) for n, v in found.items() if isinstance(v, int | float) and not isinstance(v, bool)}
