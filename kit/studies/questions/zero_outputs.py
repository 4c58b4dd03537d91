"""Do outputs that are all zero make the train loss 0?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch

from kit.covariance import Batch, shrink, trace_norm
from kit.faults import AllOutputsZero, HeadsStartAtZero, LossCountedOnStepsOnly
from kit.hypotheses.zero_outputs import HYPOTHESIS
from kit.plots import layer_heatmap_evidence
from kit.report import PanelSetting, Table
from kit.studies.probed_batch import one_batch
from kit.studies.setup import AS_IT_IS, Setup
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import (
    column,
    is_unchanged,
    losses_text,
    range_text,
    reads_zero,
    shows_symptom,
    steps_text,
    total,
)
from kit.studies.tables import Claim

DEAD, ALIVE, DEAD_COUNTED = "outputs_times_zero", "heads_start_at_zero", "outputs_times_zero_steps_only"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        AS_IT_IS: Setup("as it is"),
        DEAD: Setup("outputs times 0", (AllOutputsZero(),)),
        ALIVE: Setup("heads start at 0", (HeadsStartAtZero(),)),
        DEAD_COUNTED: Setup(
            "outputs times 0, loss counted on steps only", (AllOutputsZero(), LossCountedOnStepsOnly())
        ),
    }
)
CASE = "all outputs are 0"  # state of the probed batch


def predicted_at_zero(
    batch: Batch, *, smoothed_by: float = 1e-3, range_floor: float = 0.45, stencil: int = 25
) -> dict[str, float]:
    """The seven terms for outputs that are all 0, from the labels alone and by hand: no network, no loss is called.

        loss_nmse, loss_nmse_pred  n0 = <1 - N / ||T||^2>      loss_ortho  <1 / K>           loss_K  ln K_max <omega>, omega = 2 for K > 1
        aux_l2  H(phi) + 1.5 H(theta) + H(ln floor - ln r), over all sources              loss_subspace_align  0      loss_peak_contrast  ln 25

    Args:
        smoothed_by: alpha0 of the shrinkage. range_floor: metres. stencil: points of the peak term.
    """
    T = shrink(trace_norm(batch.R_true), batch.snr_db, smoothed_by)
    N, K = T.shape[-1], batch.K.numpy()
    phi, theta, r = batch.ptr.double().numpy().reshape(len(K), 3, -1).transpose(1, 0, 2)
    active = np.arange(phi.shape[1]) < K[:, None]
    n0 = float((1 - N / torch.linalg.matrix_norm(T).square()).mean())
    e_r = math.log(range_floor) - np.log(np.where(active, r, 1.0))
    errors = _huber(phi, math.pi / 720) + 1.5 * _huber(theta, math.pi / 720) + _huber(e_r, 0.2)
    return {
        "loss_nmse": n0,
        "loss_nmse_pred": n0,
        "loss_ortho": float(np.mean(1 / K)),
        "loss_K": math.log(phi.shape[1]) * float(np.mean(np.where(K > 1, 2.0, 1.0))),
        "aux_l2": float(errors[active].sum() / active.sum()),
        "loss_subspace_align": 0.0,
        "loss_peak_contrast": math.log(stencil),
    }


def _huber(e: np.ndarray, width: float) -> np.ndarray:
    return np.where(np.abs(e) <= width, e**2 / (2 * width), np.abs(e) - width / 2)


def terms_table(results: Results) -> Table:
    """Every term at zero outputs: what the formula says, what the loss says."""
    zero, predicted = results.step.reports[CASE], results.facts["predicted"]
    terms = pd.DataFrame(
        {
            "term": list(zero.names),
            "weight": zero.weights,
            "predicted": [predicted[name] for name in zero.names],
            "measured": zero.L,
            "gradient norm": zero.norms,
        }
    )
    return Table(terms, "Which terms are 0 when every output is 0? The formulas use the labels alone.")


def _claims(results: Results) -> tuple[Claim, ...]:
    _, dead, alive, counted = (results.runs[name] for name in SETUPS)
    zero, predicted = results.step.reports[CASE], results.facts["predicted"]
    by_hand = sum(w * predicted[name] for name, w in zip(zero.names, zero.weights, strict=True))
    return (
        Claim(
            "If the model is outputting all zeros, the loss would be zero",
            f"{by_hand:.4f} on the probed batch, from the labels alone",
            f"{zero.total:.4f} on that batch; train {range_text(dead.train_loss)}",
            zero.total == 0 or reads_zero(dead.train_loss),
        ),
        Claim(
            "Outputs multiplied by 0 keep the validation loss unchanged",
            "no gradient comes back: no step",
            f"validation {range_text(dead.val_loss)}; {steps_text(dead)}",
            is_unchanged(dead.val_loss),
        ),
        Claim(
            "Outputs multiplied by 0 give the symptom",
            "unchanged, but high: train above 0",
            losses_text(dead),
            shows_symptom(dead),
        ),
        Claim(
            "A network whose outputs are 0 stays there",
            "source count and positions learn, the two factors do not",
            f"{losses_text(alive)}; {steps_text(alive)}; NMSE {range_text(column(alive, 'val_loss_nmse'))}",
            is_unchanged(alive.val_loss),
        ),
        Claim(
            "Outputs times 0, with the loss added on taken steps only, give the symptom",
            "no step is taken, so nothing is added: both numbers",
            f"{losses_text(counted)}; {steps_text(counted)}",
            shows_symptom(counted),
        ),
    )


def _words(results: Results) -> Words:
    """Confirmed if zero outputs alone show the symptom; the second fault is mentioned."""
    runs = results.runs
    _, dead, alive, counted = (runs[name] for name in SETUPS)
    zero, now = results.step.reports[CASE], results.step.reports["as it is"]
    explaining = results.showing_symptom(DEAD, ALIVE)
    compared = "larger" if zero.total > now.total else "not larger"
    answer = [
        f"On one batch the loss of all-zero outputs is {zero.total:.4f}, {compared} than the {now.total:.4f} of the network's own.",
        f"With outputs multiplied by 0 the epoch lines read {losses_text(dead)}, with {steps_text(dead)}.",
        f"With heads that start at 0 they read {losses_text(alive)}, with {steps_text(alive)}.",
    ]
    if explaining:
        answer.append(f"The symptom appears under: {', '.join(explaining)}.")
    else:
        answer.append("Neither gives train 0 with an unchanged validation loss above 0.")
    if shows_symptom(counted):
        answer.append(
            "It appears once the loop also counts the loss on taken steps only, as with anything that stops every step."
        )
    return Words(
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        fix=(
            "Look at the share of exact zeros in each output of one batch. Where it is 1, find what multiplies it: a mask, a dead "
            "activation, a scale. Heads that merely start at 0 mend themselves, except the two factors."
        ),
        remains=(
            f"A dead network and a network without gradients look alike from outside: validation unchanged, {total(dead, 'steps_taken')} "
            "steps. The value of the loss, and NaN entries counted before they are replaced, tell them apart."
        ),
    )


def _zero_and_own(results: Results) -> tuple[float, float]:
    """The loss of one batch for outputs that are all 0, and for those of the fresh network."""
    return results.step.reports[CASE].total, results.step.reports["as it is"].total


_ASKED = Asked(
    "Every output of the network is 0. What is the loss?",
    MappingProxyType(
        {
            "0": lambda results: _zero_and_own(results)[0] == 0,
            "smaller than before, but not 0": lambda results: 0 < _zero_and_own(results)[0] < _zero_and_own(results)[1],
            "larger than before": lambda results: _zero_and_own(results)[0] > _zero_and_own(results)[1],
        }
    ),
    lambda results: "{:.4f} on one batch, and {:.4f} for the outputs of a fresh network.".format(
        *_zero_and_own(results)
    ),
)


STUDY = Study(
    key="zero_outputs",
    question="Do outputs that are all zero make the train loss 0?",
    claim="If the model is outputting all zeros, the loss would be zero. Probability: 1%.",
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    before=MappingProxyType(
        {
            "step": lambda system: one_batch(system, HYPOTHESIS),
            "predicted": lambda system: predicted_at_zero(system.batch()),
        }
    ),
    claims=_claims,
    evidence=("claims", "curves", "symptoms", "terms", "layers", PANEL),
    shown=MappingProxyType(
        {"terms": terms_table, "layers": lambda results: layer_heatmap_evidence(results.step.reports[CASE])}
    ),
    panel_title="What does the loss say to zeros?",
    setting=PanelSetting(CASE),
)
