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
from kit.hypotheses.missing_prediction import HYPOTHESIS
from kit.plots import Evidence, evidence, layer_heatmap_evidence, look, new_axes
from kit.plots.curves import legend_below
from kit.report import PanelSetting
from kit.studies.probed_batch import one_batch
from kit.studies.setup import AS_IT_IS, Setup
from kit.studies.study import PANEL, Asked, Results, Study, Words
from kit.studies.symptom import column, is_unchanged, losses_text, range_text, reads_zero, shows_symptom, steps_text
from kit.studies.tables import Claim
from kit.training import System

NO_BLEND, NO_BLEND_ZERO, BLEND_ZERO = "no_blend", "no_blend_zero_factors", "blend_zero_factors"
SETUPS: Mapping[str, Setup] = MappingProxyType(
    {
        AS_IT_IS: Setup("as it is"),
        NO_BLEND: Setup("no R_blend, live factors", (BlendMissing(),)),
        NO_BLEND_ZERO: Setup("no R_blend, zero factors", (BlendMissingFactorsZero(),)),
        # in validation too, so that both numbers speak of R_blend
        BLEND_ZERO: Setup(
            "R_blend passed, zero factors", (FactorHeadsZero(),), config=MappingProxyType({"validate_with_blend": True})
        ),
    }
)
_NO_BLEND, _NO_BLEND_ZERO = "no R_blend, live factors", "no R_blend, zero factors"  # states of the probed batch
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


def study_zero_factors(system: System, *, scales: tuple[float, ...] = SCALES) -> ZeroFactors:
    """The covariance term at s times the factors of the fresh network, for each scale s."""
    batch, loss = system.batch(), system.new_loss()
    with torch.no_grad():
        factors = {key: value for key, value in system.new_model()(batch.inputs).items() if key in _FACTORS}
    rows = []
    for s in scales:
        scaled = {key: (s * value).requires_grad_() for key, value in factors.items()}
        term = loss.components(scaled, batch.target, only=("loss_nmse",))["loss_nmse"]
        g = torch.autograd.grad(term, list(scaled.values()))
        norm = torch.stack([part.norm() for part in g]).norm().item()
        rows.append({"factor_scale": s, "covariance_error": term.item(), "grad_norm": norm})
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
    s, g = study.near["factor_scale"], study.near["grad_norm"]
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
        "How large is the gradient of the covariance term just beside zero? The dotted line is the law 1 / scale; it ends where "
        "the trace of R_pred falls below the floor of the trace norm, 1e-9."
    )
    return evidence(ax, f"Line chart, both axes logarithmic: {points}.", caption)


def _claims(results: Results) -> tuple[Claim, ...]:
    _, absent, absent_zero, blend_zero = (results.runs[name] for name in SETUPS)
    step, study = results.step, results.facts["zero_factors"]
    L = {case: dict(zip(seen.names, seen.L, strict=True)) for case, seen in step.reports.items()}
    own, zero = L[_NO_BLEND], step.reports[_NO_BLEND_ZERO]
    gradient, seen_zero = float(zero.norms[zero.names.index("loss_nmse")]), L[_NO_BLEND_ZERO]["loss_nmse"]
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
            "the network's own factors learn without it: a healthy run",
            f"{losses_text(absent)}; {steps_text(absent)}",
            shows_symptom(absent),
        ),
        Claim(
            "If the factors are all zeros, the loss would be zero",
            f"covariance error n0 = {study.white_noise:.4f}, the other terms stay",
            f"covariance error {seen_zero:.4f}, loss {zero.total:.4f}; train {range_text(absent_zero.train_loss)}",
            reads_zero(absent_zero.train_loss),
        ),
        Claim(
            "Zero factors get no gradient from the covariance term",
            "exactly 0: R_pred is quadratic in the factors",
            f"gradient norm {gradient:g}; validation NMSE {range_text(column(absent_zero, 'val_loss_nmse'))}",
            gradient == 0,
        ),
        Claim(
            "Zero factors keep the validation loss unchanged",
            "only their part: source count and positions still learn",
            f"validation {range_text(absent_zero.val_loss)}; {steps_text(absent_zero)}",
            is_unchanged(absent_zero.val_loss),
        ),
        Claim(
            "With R_blend, zero factors show the error of the sample covariance",
            f"validation NMSE {study.samples:.4f}, whatever the share",
            f"validation NMSE {range_text(samples)}",
            all(abs(value - study.samples) <= _CLOSE * study.samples for value in samples),
        ),
    )


