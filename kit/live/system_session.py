"""`SystemSession`: our own system as a live session, with every fault of the kit."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from kit import faults as all_faults
from kit.faults import Fault
from kit.hypotheses import ALL
from kit.hypotheses.likelihoods import Likelihoods
from kit.live.record import Record
from kit.live.session import FaultOffer, StepResult, plan_faults
from kit.live.stepped_loop import SteppedLoop
from kit.live.verdict_line import diagnosis_line
from kit.loss import WEIGHT_NAMES, UltimateHybridLoss, ZeroWeightWarning
from kit.stepgraph import DecompositionError, ProbeReport, probe
from kit.training import System, TrainingHistory, apply_hpo_loss_weights

# a configuration that asks for a 0 gets one; of other faults nobody asked for what they do
_ASKED_FOR = "loss_weights"


class SystemSession:
    """Train a system batch by batch, with any of the kit's faults, and probe it every `probe_every` batches and at every stop.

    system:      what is trained, from a fresh network, for the epochs of its config
    probe_every:  batches between two probes; a probe costs about ten training steps
    probe_batch:  scenes that are probed, always the same: the first of the training data
    likelihoods:  of the diagnosis; the shipped ones unless given
    about:        key of a hypothesis, or several: the faults that make it true come first in the menu, and are named beside it
    epochs:       how long, if not as long as the system's config says: a sitting needs more than a recorded run

    As long as nothing is changed, `history()` is what `system.run()` returns, bit by bit. Several faults may be on at once;
    they are undone exactly, in reverse order. A fault that overwrites parameters gives them back as they were before it came.
    """

    def __init__(
        self,
        system: System,
        *,
        title: str = "Train while you drag",
        probe_every: int = 20,
        probe_batch: int | None = None,
        likelihoods: Likelihoods | None = None,
        about: str | Iterable[str] = (),
        epochs: int | None = None,
    ) -> None:
        if probe_every < 1:
            raise ValueError(f"probe_every should be >= 1. Found probe_every = {probe_every}.")
        if epochs is not None:
            system = replace(system, config=replace(system.config, epochs=epochs))
        self.system, self.title, self.probe_every = system, title, probe_every
        self._probed_batch = system.batch(min(probe_batch or system.config.batch_size, len(system.train)))
        self._likelihoods = likelihoods
        self.terms = {weight: term for term, weight in WEIGHT_NAMES.items()}
        self._about = (about,) if isinstance(about, str) else tuple(about)
        faults = sorted(_every_fault(), key=lambda fault: fault.hypothesis not in self._about)
        known = dict.fromkeys(fault.hypothesis for fault in faults)
        if unknown := [key for key in self._about if key not in known]:
            raise ValueError(f"about should be hypotheses that have a fault: {', '.join(known)}. Found {unknown[0]!r}.")
        self._known: dict[str, Fault] = {fault.key: fault for fault in faults}
        self._on: list[tuple[Fault, ExitStack, dict[str, float]]] = []
        self.reset()

    def reset(self) -> None:
        """A fresh network of the same seed, the same order of batches, no fault, the system's weights."""
        self._on.clear()
        system = self.system
        self.loop = SteppedLoop(system.new_model(), system.new_loss(), system.train, system.config, system.validation)
        self.loop.begin()
        self.faults = tuple(self._offer(fault) for fault in self._known.values())
        self._record = Record()
        self._steps_taken = 0
        self._look_at: tuple[int, ProbeReport | None] | None = None

    @property
    def planned(self) -> int:
        return self.loop.steps_planned

    @property
    def step(self) -> int:
        return self.loop.at.batches

    @property
    def finished(self) -> bool:
        return self.loop.finished

    @property
    def weights(self) -> Mapping[str, float]:
        return self.loop.loss.weights

    @property
    def asked(self) -> Mapping[str, float]:
        return dict(self.loop.at.asked)

    @property
    def active(self) -> tuple[str, ...]:
        return tuple(fault.key for fault, _, _ in self._on)

    def history(self) -> TrainingHistory:
        """The run so far: what `kit.train` would have returned after as many epochs."""
        return self.loop.history()

    def advance(self) -> StepResult:
        loop, at = self.loop, self.loop.at
        before, epochs = at.batches, len(loop.epoch_records)
        epoch = at.epoch + 1
        retried = at.unfinished
        step, seen = loop.advance(), at.seen
        assert seen is not None  # advancing has looked at a step
        if not retried:
            self._steps_taken += step["stepped"]
            self._record.add(epoch, seen.row, at.batches - before)
        ended = loop.epoch_records[-1] if len(loop.epoch_records) > epochs else None
        if ended is not None:
            self._record.end_epoch(epoch, {name: ended[name] for name in ("train_loss", "val_loss")})
        due = at.batches // self.probe_every > before // self.probe_every
        return StepResult(
            step=at.batches,
            epoch=epoch,
            loss=step["loss"],
            terms=seen.terms,
            grad_norm=step["grad_norm"],
            steps_taken=self._steps_taken,
            lr=step["lr"],
            train_loss=None if ended is None else ended["train_loss"],
            val_loss=None if ended is None else ended["val_loss"],
            probed=self.look() if due else None,
        )

    def set_weights(self, weights: Mapping[str, float]) -> None:
        at = self.loop.at
        before, in_force = dict(at.asked), {**self.weights, **at.asked}
        changed = {name: float(value) for name, value in weights.items() if value != in_force.get(name)}
        if not changed:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)
            self.loop.loss.set_weights(changed)  # refuses all of them or none
        at.asked = {**before, **changed}
        self._changed()

    def set_faults(self, keys: Iterable[str]) -> None:
        before = self.active
        kept, order = plan_faults(keys, self._known, before)
        self._undo(kept)
        try:
            for key in order:
                self._apply(self._known[key])
        except ValueError:
            self._undo(kept)
            for key in before[kept:]:
                self._apply(self._known[key])
            raise
        finally:
            if self.active != before:
                self._changed()

    def look(self) -> ProbeReport | None:
        loop, at = self.loop, self.loop.at
        if self._look_at is not None and self._look_at[0] == at.batches:
            return self._look_at[1]
        beta = loop.beta(min(at.epoch, loop.config.epochs - 1), jitter=False)
        predict = partial(loop.predict, beta=beta, rho=loop.loss.rho)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ZeroWeightWarning)
                report = probe(loop.model, loop.loss, self._probed_batch, predict=predict)
        except (DecompositionError, RuntimeError, TypeError, ValueError):
            report = None  # a fault may leave nothing to decompose: then there is no what-if at this step
        self._look_at = (at.batches, report)
        return report

    def diagnosis(self) -> str:
        return diagnosis_line(self._record.evidence(self._facts()), self._record.since, self._likelihoods)

    def _facts(self) -> dict[str, Any]:
        parameters = inspect.signature(UltimateHybridLoss.__init__).parameters
        facts: dict[str, Any] = {
            "weights_default": {name: parameters[name].default for name in self.terms},
            "term_weights": dict(WEIGHT_NAMES),
        }
        if not any(fault.hypothesis == _ASKED_FOR for fault, _, _ in self._on):
            asked = {**self.system.weights, **self.system.config.search_weights, **self.loop.at.asked}
            facts["weights_asked"] = facts["weights_at_entry"] = {
                name: value for name, value in asked.items() if name in self.terms
            }
        return facts

    def _changed(self) -> None:
        at = self.loop.at
        self.loop.restart_steps()
        self._record.begin(at.batches, None if at.running is None else at.epoch + 1)
        self._look_at = None

    def _apply(self, fault: Fault) -> None:
        loop, at = self.loop, self.loop.at
        asked, before, search = dict(at.asked), loop.loss.weights, loop.config.search_weights
        stack = ExitStack()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroWeightWarning)
            stack.enter_context(fault.applied_to(loop))
            if loop.config.search_weights != search:
                apply_hpo_loss_weights(loop.loss, loop.config.search_weights)  # as at the beginning of a run
        # what the fault has just overwritten was asked for before it came
        after = loop.loss.weights
        at.asked = {name: value for name, value in asked.items() if after[name] == before[name]}
        self._on.append((fault, stack, asked))

    def _undo(self, kept: int) -> None:
        while len(self._on) > kept:
            _, stack, asked = self._on.pop()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ZeroWeightWarning)
                stack.close()
            self.loop.at.asked = {**asked, **self.loop.at.asked}

    def _offer(self, fault: Fault) -> FaultOffer:
        group = next((h.title for h in ALL if h.key == fault.hypothesis), fault.hypothesis)
        unfit = fault.applies_to(self.loop) or ""
        return FaultOffer(
            fault.key, fault.title, group, fault.what, unfit, not unfit and fault.hypothesis in self._about
        )


def _every_fault() -> list[Fault]:
    """One of each kind, in the order of the hypotheses that they make true."""
    kinds = [kind for kind in vars(all_faults).values() if inspect.isclass(kind) and issubclass(kind, Fault)]
    place = {hypothesis.key: i for i, hypothesis in enumerate(ALL)}
    kinds = [kind for kind in kinds if kind is not Fault]
    return sorted((kind() for kind in kinds), key=lambda fault: place.get(fault.hypothesis, len(place)))
