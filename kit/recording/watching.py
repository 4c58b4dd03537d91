"""`with watch(...) as run:` around any training loop."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from torch import nn

from kit.recording import displayed, hooks
from kit.recording.columns import Recorded
from kit.recording.displayed import Shown
from kit.recording.observer import Observer
from kit.recording.on_finding import Act, Lookout, check_act
from kit.recording.trace import Trace, summary
from kit.stepgraph.arguments import has_parameters, kind, looks_like_loss
from kit.stepgraph.plain import quietly


class Watch:
    """Records the training that runs inside the block; see ``watch``."""

    def __init__(
        self,
        model: nn.Module | None,
        loss: Any,
        every: int,
        weights: Mapping[str, float] | None,
        terms: bool,
        probe_every: int | None = None,
        on_finding: Act | None = None,
    ) -> None:
        self._on_finding = on_finding
        self._asked = (model, loss, every, terms, probe_every)
        self._weights = weights
        self._seen: Observer | None = None
        self._recorded: Recorded | None = None
        self._shown = Shown()
        self._scalars: tuple[int, dict[str, float]] = (0, {})

    def __enter__(self) -> Self:
        if self._seen is not None or self._recorded is not None:
            raise RuntimeError(
                "A watch should be entered once. Found it entered before; make a new one with watch(...)."
            )
        self._seen = Observer(*self._asked)
        self._asked = (None, None, 1, False, None)
        if self._on_finding is not None:
            self._seen.lookout = Lookout(self._on_finding, lambda: self.trace)
        hooks.listen(self._seen)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        seen, ended = self._entered("run should be left"), "return" if kind is None else kind.__name__
        try:
            hooks.leave(seen)
        finally:
            with seen.lock, quietly():
                seen.attempt(seen.finish)
                self._scalars = self.scalars_step, self.scalars
                recorded = seen.attempt(Recorded.of, seen, ended, self._weights)
                self._recorded, self._seen = recorded or Recorded.empty(seen, ended), None
                if seen.lookout is not None and kind is None:
                    seen.attempt(seen.lookout.run_ended, seen.book.count)
        if seen.lookout is not None and kind is None:
            seen.lookout.act()

    @property
    def trace(self) -> Trace:
        """What was seen: all of it after the block, so far inside of it.

        Raises:
            RuntimeError: not entered yet.
        """
        if self._recorded is not None:
            return self._recorded.trace(self._shown)
        seen = self._entered("run.trace should be asked for")
        with seen.lock, quietly():
            return Recorded.of(seen, "not yet", self._weights).trace(self._shown)

    @property
    def scalars(self) -> dict[str, float]:
        """What a logger of numbers may show, at no cost: ``term/<name>`` (unweighted) and ``weight/<name>`` of the last step that was
        read, ``grad_norm/<name>`` (unweighted) of the last that was probed. Empty before the first."""
        seen = self._seen
        if seen is None:
            return dict(self._scalars[1])
        with seen.lock:
            return seen.attempt(seen.graphs.scalars) or {}

    @property
    def scalars_step(self) -> int:
        """The step that ``scalars`` is of, as ``trace.terms`` counts; 0 before the first. What was written once is new when it grows."""
        seen = self._seen
        return self._scalars[0] if seen is None else seen.graphs.last_step()

    @property
    def epoch(self) -> int:
        """The epoch that runs, or the last one, as ``trace.epochs`` counts from 1; a number that is logged now is of this epoch.

        Raises:
            RuntimeError: not entered yet.
        """
        if self._recorded is not None:
            return int(self._recorded.epochs[-1]["epoch"])
        return self._entered("run.epoch should be asked for").book.epoch.number

    def _entered(self, what: str) -> Observer:
        if self._seen is None:
            raise RuntimeError(f"{what} after entering: with watch(...) as run: ... Found it not entered.")
        return self._seen

    def __repr__(self) -> str:
        entered = self._seen is not None or self._recorded is not None
        trace = f", trace={self.trace!r}" if entered else ""
        return f"Watch(entered={entered}, ended={self._recorded is not None}{trace})"

    def __str__(self) -> str:
        if self._seen is None and self._recorded is None:
            return "Watch, not entered yet: with kit.watch(model, loss=loss) as run: ..."
        return summary(self.trace, still_open=self._recorded is None)

    def log(self, *more: Any, epoch: Any = None, train_loss: Any = None, val_loss: Any = None, **other: Any) -> None:
        """What the program displayed.

        Numbers: inside the block, of the epoch that runs; with ``epoch`` they also end it. After the block, of that epoch, or of the
        last. Lists, of one length: of the epochs 1, 2, ..., or of those in ``epoch`` in the program's own counting; None or NaN in
        them stands for nothing displayed.

        Other names are understood where they say the same: loss, valid/loss, eval_loss. Numbers under any other name (a rate, a term, a
        score) are kept in ``trace.facts["logged"]``, name -> [row of epochs, value] of each.

        Raises:
            RuntimeError: not entered yet. TypeError: not a number, without a name. ValueError: lists of different
            lengths, lists and numbers mixed, an epoch that is no whole number or before the first.
        """
        if self._recorded is None:
            self._entered("run.log should be called")
        displayed.check_names(more)
        known, rest = displayed.by_role({"epoch": epoch, "train_loss": train_loss, "val_loss": val_loss}, other)
        values = {name: displayed.read(name, value) for name, value in {**known, **rest}.items()}
        if not values:
            raise ValueError("run.log should be given epoch=, train_loss= or val_loss=. Found none of them.")
        lists = {name: value for name, value in values.items() if isinstance(value, list)}
        numbers = {name: value for name, value in values.items() if isinstance(value, float)}
        lengths = {name: len(value) for name, value in lists.items()}
        if lists and (numbers or len(set(lengths.values())) > 1):
            found = ", ".join(f"{name}: {lengths.get(name, 'a number')}" for name in values)
            raise ValueError(f"run.log should be given numbers, or lists of one length. Found lengths {found}.")
        roles = ("epoch", *displayed.NAMES)
        if lists:
            more_lists = {name: value for name, value in lists.items() if name in rest}
            epochs, train, validation = (lists.get(name) for name in roles)
            self._shown.add_list(epochs, train, validation, more_lists)
        else:
            row = self._log_numbers(*(numbers.get(name) for name in roles)) if known else self._row()
            self._shown.add_others(row, {name: value for name, value in numbers.items() if name in rest})

    def _row(self) -> int:
        """Of the epoch that runs; after the block, of the last."""
        if self._recorded is not None:
            return self._recorded.epochs[-1]["epoch"]
        seen = self._entered("run.log should be called")
        with seen.lock:
            return seen.book.epoch.number

    def _log_numbers(self, epoch: float | None, train_loss: float | None, val_loss: float | None) -> int:
        label = None if epoch is None else displayed.whole(epoch)
        if label is not None and (label in self._shown.labels or self._recorded is not None):
            row = self._shown.row_of(label)
        elif self._recorded is not None:
            row = self._row()
        else:
            seen = self._entered("run.log should be called")
            with seen.lock:
                row = seen.logged(ends=label is not None)
            if label is not None:
                self._shown.labels[label] = row
        self._shown.add(row, train_loss, val_loss)
        return row


def watch(
    model: nn.Module | None = None,
    loss: Any = None,
    *,
    every: int = 1,
    weights: Mapping[str, float] | None = None,
    terms: bool = True,
    probe_every: int | None = None,
    on_finding: Act | None = None,
) -> Watch:
    """Watch a training loop that knows nothing of it.

        with watch(model, loss=loss) as run:
            trainer.fit(...)
        run.log(epoch=[...], train_loss=[...], val_loss=[...])
        run.trace

    Nothing is changed: weights, optimizer state, gradients, buffers and random state are bitwise what they are without it, and no
    hook is left, however the block ends. Nothing of the program is called by the watch: the terms of a loss are those that it returns
    beside its total, or that its method ``components`` returns when the loss itself calls it.

    Args:
        model: the network; found by its calls if not given.
        loss: the loss object; found by its calls if not given. Its attributes ``lam_*`` are recorded; the calls of a plain function
            cannot be seen.
        every: measure gradients, outputs, targets and terms in every n-th step only, and in the first three. Counts and losses are
            of every step.
        terms: with False, ``components`` of the loss is not listened to.
        probe_every: measure the unweighted value of each term and the products of their gradients, as ``kit.probe`` does, in the
            steps 1, 1 + n, 1 + 2 n, ...; see ``trace.probes``. A probed step costs a backward pass more for each term of its
            total and one for the check, and the memory of as many gradients. At most 64 are kept: then every second is
            dropped, and later ones are as far apart. A step in which a further pass would call code of the program (hooks,
            checkpoints, a custom ``Function``, a compiled or distributed model) is not probed, and ``facts["not_seen"]`` says why.
        on_finding: what to do when something is broken and stays broken: "print", "warn" (a ``FindingWarning``), "raise" (a
            ``FindingError``, which ends the run) or a function of the diagnosis. Each cause is said once. The run is judged in steps
            20, 26, 33, ... and at its end, within a twentieth of its time; a fact has to establish the cause, in two looks in a row.
        weights: the loss weights that were asked for, as in the program's configuration. Only recorded, to compare with those in
            force.

    Raises:
        TypeError, ValueError: an argument of another kind.
    """
    _check_roles(model, loss)
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every should be a whole number >= 1. Found every = {every!r}.")
    if probe_every is not None and (
        isinstance(probe_every, bool) or not isinstance(probe_every, int) or probe_every < 1
    ):
        raise ValueError(f"probe_every should be a whole number >= 1, or None. Found probe_every = {probe_every!r}.")
    check_act(on_finding)
    asked = None if weights is None else _weights(weights)
    return Watch(model, loss, every, asked, bool(terms), probe_every, on_finding)


def _check_roles(model: Any, loss: Any) -> None:
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model should be a torch.nn.Module, or None. Found {kind(model)}.")
    swapped = has_parameters(loss) and not looks_like_loss(loss)
    if model is not None and not has_parameters(model) and (swapped or looks_like_loss(model)):
        raise TypeError(
            f"model should be the network. Found {kind(model)}, which has no parameters: is this the loss? Pass "
            "kit.watch(model, loss=loss)."
        )
    if loss is not None and (not callable(loss) or isinstance(loss, type)):
        raise TypeError(
            f"loss should be a loss object or function, or None. Found {kind(loss)}; pass kit.watch(model, loss=loss)."
        )


def _weights(weights: Any) -> dict[str, float]:
    if not isinstance(weights, Mapping):
        raise TypeError(
            f'weights should be a mapping from names to numbers. Found {kind(weights)}; pass weights={{"lam_kl": 0.1}}.'
        )
    for name, value in weights.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"weights[{name!r}] should be a number. Found {value!r}.")
        if math.isnan(value):
            raise ValueError(f"weights[{name!r}] should be a number. Found nan.")
    return {str(name): float(value) for name, value in weights.items()}