def _words(results: Results) -> Words:
    """Confirmed if a run without R_blend shows the symptom."""
    runs, study = results.runs, results.facts["zero_factors"]
    absent, absent_zero = runs[NO_BLEND], runs[NO_BLEND_ZERO]
    explaining = results.showing_symptom(NO_BLEND, NO_BLEND_ZERO)
    frozen = is_unchanged(column(absent_zero, "val_loss_nmse"))
    answer = [
        f"Without R_blend and with the network's own factors the epoch lines read {losses_text(absent)}.",
        f"With zero factors they read {losses_text(absent_zero)}.",
        f"The validation NMSE of the covariance then reads {range_text(column(absent_zero, 'val_loss_nmse'))}.",
    ]
    if explaining:
        answer.append(f"The symptom appears under: {', '.join(explaining)}.")
    elif frozen:
        answer.append("So zero factors are a plateau of one part of the loss, not a loss of 0.")
    else:
        answer.append("Neither run gives train 0 with an unchanged validation loss above 0.")
    peak = study.near.iloc[study.near["grad_norm"].argmax()]
    return Words(
        verdict="confirmed" if explaining else "refuted",
        answer=" ".join(answer),
        fix=(
            "Treat R_blend as a required key in training, start the factor heads away from 0, and watch the covariance error beside the "
            "total: a part that stands still is hidden by parts that move."
        ),
        remains=(
            f"Just beside zero the gradient is largest at scale {peak['factor_scale']:g}, {peak['grad_norm']:.3g}: clipping "
            "to norm 1 hides it. Training passes R_blend and validation does not, so the two losses measure different objects."
        ),
    )


def _at_zero(results: Results) -> tuple[float, float]:
    """The covariance term at zero factors, and the norm of its gradient."""
    seen = results.step.reports[_NO_BLEND_ZERO]
    place = seen.names.index("loss_nmse")
    return float(seen.L[place]), float(seen.norms[place])


_ASKED = Asked(
    "Both factors are exactly 0. How large are the error of the covariance and its gradient?",
    MappingProxyType(
        {
            "error 0, gradient 0": lambda results: _at_zero(results) == (0, 0),
            "error near 1, gradient 0": lambda results: _at_zero(results)[0] > 0.5 and _at_zero(results)[1] == 0,
            "error near 1, large gradient": lambda results: _at_zero(results)[0] > 0.5 and _at_zero(results)[1] > 0,
        }
    ),
    lambda results: "error {:.4f}, gradient norm {:g}.".format(*_at_zero(results)),
)


STUDY = Study(
    key="missing_prediction",
    question="Does a missing R_blend make the train loss 0?",
    claim=(
        "If R_blend is not in y_pred, the loss falls back to constructing R_hat from factors. If factors are all zeros, loss "
        "would be zero. Probability: 3%."
    ),
    asked=_ASKED,
    words=_words,
    setups=SETUPS,
    before=MappingProxyType({"step": lambda system: one_batch(system, HYPOTHESIS), "zero_factors": study_zero_factors}),
    claims=_claims,
    evidence=("claims", "curves", "symptoms", "layers", "near_zero", PANEL),
    shown=MappingProxyType(
        {
            "layers": lambda results: layer_heatmap_evidence(results.step.reports[_NO_BLEND_ZERO]),
            "near_zero": lambda results: near_zero_evidence(results.facts["zero_factors"]),
        }
    ),
    panel_title="Which terms have a gradient when the factors are zero?",
    setting=PanelSetting(_NO_BLEND_ZERO),
)
