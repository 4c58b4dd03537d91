"""Does a missing R_blend make the train loss 0?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
import torch
from torch import Tensor

from kit import covariance
from kit.faults import BlendMissing, BlendMissingFactorsZero, FactorHeadsZero
from kit.hypotheses import OneStep
from kit.investigation.claims import Claim, claims_table
from kit.investigation.fault_runs import (
    AS_IT_IS,
    FaultRuns,
    Setup,
    column,
    is_level,
    reads_zero,
    shows_symptom,
    spoken_range,
    spoken_run,
    spoken_steps,
    symptom_table,
)
from kit.panel import Panel
from kit.plots import Evidence, compare_runs_evidence, evidence, layer_heatmap_evidence, look, new_axes
from kit.plots.curves import legend_below
from kit.report import Finding, PanelSetting
from kit.training import System

QUESTION = "Does a missing R_blend make the train loss 0?"

ABSENT, ABSENT_ZERO = "no R_blend, live factors", "no R_blend, zero factors"
BLEND_ZERO = "R_blend passed, zero factors"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        AS_IT_IS: Setup(),
        ABSENT: Setup((BlendMissing(),)),
        ABSENT_ZERO: Setup((BlendMissingFactorsZero(),)),
        # in validation too, so that both numbers speak of R_blend
        BLEND_ZERO: Setup((FactorHeadsZero(),), config=MappingProxyType({"validate_with_blend": True})),
    }
)
SCALES = (1.0, 1e-1, 1e-3, 1e-5, 1e-6, 1e-7, 0.0)
_FACTORS = ("cov_fact_angle", "cov_fact_range")
_CLOSE = 1e-3  # relative: a prediction by formula against single precision


@dataclass(frozen=True)
class ZeroFactors:
    """What the formulas say about zero factors, and the covariance term just beside them.

    Attributes:
        white_noise: n0 = <1 - N / ||T||^2>, the error of R = I, on the probed batch.
        samples: the error of the sample covariance itself, on the validation scenes.
        near: one row per scale s: the term at s times the network's factors, and its gradient norm by these factors.
    """

    white_noise: float
    samples: float
    near: pd.DataFrame


def study_zero_factors(system: System, *, scales: tuple[float, ...] = SCALES, samples: int = 64) -> ZeroFactors:
    """The covariance term at s times the factors of the fresh network, for each scale s."""
    batch, loss = system.batch(samples), system.new_loss()
    with torch.no_grad():
        factors = {key: value for key, value in system.new_model()(batch.inputs).items() if key in _FACTORS}
    rows = []
    for s in scales:
        scaled = {key: (s * value).requires_grad_() for key, value in factors.items()}
        term = loss.components(scaled, batch.target, only=("loss_nmse",))["loss_nmse"]
        g = torch.autograd.grad(term, list(scaled.values()))
        norm = torch.stack([part.norm() for part in g]).norm().item()
        rows.append({"scale of the factors": s, "covariance error": term.item(), "gradient norm": norm})
    N, T = batch.R_true.shape[-1], covariance.shrink(covariance.trace_norm(batch.R_true), batch.snr_db, loss.alpha0)
    white_noise = (1 - N / _energy(T)).mean().item()
    seen = system.validation
    T = covariance.shrink(covariance.trace_norm(seen.R_true), seen.snr_db, loss.alpha0)
    R = covariance.effective(seen.R_samp, seen.snr_db, loss.load, loss.alpha0)
    return ZeroFactors(white_noise, (_energy(R - T) / _energy(T)).mean().item(), pd.DataFrame(rows))


def _energy(R: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(R).square()


def near_zero_evidence(study: ZeroFactors) -> Evidence:
    """Gradient norm of the covariance term against the scale of the factors."""
    s, g = study.near["scale of the factors"], study.near["gradient norm"]
    beside = (s > 0) & (g > 0)
    ax = new_axes()[0]
    ax.loglog(s[beside], g[beside], label="measured", **look(0))
    ax.loglog(s[beside], g[0] / s[beside], linestyle=":", color="#666666", label="1 / scale")
    ax.set_xlabel("scale of the factors")
    ax.set_ylabel("gradient norm")
    ax.spines[["top", "right"]].set_visible(False)
    legend_below([ax])
    points = "; ".join(f"at scale {a:g} the gradient norm is {b:.3g}" for a, b in zip(s, g, strict=True))
    caption = (
        "How hard does the covariance term pull on the factors just beside zero? The dotted line is the law 1 / scale; it ends where "
        "the trace of R_pred falls below the floor of the trace norm, 1e-9."
    )
    return evidence(ax, f"Line chart, both axes logarithmic: {points}.", caption)


def missing_prediction_claims(runs: FaultRuns, step: OneStep, study: ZeroFactors) -> tuple[Claim, ...]:
    _, absent, absent_zero, blend_zero = (runs.runs[name] for name in SETUPS)
    L = {case: dict(zip(seen.names, seen.L, strict=True)) for case, seen in step.reports.items()}
    own, zero = L[ABSENT], step.reports[ABSENT_ZERO]
    pull, seen_zero = float(zero.norms[zero.names.index("loss_nmse")]), L[ABSENT_ZERO]["loss_nmse"]
    samples = column(blend_zero, "val_loss_nmse")
    return (
        Claim(
            "Without R_blend the loss builds R_hat from the factors",
            "then the first two terms are the same number",
            f"loss_nmse {own['loss_nmse']:.4f}, loss_nmse_pred {own['loss_nmse_pred']:.4f}",
            own["loss_nmse"] == own["loss_nmse_pred"],
        ),
        Claim(
            "A missing R_blend gives the symptom",
            "live factors learn without it: a healthy run",
            f"{spoken_run(absent)}; {spoken_steps(absent)}",
            shows_symptom(absent),
        ),
        Claim(
            "If the factors are all zeros, the loss would be zero",
            f"covariance error n0 = {study.white_noise:.4f}, the other terms stay",
            f"covariance error {seen_zero:.4f}, loss {zero.total:.4f}; train {spoken_range(absent_zero.train_loss)}",
            reads_zero(absent_zero.train_loss),
        ),
        Claim(
            "Zero factors get no gradient from the covariance term",
            "exactly 0: R_pred is quadratic in the factors",
            f"gradient norm {pull:g}; validation NMSE {spoken_range(column(absent_zero, 'val_loss_nmse'))}",
            pull == 0,
        ),
        Claim(
            "Zero factors keep the validation loss level",
            "only their part: source count and positions still learn",
            f"validation {spoken_range(absent_zero.val_loss)}; {spoken_steps(absent_zero)}",
            is_level(absent_zero.val_loss),
        ),
        Claim(
            "With R_blend, zero factors show the error of the sample covariance",
            f"validation NMSE {study.samples:.4f}, whatever the share",
            f"validation NMSE {spoken_range(samples)}",
            all(abs(value - study.samples) <= _CLOSE * study.samples for value in samples),
        ),
    )


def missing_prediction_finding(
    runs: FaultRuns, step: OneStep, study: ZeroFactors, panel: Panel | PanelSetting, *, command: str
) -> Finding:
    """The finding of notebook 03, worded by what the runs show."""
    absent, absent_zero = runs.runs[ABSENT], runs.runs[ABSENT_ZERO]
    explaining = [name for name in (ABSENT, ABSENT_ZERO) if shows_symptom(runs.runs[name])]
    frozen = is_level(column(absent_zero, "val_loss_nmse"))
    answer = [
        f"Without R_blend and with live factors the epoch lines read {spoken_run(absent)}.",
        f"With zero factors they read {spoken_run(absent_zero)}.",
        f"The validation NMSE of the covariance then reads {spoken_range(column(absent_zero, 'val_loss_nmse'))}.",
    ]
    if explaining:
        answer.append(f"The symptom appears under: {', '.join(explaining)}.")
    elif frozen:
        answer.append("So zero factors are a plateau of one part of the loss, not a loss of 0.")
    else:
        answer.append("Neither run gives train 0 with validation level above 0.")
    peak = study.near.iloc[study.near["gradient norm"].argmax()]
    return Finding(
        question=QUESTION,
        claim=(
            "If R_blend is not in y_pred, the loss falls back to constructing R_hat from factors. If factors are all zeros, loss "
            "would be zero. Probability: 3%."
        ),
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        evidence=(
            claims_table(missing_prediction_claims(runs, step, study)),
            compare_runs_evidence(runs.runs),
            symptom_table(runs),
            layer_heatmap_evidence(step.reports[ABSENT_ZERO]),
            near_zero_evidence(study),
            panel,
        ),
        fix=(
            "Treat R_blend as a required key in training, start the factor heads away from 0, and watch the covariance error beside the "
            "total: a part that stands still is hidden by parts that move."
        ),
        remains=(
            f"Just beside zero the gradient is largest at scale {peak['scale of the factors']:g}, {peak['gradient norm']:.3g}: clipping "
            "to norm 1 hides it. Training passes R_blend and validation does not, so the two losses measure different objects."
        ),
        seed=runs.seed,
        command=command,
        sure=runs.how_sure,
    )
