"""How large is the gradient of each term in each layer, at this very step? One call; the model and the run stay untouched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kit.renamed import renamed
from kit.stepgraph.arguments import check_step, has_parameters, kind
from kit.stepgraph.forward import forward_of
from kit.stepgraph.gradients import (
    Measured,
    NeedsFresh,
    NeedsOneStage,
    Step,
    fresh_forward,
    has_accumulate_hooks,
    one_stage,
    two_stage,
)
from kit.stepgraph.gram import Gram, gram, norm
from kit.stepgraph.layers import WHOLE, layer_groups
from kit.stepgraph.progress import Progress
from kit.stepgraph.report import ProbeReport
from kit.stepgraph.sandbox import Sandbox

OWN = "(loss)"  # group of the loss module's own parameters; no module can have this name

# Residual that is believed: measured 1e-7 when right (float32, grows with cancellation), >= 0.28 when wrong.
_BELIEVED = {torch.float64: 1e-9, torch.float32: 1e-4}
_BELIEVED_LOW = 5e-2  # half precision or autocast


@renamed("loss_fn", "loss")
def probe(
    model: nn.Module,
    loss: Any,
    batch: Any,
    *more: Any,
    predict: Callable[[nn.Module, Any], Any] | None = None,
    terms: Callable[[Any, Any], Mapping[str, Tensor]] | None = None,
    weights: Mapping[str, Any] | None = None,
    groups: Callable[[str], str] | int | None = None,
) -> ProbeReport:
    """Values and gradient Gram matrices of the terms of `loss(model(inputs), target)` on one batch.

    batch      has `.inputs` and `.target`, or is a pair (inputs, target); anything at all with predict=
    predict    predict(model, batch) -> prediction, instead of model(inputs). The target is `.target` of the batch, or
               the second of a pair; for any other batch predict returns the pair (prediction, target)
    terms      terms(prediction, target) -> dict of unweighted terms, if the loss does not show them by itself
    weights    one entry a term: a number, or the name of an attribute of the loss; names suffice without terms
    groups     callable parameter name -> layer group, or a depth of module paths; default: at most 16 groups

    Costs one forward, m + 1 backward passes and two calls of the loss, one for its gradient and one for its terms; where
    a graph serves one backward only, m + 2 forward passes too. Memory: m + 1 gradients of the network. After three
    seconds a line on stderr says what it is at.
    The model runs in the mode it is in. Weights, `.grad`, buffers, attributes, hooks and random state are afterwards
    bitwise what they were. Gradient hooks of the model run once for each of those passes; what they keep in attributes
    and closures is put back, what they write elsewhere (a global, a file) stays.
    A loss that returns its total beside its parts (a tuple, a dict with "loss") is taken by its total.
    Errors of the model and the loss come up as their kind, with what they were called with. Raises TypeError for
    arguments of another kind or order, ValueError without trainable parameters or without a graph, DecompositionError
    if the terms cannot be found.
    """
    check_step(model, loss, batch, more)
    if predict is not None and not callable(predict):
        raise TypeError(f"predict should be a callable (model, batch) -> prediction. Found {kind(predict)}.")
    names, parameters = _parameters(model, loss)
    forward = forward_of(model, batch, predict)
    owners = _owners(names, groups)
    labels = tuple(dict.fromkeys(owners))
    index = [labels.index(owner) for owner in owners]
    notes: list[str] = []
    if labels == (WHOLE,) and groups is None:
        notes.append("More than 16 modules at the top level: all parameters form one group; pass groups= for more.")
    if any(nn.parameter.is_lazy(p) for p in parameters):
        raise ValueError("model should have initialised parameters. Found lazy ones: run it once on a batch first.")
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        Sandbox(model, loss, predict, terms) as box,
        Progress() as progress,
    ):
        step = Step(forward, loss, terms, weights, parameters, box, progress)
        seen = _measure(step, index, len(labels), notes)
        sizes = [p.numel() * (2 if p.is_complex() else 1) for p in parameters]
    seen.note_checks(notes)
    return report_of(seen, names, labels, index, sizes, notes)


class Seen:
    """A measurement with its Gram matrices and its self-check."""

    def __init__(self, measured: Measured, index: Sequence[int], n: int, low: bool, progress: Progress) -> None:
        self.measured = measured
        terms = measured.terms
        self.L = np.array([value.item() for value in terms.values])
        self.weights = np.array(terms.weights, dtype=np.float64)
        self.gram: Gram = gram(measured.rows, index, n, progress)
        for i, (value, row) in enumerate(zip(self.L, measured.rows, strict=True)):
            if not np.isfinite(value) and all(g is None for g in row):  # a value nobody could compute has no gradient
                self.gram.groups[:, i, :] = self.gram.groups[:, :, i] = np.nan
        self.G = self.gram.whole
        real = gram([measured.real], index, n, progress)
        self.grad_norm = float(np.sqrt(real.whole[0, 0]))
        with np.errstate(invalid="ignore"):
            gradients = np.abs(self.weights) * np.sqrt(np.maximum(np.diag(self.G), 0.0))
        self.gradient = float(gradients[self.weights != 0].sum())
        dtypes = {g.dtype.to_real() if g.is_complex() else g.dtype for g in measured.real if g is not None}
        eps = max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)
        believed = _BELIEVED_LOW if low else max((_BELIEVED.get(d, _BELIEVED_LOW) for d in dtypes), default=1e-9)
        expected = [norm(G, self.weights) for G in (self.G, *self.gram.groups)]
        found = [self.grad_norm, *np.sqrt(real.groups[:, 0, 0])]
        # terms that cancel leave their rounding behind, so no norm below it is a scale
        scale = max(self.grad_norm, eps * self.gradient, float(np.finfo(np.float64).tiny))
        self.residual = float(np.max(np.abs(np.subtract(expected, found)))) / scale  # nan stays nan
        self.believed = believed
        self.allowed = believed * max(1.0, self.gradient / scale)

    @property
    def wrong(self) -> bool:
        return self.residual > self.allowed

    def note_checks(self, notes: list[str]) -> None:
        terms, total = self.measured.terms, self.measured.total
        notes.extend(terms.notes)
        on = self.weights != 0
        faulty = [name for name, g, w in zip(terms.names, np.diag(self.G), on, strict=True) if w and not np.isfinite(g)]
        if np.isnan(self.residual):
            who = ", ".join(faulty) or "the total"
            notes.append(f"The self-check was not possible: the gradient of {who} is not finite.")
        elif self.wrong:
            notes.append(
                "The terms' gradients do not add up to the gradient of the total "
                f"(residual {self.residual:.1e}): a hook or custom backward that is not linear? "
                "What-if answers about gradients are not valid here."
            )
        parts = self.weights[on] * self.L[on]
        value, scale = parts.sum(), np.abs(parts).sum()
        if np.isfinite(value) and abs(value - total) > max(1e-4, self.believed) * max(scale, abs(total)):
            notes.append(f"The weighted terms add up to {value:.6g}, but the loss returned {total:.6g}.")


def _measure(step: Step, index: Sequence[int], n: int, notes: list[str]) -> Seen:
    """two_stage, then one_stage, then fresh_forward; the first that passes its own check, else the best of them."""
    low = torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")
    tried: list[Seen] = []
    try:
        for way in (two_stage, one_stage):
            try:
                tried.append(Seen(way(step), index, n, low, step.progress))
            except NeedsOneStage as reason:
                notes.append(f"one_stage instead of two_stage: {reason}.")
                continue
            if not tried[-1].wrong:
                break
    except NeedsFresh as reason:
        notes.append(f"fresh_forward instead of {'one' if tried else 'two'}_stage: {reason}.")
        return Seen(fresh_forward(step), index, n, low, step.progress)
    if tried[-1].wrong and not has_accumulate_hooks(step.parameters):
        tried.append(Seen(fresh_forward(step), index, n, low, step.progress))
    best = min(tried, key=lambda seen: (seen.wrong, seen.residual if seen.wrong else 0.0))
    if best is not tried[0]:
        notes.append(
            f"{best.measured.way} instead of {tried[0].measured.way}, which failed its self-check "
            f"(residual {tried[0].residual:.1e})."
        )
    return best


def report_of(
    seen: Seen, names: list[str], labels: tuple[str, ...], index: list[int], sizes: list[int], notes: list[str]
) -> ProbeReport:
    terms, n_parameters = seen.measured.terms, np.zeros(len(labels), np.int64)
    np.add.at(n_parameters, index, sizes)
    no_path = {
        term: tuple(name for name, g in zip(names, row, strict=True) if g is None)
        for term, row in zip(terms.names, seen.measured.rows, strict=True)
    }
    return ProbeReport(
        names=terms.names,
        weight_names=terms.weight_names,
        L=seen.L,
        weights=seen.weights,
        adjustable=np.array(terms.adjustable, bool),
        G=seen.G,
        groups=labels,
        G_groups=seen.gram.groups,
        n_parameters=n_parameters,
        paths=seen.gram.reached,
        no_path={term: found for term, found in no_path.items() if found},
        nonfinite=seen.gram.nonfinite,
        total=seen.measured.total,
        grad_norm=seen.grad_norm,
        residual=seen.residual,
        decomposition=terms.way,
        gradient_way=seen.measured.way,
        notes=tuple(dict.fromkeys(notes)),
    )


def _parameters(model: nn.Module, loss: Any) -> tuple[list[str], list[nn.Parameter]]:
    found = {id(p): (name.replace("_orig_mod.", ""), p) for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        why = (
            "was it frozen? model.requires_grad_(True)" if has_parameters(model) else f"{kind(model)} has no parameters"
        )
        raise ValueError(f"model should have parameters that require grad. Found none: {why}.")
    held = loss if isinstance(loss, nn.Module) else getattr(loss, "__self__", None)
    if isinstance(held, nn.Module):
        known = {id(p) for p in model.parameters()}
        for name, p in held.named_parameters():
            if p.requires_grad and id(p) not in known:
                found.setdefault(id(p), (f"{OWN}.{name}", p))
    return [name for name, _ in found.values()], [p for _, p in found.values()]


def _owners(names: list[str], groups: Callable[[str], str] | int | None) -> list[str]:
    own = [name for name in names if not name.startswith(OWN)]
    of = dict(zip(own, layer_groups(own, groups), strict=True))
    return [of.get(name, OWN) for name in names]
